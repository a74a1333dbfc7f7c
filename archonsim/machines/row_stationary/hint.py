"""Where the published space of mappings costs much, a run says so."""

from __future__ import annotations

from archonsim.machines.row_stationary.layers import map_choices
from archonsim.machines.row_stationary.spec import RowStationarySpec
from archonsim.network.workload import Workload

#: A layer that the free space would speed up so many times is named (own decision).
WORTH_SAYING = 1.25


def space_hint(workload: Workload, spec: RowStationarySpec) -> tuple[str, ...]:
    """Name the layers on maps of one row that ``space=free`` would speed up, in compute cycles.

    The published space keeps rows whole and spreads rows over the array: one long row is too large
    for the GLB's tiles, and leaves PEs idle. Other maps are as the authors ran them.
    """
    if spec.mapping != "search" or spec.space == "free":
        return ()
    rows = tuple(layer for layer in workload.layers() if layer.out_h == 1 < layer.out_w)
    if not any(layer.is_compute for layer in rows):
        return ()
    alone = Workload(name=workload.name, items=rows, provenance=workload.provenance)
    found = []
    for choices in map_choices(alone, spec, free=True):
        best, published = choices[0], choices[-1]
        if published.cycles >= WORTH_SAYING * best.cycles:
            found.append((published.cycles / best.cycles, best.layer.name))
    if not found:
        return ()
    times, name = max(found)
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return (
        f"rows of the output whole, as published: layer {name}{more}, on a map of one row, takes"
        f" {times:.1f} times the compute cycles that --set space=free needs",
    )
