"""One tile of the main phase with all that enters and happens, in the order that the spec asks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archonsim.dataflow.tile import output_tiles
from archonsim.errors import SpecError, WorkloadError, nearest
from archonsim.machines.archon.main_cache import choose
from archonsim.machines.archon.main_profile import Shares, kept_shares
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.archon.windows import check_window, in_window_order
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.pe.beats import cut, sent_groups
from archonsim.pe.tile_trace import ArraySizes, TileInputs, TileTrace, trace_tile
from archonsim.trace.fused_weight import FusedWeight, fuse
from archonsim.trace.image import ImageInputs
from archonsim.trace.what_if import no_masks


def streamed(
    block: Block,
    fused: FusedWeight,
    spec: ArchonSpec,
    shares: tuple[Shares, Shares] | None = None,
) -> FusedWeight:
    """Return the groups that are sent, in the order in which they are streamed.

    `shares` are those of a profile, for ``group_order = "profiled"``.
    """
    if spec.main_order == "mapped":
        nest = choose(block, fused, spec).profiled(shares)
        ordered = fused.in_order(nest.groups.astype(np.int32))
    else:
        ordered = in_window_order(fused, block, spec.pe.main_ifmap_words)
    sent = sent_groups(ordered, skip_empty=spec.skip_empty_groups, bias=spec.bias_terms == "timed")
    return ordered.in_order(np.flatnonzero(sent).astype(np.int32))


def _fused_block(workload: Workload, name: str) -> Block:
    blocks = {block.name: block for block in workload.blocks() if block.predicted}
    if name not in blocks:
        known = f"; it has {', '.join(blocks)}" if blocks else ""
        raise WorkloadError(
            f"workload {workload.name!r} has no fused block {name!r}{nearest(name, list(blocks))}"
            f"{known}"
        )
    return blocks[name]


def block_tile(
    workload: Workload,
    spec: ArchonSpec,
    image: ImageInputs,
    block: str,
    tile: int,
    arrival: Sequence[int] | None,
) -> TileTrace:
    """Trace a tile, given by its number; see :func:`archonsim.api.tile_trace`."""
    source = workload.trace
    if source is None or not workload.images:
        raise no_masks(workload)
    found = _fused_block(workload, block)
    check_window(found, spec)
    pe = spec.pe
    tiles = list(output_tiles(found.dw, pe.rows, pe.cols))
    if not 0 <= tile < len(tiles):
        raise SpecError(f"tile is {tile}; block {block} has tiles 0 to {len(tiles) - 1}")
    profiled = spec.main_order == "mapped" and spec.group_order == "profiled"
    shares = kept_shares(source, found, image.number) if profiled else None
    fused = streamed(found, fuse(found, source), spec, shares)
    stream = cut(
        fused,
        lanes=pe.adders,
        per_lane=pe.candidates_per_adder,
        lane_order=spec.lane_order,
        width=pe.beat_width,
    )
    when = np.zeros(stream.beats, np.int64) if arrival is None else np.asarray(arrival)
    if when.shape != (stream.beats,) or when.dtype.kind != "i":
        raise SpecError(
            f"arrival has shape {when.shape} of {when.dtype}; it must be {stream.beats} integers,"
            " one cycle for each beat"
        )
    keep1, keep2 = image.masks(found)
    given = TileInputs(
        block=found,
        fused=fused,
        stream=stream,
        keep1=keep1.states(),
        keep2=keep2.states(),
        x=source.block(block, image.number).input,
    )
    sizes = ArraySizes(
        rows=pe.rows,
        cols=pe.cols,
        per_lane=pe.candidates_per_adder,
        depth=pe.fifo_depth,
        value_bits=spec.value_bits,
    )
    return trace_tile(given, (tiles[tile].y, tiles[tile].x), sizes, when)
