"""Spatial mapping of plain and predicted layers: which loops run side by side on the array.

Each of the array's two axes takes one of the loops C, M, P, Q (input channels and output channels
of a group, output rows and columns); the narrow adders inside a PE are shared out among the four
loops as integer factors. Taps and groups are run one after the other. Edges cost what they cost: a
loop of 10 on an axis of 8 takes two rounds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from archonsim.network.layer import Layer

LOOPS = ("C", "M", "P", "Q")

#: What is kept for the next image, or the next machine of a sweep (own decision): a few arrays, all
#: layers of a network on each.
KEPT_ARRAYS = 8
KEPT_MAPPINGS = 1024


@dataclass(frozen=True, slots=True)
class SpatialMapping:
    """Side-by-side extents of the loops, and the rounds that remain.

    Attributes
    ----------
    extent : (C, M, P, Q)
        How many iterations of each loop run in one cycle on the whole array.
    rounds : (C, M, P, Q)
        How often each loop has to be repeated.
    taps, groups : int
    """

    extent: tuple[int, int, int, int]
    rounds: tuple[int, int, int, int]
    taps: int
    groups: int

    @property
    def units(self) -> int:
        """Rounds over groups and output channels, the outermost loops."""
        return self.groups * self.rounds[1]

    @property
    def unit_cycles(self) -> int:
        """Cycles of one such round."""
        return self.rounds[0] * self.rounds[2] * self.rounds[3] * self.taps

    @property
    def cycles(self) -> int:
        """Cycles of the layer when nothing stalls."""
        return self.units * self.unit_cycles

    def array(self, rows: int, cols: int, adders: int) -> tuple[int, ...]:
        """PEs along each loop (C, M, P, Q).

        What is left of the extents runs on the adders inside a PE.
        """
        for a, b in itertools.product(range(len(LOOPS)), repeat=2):
            across = [
                (rows if loop == a else 1) * (cols if loop == b else 1)
                for loop in range(len(LOOPS))
            ]
            inside = [extent // pes for extent, pes in zip(self.extent, across, strict=True)]
            if (
                all(extent % pes == 0 for extent, pes in zip(self.extent, across, strict=True))
                and math.prod(inside) <= adders
            ):
                return tuple(across)
        raise ValueError(
            f"extents {self.extent} are no mapping on {rows} x {cols} PEs of {adders} adders"
        )

    def channels_before(self, unit: int, per_group: int) -> int:
        """Output channels of the first `unit` rounds; a group has `per_group` of them."""
        group, rounds = divmod(unit, self.rounds[1])
        return group * per_group + min(rounds * self.extent[1], per_group)


def _factors(adders: int, loops: int) -> Iterator[tuple[int, ...]]:
    """All tuples of `loops` positive integers whose product is at most `adders`."""
    if loops == 0:
        yield ()
        return
    for first in range(1, adders + 1):
        for rest in _factors(adders // first, loops - 1):
            yield (first, *rest)


@lru_cache(maxsize=KEPT_ARRAYS)
def _extents(rows: int, cols: int, adders: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """All extents of the four loops: axis choices times adder shares, (n, 4)."""
    axes = np.ones((16, 4), np.int64)
    for row, (a, b) in enumerate(itertools.product(range(4), repeat=2)):
        axes[row, a] *= rows
        axes[row, b] *= cols
    shares = np.array(list(_factors(adders, len(LOOPS))), np.int64)
    return np.unique((axes[:, None] * shares[None]).reshape(-1, 4), axis=0)


@lru_cache(maxsize=KEPT_MAPPINGS)
def map_layer(layer: Layer, rows: int, cols: int, adders: int) -> SpatialMapping:
    """Return the mapping of minimum cycles.

    At equal cycles, of fewest rounds over output channels (fewest input reads).

    Every choice is tried, so the result is the optimum of this space; remaining ties go to the
    first in sorted order.

    Parameters
    ----------
    layer : Layer
        A compute layer.
    rows, cols : int
        PE array.
    adders : int
        Operations of a PE in one cycle: narrow adders in prediction, 1 for MACs.
    """
    sizes = np.array(
        [
            layer.in_channels // layer.groups,
            layer.out_channels // layer.groups,
            layer.out_h,
            layer.out_w,
        ],
        np.int64,
    )
    groups = layer.groups
    if (
        layer.kind == "depthwise"
    ):  # channels do not mix: they are as good as output channels of one group
        sizes, groups = np.array([1, layer.out_channels, layer.out_h, layer.out_w], np.int64), 1
    extents = _extents(rows, cols, adders)
    rounds = -(-sizes // extents)
    order = np.lexsort((rounds[:, 1], rounds.prod(axis=1)))
    best = order[0]
    return SpatialMapping(
        extent=tuple(extents[best].tolist()),
        rounds=tuple(rounds[best].tolist()),
        taps=layer.kernel_h * layer.kernel_w,
        groups=groups,
    )
