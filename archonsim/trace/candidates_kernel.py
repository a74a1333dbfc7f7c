"""Numba kernels: the candidates of groups (o, c, k), counted and listed in any order of groups.

A candidate is there where three bits of its mid channel are set: of what stands before it (an input
channel of PW1, or a shift), of DW's tap, and of PW2's output. So sets of mid channels are rows of
64-bit words, bit j of a row being input place j of PW2 in its channel group, and a group's
candidates are the bits of three rows in common, in ascending order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit

Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]
Words = NDArray[np.uint64]


@njit(cache=True)
def _popcount(word):  # type: ignore[no-untyped-def]
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True)
def count(sets, alone, groups, found):  # type: ignore[no-untyped-def]
    """Write the candidates of each group to ``found : (N,) int64``, which is 0.

    Parameters
    ----------
    sets : (before, taps, outs, alive)
        (S, G, W), (K + 1, G, W) and (O, W) uint64 as in this file's docstring; (O, K + 1) bool:
        whether an output has any candidate at a tap.
    alone : (O, S) bool
        Groups that have one candidate more, without a mid channel.
    groups : (source, out, tap)
        (N,) int32 each: rows of `before`, `outs` and `taps`.
    """
    before, taps, outs, alive = sets
    source, out, tap = groups
    each = len(outs) // before.shape[1]
    for i in range(len(out)):
        s, o, k = source[i], out[i], tap[i]
        if not alive[o, k]:
            continue
        g = o // each
        total = np.int64(alone[o, s])
        for w in range(outs.shape[1]):
            total += _popcount(before[s, g, w] & taps[k, g, w] & outs[o, w])
        found[i] = total
    return found


@njit(cache=True)
def fill(sets, alone, groups, starts, names, found):  # type: ignore[no-untyped-def]
    """Name the candidates of each group, those of a group in ascending order.

    Parameters
    ----------
    sets, alone, groups
        As of :func:`count`.
    starts : (N,) int32
        Where each group's names begin in `found`.
    names : (base, place, lonely)
        A candidate's name is ``base[o, k] + place[o, j]``, (O, K + 1) and (O, M / G) int32; that of
        the one without a mid channel, the last of its group, is ``lonely[o, k]``.
    found : (n,) int32
        The names; what lies between the groups stays as it is.
    """
    before, taps, outs, alive = sets
    source, out, tap = groups
    base, place, lonely = names
    each = len(outs) // before.shape[1]
    for i in range(len(out)):
        s, o, k = source[i], out[i], tap[i]
        if not alive[o, k]:
            continue
        at, g, first = np.int64(starts[i]), o // each, base[o, k]
        for w in range(outs.shape[1]):
            word = before[s, g, w] & taps[k, g, w] & outs[o, w]
            while word:
                lowest = word & (~word + np.uint64(1))
                found[at] = first + place[o, 64 * w + _popcount(lowest - np.uint64(1))]
                word ^= lowest
                at += 1
        if alone[o, s]:
            found[at] = lonely[o, k]


def _rows(bits: Bools) -> Words:
    """Pack the last axis into 64-bit words."""
    more = -bits.shape[-1] % 64
    padded = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, more)])
    octets = np.ascontiguousarray(np.packbits(padded, axis=-1, bitorder="little"))
    return octets.view("<u8").astype(np.uint64)


def _bits(words: Words, count: int) -> Bools:
    """Unpack rows of 64-bit words again."""
    octets = np.ascontiguousarray(words).astype("<u8").view(np.uint8)
    found = np.unpackbits(octets, axis=-1, bitorder="little")[..., :count]
    return found.astype(bool)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Candidates:
    """Which candidates a block has, as sets; kilobytes, however many there are.

    Sources are the input channels, then the shifts of the first batch normalisation (b1), then
    those of the second (b2) where DW stands in the middle.

    Attributes
    ----------
    sets, alone
        As of :func:`count`.
    mid : (O, M / G) int32
        Mid channel at each input place of PW2, for each output.
    row_base, row_place : (O, K + 1), (O, M / G) int32
        A candidate's row is the sum of both; `row_base` is that of one without a mid channel.
    row_first, row_second : (R,) int32
        As in :class:`archonsim.trace.fused_weight.FusedWeight`.
    """

    sets: tuple[Words, Words, Words, Bools]
    alone: Bools
    mid: Ints
    row_base: Ints
    row_place: Ints
    row_first: Ints
    row_second: Ints

    @property
    def channels(self) -> int:
        """Input channels of the block, which are the first sources."""
        return len(self.sets[0]) - 2

    def count(self, groups: tuple[Ints, Ints, Ints]) -> NDArray[np.int64]:
        """Count the candidates of each group, given as `count` takes them."""
        found = np.zeros(len(groups[0]), np.int64)
        count(self.sets, self.alone, groups, found)
        return found

    def mids(self, groups: tuple[Ints, Ints, Ints], starts: Ints, found: Ints) -> None:
        """Write the mid channels of each group's candidates, -1 for none, to `found`."""
        none = np.zeros_like(self.row_base)
        fill(self.sets, self.alone, groups, starts, (none, self.mid, none - 1), found)

    def rows(self, groups: tuple[Ints, Ints, Ints], starts: Ints, found: Ints) -> None:
        """Write the rows of each group's candidates to `found`."""
        names = (self.row_base, self.row_place, self.row_base)
        fill(self.sets, self.alone, groups, starts, names, found)


def candidates(
    live: tuple[Bools, Bools, Bools],
    bias: tuple[Bools, Bools],
    reads: Ints,
    groups: int,
    *,
    late: bool,
) -> Candidates:
    """Work out which candidates a block has.

    Parameters
    ----------
    live : (M, C/G), (M or O, K*K), (O, M/G) bool
        Non-zero weights of PW1, DW and PW2.
    bias : (M,), (M or O,) bool
        Non-zero shifts of the first two batch normalisations in order of execution.
    reads : (M,) int32
        Mid channel at each of PW2's input places.
    groups : int
        Channel groups of PW1 and PW2 (G).
    late : bool
        Whether DW comes last.
    """
    live1, lived, live2 = live
    mid = reads.reshape(groups, -1)
    per_in, per_mid, outs, taps = live1.shape[1], mid.shape[1], len(live2), lived.shape[1]
    channel = np.arange(groups * per_in)[:, None, None]
    before = (mid // per_mid == channel // per_in) & live1[mid, channel % per_in]
    second = np.zeros_like(mid, bool) if late else bias[1][mid]
    before = np.concatenate([before, bias[0][mid][None], second[None]])
    at_tap = np.ones((taps + 1, *mid.shape), bool)
    alive = np.ones((outs, taps + 1), bool)
    alone = np.zeros((outs, len(before)), bool)
    if late:
        alive[:, :taps], alive[:, taps] = lived, False
        alone[:, -2] = bias[1]
    else:
        at_tap[:taps] = lived.T[:, mid]
    of_out = np.repeat(mid, outs // groups, axis=0)
    there = live2 & np.repeat(before.any(axis=0), outs // groups, axis=0)
    name: Callable[..., Any] = _late_rows if late else _early_rows
    row_base, row_place, row_first, row_second = name(of_out, there, alive, bias[1])
    return Candidates(
        sets=(_rows(before), _rows(at_tap), _rows(live2), alive),
        alone=alone,
        mid=of_out.astype(np.int32),
        row_base=row_base.astype(np.int32),
        row_place=row_place.astype(np.int32),
        row_first=row_first.astype(np.int32),
        row_second=row_second.astype(np.int32),
    )


def _early_rows(
    mid: Ints, there: Bools, alive: Bools, bias: Bools
) -> tuple[Ints, Ints, NDArray[np.int64], NDArray[np.int64]]:
    """One row for each (m, k), then one for keep2 of m alone."""
    mids, taps = len(bias), alive.shape[1] - 1
    first = np.full((mids, taps + 1), -1, np.int64)
    first[:, :taps] = np.arange(mids * taps).reshape(mids, taps)
    base = np.broadcast_to(np.arange(taps + 1, dtype=np.int32), alive.shape)
    return base, mid * (taps + 1), first.reshape(-1), np.repeat(np.arange(mids), taps + 1)


def _late_rows(
    mid: Ints, there: Bools, alive: Bools, bias: Bools
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """One row for each (o, k, m) that some candidate has.

    For each (o, k): keep2 alone where b2 is there, then the mid channels in ascending order.
    """
    outs, taps = alive.shape[0], alive.shape[1] - 1
    order = np.argsort(mid, axis=1)
    rank = np.empty_like(order)
    sorted_there = np.take_along_axis(there, order, 1)
    np.put_along_axis(rank, order, np.cumsum(sorted_there, axis=1) - 1, 1)
    each = there.sum(axis=1) + bias
    ends = np.cumsum(np.where(alive[:, :taps], each[:, None], 0)).reshape(outs, taps)
    base = np.zeros((outs, taps + 1), np.int64)
    base[:, :taps] = ends - np.where(alive[:, :taps], each[:, None], 0)
    first: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    second: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for o in range(outs):
        mids = np.append(np.full(int(bias[o]), -1), mid[o][order[o]][sorted_there[o]])
        at = np.flatnonzero(alive[o, :taps])
        first.append(np.where(mids < 0, -1, mids * taps + at[:, None]).ravel())
        second.append(np.repeat(o * taps + at, len(mids)))
    return base, rank + bias[:, None], np.concatenate(first), np.concatenate(second)
