"""What a layer takes on such an array, and the tiles that it is cut into."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from archonsim.engine.contract import FixedTile, Phase
from archonsim.machines.two_sided.bits import LayerInput
from archonsim.network.layer import Layer
from archonsim.stats.counts import Transfer

#: A layer is cut into at most this many tiles, each of at least so many cycles if nothing were zero
#: and all multipliers busy: enough to overlap memory with compute, large enough to hide DRAM's
#: latency, few enough to be quick (own decision).
MAX_TILES = 64
TILE_CYCLES = 128


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LayerWork:
    """What a layer takes for one image.

    Attributes
    ----------
    passes : (passes,) int64
        Cycles of each pass; as many as the layer's shape has, whatever its bits.
    macs : int
        Products of non-zeros.
    weight_words, input_words, output_words : int
        16-bit words that DRAM moves.
    bounds : dict of owner to cycles
        As in :class:`~archonsim.engine.contract.Phase`.
    actions : Counter
        What energy is charged for inside of the array, by (component, action, kind).
    activity : Counter
        What else is counted, by ``part.what``.
    """

    passes: NDArray[np.int64]
    macs: int
    weight_words: int
    input_words: int
    output_words: int
    bounds: dict[str, int]
    actions: Counter[tuple[str, str, str]]
    activity: Counter[str] = field(default_factory=Counter)

    @property
    def cycles(self) -> int:
        """Cycles of all passes."""
        return int(self.passes.sum())


class LayerModel(Protocol):
    """A layer with its weights on an array, made ready once for all images."""

    def work(self, read: LayerInput) -> LayerWork:
        """Return what it takes for one image."""


def layer_phase(layer: Layer, work: LayerWork, multipliers: int) -> Phase:
    """Cut a layer into tiles of neighbouring passes; memory moves evenly over the passes.

    The layer's shape alone says into how many, so that zeros change nothing but their cycles. What
    is loaded passes the buffer's ports, and so does what is stored; what the array reads from
    it while it runs is counted by its actions and timed by its passes.
    """
    passes = len(work.passes)
    parts = max(1, min(MAX_TILES, passes, layer.macs // (multipliers * TILE_CYCLES)))
    ends = np.concatenate([[0], np.cumsum(work.passes)])
    cuts = [passes * part // parts for part in range(parts + 1)]

    def share(total: int, part: int) -> int:
        return total * cuts[part + 1] // passes - total * cuts[part] // passes

    tiles = []
    for part in range(parts):
        inputs, outputs = share(work.input_words, part), share(work.output_words, part)
        loads = [
            Transfer("dram", "read", "weight", share(work.weight_words, part)),
            Transfer("dram", "read", "input", inputs),
            Transfer("glb", "write", "input", inputs),
        ]
        stores = [
            Transfer("glb", "read", "output", outputs),
            Transfer("dram", "write", "output", outputs),
        ]
        tiles.append(
            FixedTile(
                cycles=int(ends[cuts[part + 1]] - ends[cuts[part]]),
                loads=[one for one in loads if one.words],
                stores=[one for one in stores if one.words],
                macs=share(work.macs, part),
            )
        )
    return Phase(
        name="layer",
        tiles=tiles,
        stream_from=["dram"] * parts,
        bounds=lambda stats: work.bounds,
    )
