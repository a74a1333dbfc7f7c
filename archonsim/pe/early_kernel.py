"""Numba kernel of sums that stop early: how many weights each output meets.

A filter's weights come in an order: first those that its sum speculates on, if it does; then the
positive ones; then the negative ones. Inputs are not negative, so that a sum that is negative among
the last stays so. :mod:`archonsim.pe.early_reference` steps lanes cycle by cycle; the kernel must
agree with it exactly, to the bit of each float32 sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

#: Values of a matrix of windows that are made at a time: they stay in the cache (own decision).
_VALUES = 1 << 17
#: Negative weights between two looks whether any sum is left.
_LOOK = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ordered:
    """A layer's weights in the order in which they come.

    Attributes
    ----------
    weight : (N,) float32
        Of all filters, one after the other, with the layer's scale.
    index : (N,) int32
        Place of each in its filter, (C/G, R, S) in C order.
    first : (O + 1,) int32
        Weights of filter m are ``first[m]:first[m + 1]``.
    prefix, certain : (O,) int32
        Weights that a filter speculates on (0: it does not), and weights before those that are only
        negative.
    start : (O,) float32
        What a sum begins with: the shift.
    threshold : (O,) float32
        A sum that is less behind its prefix stops there.
    """

    weight: Floats
    index: NDArray[np.int32]
    first: NDArray[np.int32]
    prefix: NDArray[np.int32]
    certain: NDArray[np.int32]
    start: Floats
    threshold: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The windows that a layer's outputs see.

    Attributes
    ----------
    out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, groups : int
    """

    out_h: int
    out_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    groups: int


@njit(cache=True)
def _fill(x, sizes, position, columns):  # type: ignore[no-untyped-def]
    """Write windows to columns, from a position on.

    x : (C/G, padded H, padded W) float32; columns : (C/G * R * S, positions) float32.
    """
    out_w, kernel_h, kernel_w, stride_h, stride_w = sizes
    row = 0
    for c in range(len(x)):
        for r in range(kernel_h):
            for s in range(kernel_w):
                line = columns[row]
                h, w = position // out_w, position % out_w
                at = 0
                while at < len(line):
                    count = min(out_w - w, len(line) - at)
                    source = x[c, h * stride_h + r]
                    place = w * stride_w + s
                    for n in range(count):
                        line[at + n] = source[place + n * stride_w]
                    at += count
                    h, w = h + 1, 0
                row += 1


@njit(cache=True)
def _any_left(sums):  # type: ignore[no-untyped-def]
    left = False
    for n in range(len(sums)):
        left |= sums[n] >= 0
    return left


@njit(cache=True)
def _filter(columns, weight, index, marks, floats, stops, sums, partial):  # type: ignore[no-untyped-def]
    """Run one filter on some positions.

    weight, index : (K,); marks: prefix and certain; floats: start and threshold. Filled, one a
    position: stops int32, sums and partial (behind the prefix) float32.
    """
    prefix, certain = marks
    start, threshold = floats
    count = len(stops)
    for n in range(count):
        sums[n] = start
    for j in range(prefix):
        w, line = weight[j], columns[index[j]]
        for n in range(count):
            sums[n] += w * line[n]
    for n in range(count):
        partial[n] = sums[n]
    for j in range(prefix, certain):
        w, line = weight[j], columns[index[j]]
        for n in range(count):
            sums[n] += w * line[n]
    for n in range(count):
        stops[n] = certain
    for j in range(certain, len(weight)):
        w, line = weight[j], columns[index[j]]
        if (j - certain) % _LOOK == 0 and not _any_left(sums):
            break
        for n in range(count):
            stops[n] += np.int32(sums[n] >= 0)
            sums[n] += w * line[n]
    if prefix > 0:
        for n in range(count):
            if partial[n] < threshold:
                stops[n] = prefix


@njit(cache=True)
def _group(x, sizes, chunk, filters, order, out):  # type: ignore[no-untyped-def]
    """Run the filters of a group on all positions, some at a time."""
    weight, index, first, prefix, certain, start, threshold = order
    stops, sums, partial = out
    positions = stops.shape[1]
    length = len(x) * sizes[1] * sizes[2]
    begin, end = filters
    for at in range(0, positions, chunk):
        some = min(chunk, positions - at)
        columns = np.empty((length, some), np.float32)
        _fill(x, sizes, at, columns)
        for m in range(begin, end):
            _filter(
                columns,
                weight[first[m] : first[m + 1]],
                index[first[m] : first[m + 1]],
                (prefix[m], certain[m]),
                (start[m], threshold[m]),
                stops[m, at : at + some],
                sums[m, at : at + some],
                partial[m, at : at + some],
            )


def early_stops(
    order: Ordered, x: Floats, windows: Windows
) -> tuple[NDArray[np.int32], Floats, Floats]:
    """Return how many weights each output meets.

    Parameters
    ----------
    order : Ordered
    x : (C, padded H, padded W) float32
        Not negative.
    windows : Windows

    Returns
    -------
    stops : (O, P * Q) int32
    sums : (O, P * Q) float32
        Where an output is not negative, its sum; where it is, some negative number.
    partial : (O, P * Q) float32
        Sums behind the prefix.
    """
    filters, positions = len(order.start), windows.out_h * windows.out_w
    out = (
        np.empty((filters, positions), np.int32),
        np.empty((filters, positions), np.float32),
        np.empty((filters, positions), np.float32),
    )
    groups = windows.groups
    own = x.reshape(groups, -1, *x.shape[1:])
    each = filters // groups
    length = own.shape[1] * windows.kernel_h * windows.kernel_w
    chunk = max(32, _VALUES // length)
    sizes = (
        *(windows.out_w, windows.kernel_h, windows.kernel_w),
        *(windows.stride_h, windows.stride_w),
    )
    arrays = (
        *(order.weight, order.index, order.first, order.prefix, order.certain),
        *(order.start, order.threshold),
    )
    for group in range(groups):
        span = (group * each, (group + 1) * each)
        _group(np.ascontiguousarray(own[group], np.float32), sizes, chunk, span, arrays, out)
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class LanePlan:
    """How a layer lies on the PEs.

    Attributes
    ----------
    parts : int
        Runs of neighbouring output positions, a PE each; see `edges`.
    filters : int
        Filters of a round, each on as many PEs as there are parts.
    lanes : int
        Neighbouring positions of a part that go together.
    meet : bool
        Whether all PEs meet at the end of a round; else each goes on to its next filter.
    """

    parts: int
    filters: int
    lanes: int
    meet: bool

    def edges(self, positions: int) -> list[int]:
        """First position of each part, and the end: even shares."""
        return [positions * part // self.parts for part in range(self.parts + 1)]


@dataclass(frozen=True, slots=True, eq=False)
class LaneRun:
    """What a layer takes.

    Attributes
    ----------
    passes : (rounds,) or (1,) int64
        Cycles of each round of filters, or of all: those of the slowest PE.
    steps : (O,) int64
        Weights that all PEs of a filter take, a cycle each.
    """

    passes: Ints
    steps: Ints


def lane_run(stops: NDArray[np.int32], plan: LanePlan) -> LaneRun:
    """Let the lanes of all PEs go through their outputs.

    A PE's lanes take neighbouring positions together and get one weight a cycle until the last of
    them stops, and a cycle where none multiplies at all. Filter m of a layer is on the PEs that had
    filter m less those of a round.

    Parameters
    ----------
    stops : (O, positions) int32
    plan : LanePlan
    """
    filters, positions = stops.shape
    edges = plan.edges(positions)
    cycles = np.empty((filters, plan.parts), np.int64)
    for part in range(plan.parts):
        own = stops[:, edges[part] : edges[part + 1]]
        room = -own.shape[1] % plan.lanes
        own = np.pad(own, ((0, 0), (0, room))).reshape(filters, -1, plan.lanes)
        cycles[:, part] = np.maximum(own.max(axis=2, initial=0), 1).sum(axis=1, dtype=np.int64)
    rounds = -(-filters // plan.filters)
    room = rounds * plan.filters - filters
    by_pe = np.pad(cycles, ((0, room), (0, 0))).reshape(rounds, plan.filters, plan.parts)
    passes = by_pe.max(axis=(1, 2)) if plan.meet else by_pe.sum(axis=0).max(keepdims=True).ravel()
    return LaneRun(passes, cycles.sum(axis=1))
