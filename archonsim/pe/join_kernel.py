"""Numba kernel of clusters whose units join bit masks of an input vector and of their filters.

The vector of an output position is cut into chunks. All units of a cluster get the same chunk; each
multiplies the pairs of non-zeros of it and its filters, one a cycle, and a chunk ends with the
slowest unit. :mod:`archonsim.pe.join_reference` defines it; the kernel must agree with it exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit

Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinPlan:
    """How a layer lies on the clusters.

    Attributes
    ----------
    out_h, out_w, stride_h, stride_w : int
    groups : int
    clusters : int
        Output positions are dealt out to them, one after the other.
    chunk : int
        Elements of a chunk: channels of neighbouring taps of a filter row.
    """

    out_h: int
    out_w: int
    stride_h: int
    stride_w: int
    groups: int
    clusters: int
    chunk: int


@njit(cache=True)
def _popcount(x):  # type: ignore[no-untyped-def]
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True)
def _pack(row, first, count, words):  # type: ignore[no-untyped-def]
    """Pack `count` bytes of 0 and 1 from `first` on."""
    for at in range(len(words)):
        words[at] = np.uint64(0)
    for at in range(count):
        if row[first + at]:
            words[at >> 6] |= np.uint64(1) << np.uint64(at & 63)


@njit(cache=True)
def _shared(masks, units, alive, plan, chunks, cycles, busy):  # type: ignore[no-untyped-def]
    """One round of filters that read the same inputs.

    masks : (filters of the round, R, chunks, words); units: unit of each; alive: (rows, W * C).
    """
    out_h, out_w, stride_h, step, chunk, length, clusters = plan
    kernel_h, words = masks.shape[1], masks.shape[3]
    vector = np.empty(words, np.uint64)
    load = np.zeros(units.max() + 1, np.int64)
    for position in range(out_h * out_w):
        y, x = position // out_w, position % out_w
        total = 0
        for r in range(kernel_h):
            for at in range(chunks):
                count = min(chunk, length - at * chunk)
                _pack(alive[y * stride_h + r], x * step + at * chunk, count, vector)
                load[:] = 0
                for m in range(len(masks)):
                    for word in range(words):
                        load[units[m]] += _popcount(vector[word] & masks[m, r, at, word])
                busy[0] += load.sum()
                total += max(1, load.max())
        cycles[position % clusters] += total


@njit(cache=True)
def _apart(nonzero, first, last, alive, plan, cycles, busy):  # type: ignore[no-untyped-def]
    """One round of depthwise filters: each unit joins its own channel's window, in one chunk."""
    out_h, out_w, stride_h, stride_w, clusters = plan
    kernel_h, kernel_w = nonzero.shape[1], nonzero.shape[2]
    for position in range(out_h * out_w):
        y, x = position // out_w * stride_h, position % out_w * stride_w
        slowest = 1
        for m in range(first, last):
            total = 0
            for r in range(kernel_h):
                for s in range(kernel_w):
                    total += nonzero[m, r, s] & alive[m, y + r, x + s]
            busy[0] += total
            slowest = max(slowest, total)
        cycles[position % clusters] += slowest


@dataclass(frozen=True, slots=True, eq=False)
class JoinRun:
    """What a layer takes.

    Attributes
    ----------
    cycles : (rounds, clusters) int64
        Cycles of each cluster, for each round of filters.
    products : int
        Pairs of non-zeros.
    chunks : int
        Chunks that all clusters join, of all rounds.
    """

    cycles: Ints
    products: int
    chunks: int


def chunk_masks(rows: NDArray[np.bool_], chunk: int) -> NDArray[np.uint64]:
    """Pack filter rows into chunks.

    Parameters
    ----------
    rows : (filters, R, S * C) bool
    chunk : int

    Returns
    -------
    masks : (filters, R, chunks, words) uint64
    """
    filters, kernel_h, length = rows.shape
    chunks = -(-length // chunk)
    padded = np.zeros((filters, kernel_h, chunks * chunk), np.bool_)
    padded[:, :, :length] = rows
    bits = padded.reshape(filters, kernel_h, chunks, chunk)
    room = -(-chunk // 64) * 64 - chunk
    bits = np.pad(bits, ((0, 0), (0, 0), (0, 0), (0, room)))
    packed = np.packbits(bits, axis=3, bitorder="little")
    return np.ascontiguousarray(packed).view("<u8").astype(np.uint64)


def join_run(
    nonzero: NDArray[np.bool_],
    alive: Bits,
    order: list[list[tuple[int, int]]],
    plan: JoinPlan,
) -> JoinRun:
    """Run a layer.

    Parameters
    ----------
    nonzero : (O, C/G, R, S) bool
    alive : (C, padded H, padded W) uint8
    order : list of rounds, each a list of (filter, unit)
        Filters of a round belong to one group; those of depthwise layers are neighbours, a unit
        each.
    plan : JoinPlan
    """
    cycles = np.zeros((len(order), plan.clusters), np.int64)
    busy = np.zeros(1, np.int64)
    positions = plan.out_h * plan.out_w
    filters, channels = nonzero.shape[0] // plan.groups, nonzero.shape[1]
    if plan.groups > 1 and channels == filters == 1:
        taps = nonzero[:, 0].astype(np.uint8)
        numbers = (plan.out_h, plan.out_w, plan.stride_h, plan.stride_w, plan.clusters)
        for at, one in enumerate(order):
            _apart(taps, one[0][0], one[-1][0] + 1, alive, numbers, cycles[at], busy)
        return JoinRun(cycles, int(busy[0]), positions * len(order))
    # Channels innermost, so that the window of a filter row is one run of bytes.
    rows = np.ascontiguousarray(nonzero.transpose(0, 2, 3, 1)).reshape(
        nonzero.shape[0], nonzero.shape[2], -1
    )
    masks = chunk_masks(rows, plan.chunk)
    inputs = alive.reshape(plan.groups, channels, *alive.shape[1:]).transpose(0, 2, 3, 1)
    inputs = np.ascontiguousarray(inputs).reshape(plan.groups, alive.shape[1], -1)
    chunks, length = masks.shape[2], rows.shape[2]
    numbers7 = (
        *(plan.out_h, plan.out_w, plan.stride_h, plan.stride_w * channels),
        *(plan.chunk, length, plan.clusters),
    )
    for at, one in enumerate(order):
        chosen = [m for m, _ in one]
        units = np.array([unit for _, unit in one], np.int64)
        read = inputs[chosen[0] // filters]
        _shared(masks[chosen], units, read, numbers7, chunks, cycles[at], busy)
    return JoinRun(cycles, int(busy[0]), positions * len(order) * nonzero.shape[2] * chunks)
