"""A mapped layer as tiles for the engine.

DRAM moves what the evaluator counts, spread evenly over the iterations of the loops at DRAM;
neighbouring iterations share a tile where there are many (own decision). Words that the array takes
from the GLB pass its port before the tile, results after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from archonsim.dataflow.even import share
from archonsim.engine.contract import FixedTile, Phase
from archonsim.machines.row_stationary.layers import MappedLayer
from archonsim.stats.counts import Transfer

#: A layer is cut into at most this many tiles, each of at least so many cycles on average: enough
#: to overlap memory with compute, large enough to hide DRAM's latency, few enough to be quick (own
#: decision).
MAX_TILES = 64
TILE_CYCLES = 128


def tile_count(mapped: MappedLayer) -> int:
    """Tiles of a layer: iterations at DRAM, or fewer.

    The mapping's loops alone decide. Were it the cycles that ports or zero weights leave, a layer
    with less to do would be cut into fewer tiles, overlap less with memory, and could take longer.
    """
    cycles = mapped.mapping.cycles * mapped.problem.groups
    outer = 1
    for level, loop in mapped.mapping.loops():
        if level == "dram":
            outer *= loop.bound
    return max(1, min(MAX_TILES, outer * mapped.problem.groups, cycles // TILE_CYCLES))


def _loads(mapped: MappedLayer, weight_words: int, cut: Callable[[int], int]) -> list[Transfer]:
    glb_in = mapped.words("glb", "input")
    return [
        Transfer("dram", "read", "weight", cut(weight_words)),
        Transfer("dram", "read", "input", cut(mapped.words("dram", "input")[0])),
        Transfer("dram", "read", "psum", cut(mapped.words("dram", "output")[0])),
        Transfer("glb", "write", "input", cut(glb_in[1])),
        Transfer("glb", "read", "input", cut(glb_in[0])),
        Transfer("glb", "read", "psum", cut(mapped.words("glb", "output")[0])),
    ]


def _stores(mapped: MappedLayer, cut: Callable[[int], int]) -> list[Transfer]:
    outputs = mapped.words("dram", "output")[1]
    counts = mapped.cost.counts["glb", "output"]
    return [
        Transfer("glb", "write", "psum", cut(counts.updates * mapped.problem.groups)),
        Transfer("glb", "read", "output", cut(outputs)),
        Transfer("dram", "write", "output", cut(outputs)),
    ]


def layer_phase(
    mapped: MappedLayer,
    cycles: Sequence[int],
    macs: int,
    weight_words: int,
    name: str = "layer",
    bounds: dict[str, int] | None = None,
) -> Phase:
    """Run a layer.

    Parameters
    ----------
    mapped : MappedLayer
    cycles : sequence of int
        Compute cycles of each tile.
    macs : int
        Multiplications that are done.
    weight_words : int
        Words that DRAM sends for weights.
    name : str
        Of the phase.
    bounds : dict of cause to cycles, or None
        As in `Phase`, none of them dependent on the run.
    """
    parts = len(cycles)
    tiles = []
    for part in range(parts):
        cut = partial(share, part=part, parts=parts)
        loads = [load for load in _loads(mapped, weight_words, cut) if load.words]
        stores = [store for store in _stores(mapped, cut) if store.words]
        tiles.append(FixedTile(cycles=cycles[part], loads=loads, stores=stores, macs=cut(macs)))
    return Phase(
        name=name, tiles=tiles, stream_from=["dram"] * parts, bounds=lambda stats: bounds or {}
    )
