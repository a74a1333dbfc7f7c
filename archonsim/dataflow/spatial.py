"""Spatial mapping of plain and predicted layers: which loops run side by side on the array.

Each of the array's two axes takes one of the loops C, M, P, Q (input channels and output channels
of a group, output rows and columns); the narrow adders inside a PE are shared out among the four
loops as integer factors. Taps and groups are run one after the other. Edges cost what they cost: a
loop of 10 on an axis of 8 takes two rounds.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from archonsim.network.layer import Layer

LOOPS = ("C", "M", "P", "Q")

Extents = NDArray[np.int64]

#: What is kept for the next image, or the next machine of a sweep (own decision): a few arrays, all
#: layers of a network on each.
KEPT_ARRAYS = 8
KEPT_MAPPINGS = 1024
#: Mappings that are compared at once.
AT_ONCE = 1 << 17


@dataclass(frozen=True, slots=True)
class RunningSums:
    """What a PE's running sums cost, where they are not free.

    A PE adds to as many running sums at a time as it works on outputs. They stay in its registers
    for the input channels and taps of a round; sums that do not fit there pass a scratchpad's ports
    in every cycle.

    Attributes
    ----------
    bits : int
        Of one sum.
    register_bits : int
        Of a PE's registers for sums.
    ports : int
        Sums that the scratchpad reads and writes in a cycle.
    finish : int
        Cycles at the end of a round, whatever the number of sums.
    finish_each : int
        Cycles at the end of a round for each sum.
    """

    bits: int
    register_bits: int
    ports: int
    finish: int = 0
    finish_each: int = 0


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
    inside : (C, M, P, Q) or None
        Of the extents, what runs on the adders inside a PE; None where nothing asked for it.
    step_cycles : int
        Cycles of an input channel and tap of a round; more than 1 where sums wait for ports.
    finish : int
        Cycles at the end of each round over M, P and Q.
    """

    extent: tuple[int, int, int, int]
    rounds: tuple[int, int, int, int]
    taps: int
    groups: int
    inside: tuple[int, int, int, int] | None = None
    step_cycles: int = 1
    finish: int = 0

    @property
    def units(self) -> int:
        """Rounds over groups and output channels, the outermost loops."""
        return self.groups * self.rounds[1]

    @property
    def unit_cycles(self) -> int:
        """Cycles of one such round."""
        return self.rounds[2] * self.rounds[3] * self.round_cycles(self.rounds[0] * self.taps)

    def round_cycles(self, steps: int) -> int:
        """Cycles of `steps` input channels and taps for one round over M, P and Q."""
        return steps * self.step_cycles + self.finish

    @property
    def cycles(self) -> int:
        """Cycles of the layer when nothing stalls."""
        return self.units * self.unit_cycles

    def array(self, rows: int, cols: int, adders: int) -> tuple[int, ...]:
        """PEs along each loop (C, M, P, Q).

        What is left of the extents runs on the adders inside a PE.
        """
        if self.inside is not None:
            return tuple(all_ // in_ for all_, in_ in zip(self.extent, self.inside, strict=True))
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


@lru_cache(maxsize=KEPT_ARRAYS)
def _shares(adders: int) -> Extents:
    """All tuples of four positive integers whose product is at most `adders`, sorted, (n, 4)."""
    columns, left = list[Extents](), np.array([adders], np.int64)
    for _ in LOOPS:
        before = np.repeat(np.arange(len(left)), left)
        value = np.arange(len(before)) - np.repeat(np.cumsum(left) - left, left) + 1
        columns = [*(column[before] for column in columns), value]
        left = left[before] // value
    return np.stack(columns, axis=1)


def _axes(rows: int, cols: int) -> Extents:
    """PEs along each loop, for all choices of a loop for either axis, (16, 4)."""
    axes = np.ones((16, 4), np.int64)
    for row, (a, b) in enumerate(itertools.product(range(4), repeat=2)):
        axes[row, a] *= rows
        axes[row, b] *= cols
    return axes


def _sum_cycles(sums: RunningSums, inside: Extents) -> tuple[Extents, Extents]:
    """Cycles of a step and of the end of a round, (n,) each, for adder shares (n, 4)."""
    count = inside[:, 1:].prod(axis=1)
    fits = count * sums.bits <= sums.register_bits
    step = np.where(fits, 1, np.maximum(-(-count // sums.ports), 1))
    return step, sums.finish + sums.finish_each * count


@lru_cache(maxsize=KEPT_MAPPINGS)
def map_layer(
    layer: Layer,
    rows: int,
    cols: int,
    adders: int,
    sums: RunningSums | None = None,
    steps: int = 1,
) -> SpatialMapping:
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
    sums : RunningSums or None
        What running sums cost; None: nothing.
    steps : int
        Operations of each product, one after the other; they count as so many taps.
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
    taps = layer.kernel_h * layer.kernel_w * steps
    shares = _shares(adders)
    step, finish = (1, 0) if sums is None else _sum_cycles(sums, shares)
    # Some choices of axes at a time: all of them at once would take the memory of millions of
    # mappings.
    axes = _axes(rows, cols)
    several = max(1, AT_ONCE // len(shares))
    found = []
    for first in range(0, len(axes), several):
        extents = (axes[first : first + several, None] * shares).reshape(-1, 4)
        rounds = -(-sizes // extents)
        cycles = rounds[:, 1:].prod(axis=1)
        cycles *= rounds[:, 0] * taps * np.resize(step, len(rounds)) + np.resize(
            finish, len(rounds)
        )
        least = np.flatnonzero(cycles == cycles.min())
        least = least[rounds[least, 1] == rounds[least, 1].min()]
        place = min((*extents[at].tolist(), int(at % len(shares))) for at in least.tolist())
        found.append((int(cycles[least[0]]), int(rounds[least[0], 1]), *place))
    _, _, c, m, p, q, best = min(found)
    extent, inside = (c, m, p, q), _loops(shares[best])
    if sums is None:
        return SpatialMapping(extent, _loops(-(-sizes // np.array(extent))), taps, groups)
    return SpatialMapping(
        extent=extent,
        rounds=_loops(-(-sizes // np.array(extent))),
        taps=taps,
        groups=groups,
        inside=inside,
        step_cycles=int(np.broadcast_to(step, len(shares))[best]),
        finish=int(np.broadcast_to(finish, len(shares))[best]),
    )


def _loops(values: Extents) -> tuple[int, int, int, int]:
    c, m, p, q = values.tolist()
    return c, m, p, q
