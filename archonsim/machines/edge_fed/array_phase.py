"""A layer as tiles, on an array with input, filter and output buffers at its edges."""

from __future__ import annotations

import numpy as np

from archonsim.dataflow.operands import BufferAccesses, BufferSizes, Demand, Words, cut
from archonsim.engine.contract import FixedTile, Phase
from archonsim.network.layer import Layer
from archonsim.stats.counts import Transfer

#: A layer is cut into about this many tiles where its buffers do not ask for more (own decision):
#: enough to overlap memory with compute, few enough to be quick.
TILES = 64


def _cumulative(values: Words) -> list[int]:
    return [0, *np.cumsum(values).tolist()]


def array_phase(
    layer: Layer,
    demand: Demand,
    cycles: int,
    accesses: BufferAccesses,
    buffers: BufferSizes,
    busy_cycles: int,
) -> Phase:
    """Cut a layer into tiles.

    Parameters
    ----------
    layer : Layer
    demand : Demand
    cycles : int
        Compute cycles of the layer, shared out to its folds in proportion to ``demand.cycles``.
    accesses : BufferAccesses
    buffers : BufferSizes
    busy_cycles : int
        Cycles of all folds without filling and draining them.
    """
    time = _cumulative(demand.cycles)
    moved = {
        name: _cumulative(getattr(demand, name))
        for name in ("inputs", "weights", "outputs", "sums_out", "sums_in")
    }

    def share(total: int, first: int, last: int) -> int:
        """Return the share of `total` of folds ``first..last - 1``, by compute time."""
        return total * time[last] // time[-1] - total * time[first] // time[-1]

    tiles = []
    for first, last in cut(layer, demand, buffers, TILES):
        words = {name: sums[last] - sums[first] for name, sums in moved.items()}
        tiles.append(
            FixedTile(
                cycles=share(cycles, first, last),
                macs=share(layer.macs, first, last),
                loads=[
                    Transfer("dram", "read", "input", words["inputs"]),
                    Transfer("dram", "read", "weight", words["weights"]),
                    Transfer("dram", "read", "psum", words["sums_in"]),
                ],
                stores=[
                    Transfer("dram", "write", "output", words["outputs"]),
                    Transfer("dram", "write", "psum", words["sums_out"]),
                ],
                accesses=[
                    Transfer("ifmap_sram", "write", "input", words["inputs"]),
                    Transfer("ifmap_sram", "read", "input", share(accesses.inputs, first, last)),
                    Transfer("filter_sram", "write", "weight", words["weights"]),
                    Transfer("filter_sram", "read", "weight", share(accesses.weights, first, last)),
                    Transfer("ofmap_sram", "write", "output", share(accesses.outputs, first, last)),
                    Transfer("ofmap_sram", "read", "psum", share(accesses.sums_in, first, last)),
                ],
            )
        )
    bounds = {"mapping": busy_cycles, "fill": cycles}
    return Phase(
        name="layer", tiles=tiles, stream_from=["dram"] * len(tiles), bounds=lambda stats: bounds
    )
