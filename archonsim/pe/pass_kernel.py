"""Numba kernels of the sparse array: work of each PE and pass, and when passes end.

:mod:`archonsim.pe.pass_reference` defines both; the kernels must agree with it exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit

Ints = NDArray[np.int64]
Work = NDArray[np.int32]


@njit(cache=True)
def _weight_work(counts, passes, pes, runs, work):  # type: ignore[no-untyped-def]
    for at in range(len(passes)):
        for pe in range(len(pes)):
            first = passes[at] + pes[pe]
            total = 0
            for c in range(first[1], first[1] + runs[1]):
                for r in range(first[5], first[5] + runs[2]):
                    total += counts[first[2] // runs[0], c, first[6], r]
            work[pe, at] = total


@njit(cache=True)
def _masked_work(nonzero, alive, passes, pes, runs, geometry, work):  # type: ignore[no-untyped-def]
    stride_w, stride_h, left, top, depthwise = geometry
    height, width = alive.shape[1:]
    for at in range(len(passes)):
        for pe in range(len(pes)):
            first = passes[at] + pes[pe]
            y = first[4] * stride_h + first[6] - top
            total = 0
            if 0 <= y < height:
                for c in range(first[1], first[1] + runs[1]):
                    for r in range(first[5], first[5] + runs[2]):
                        x = first[3] * stride_w + r - left
                        if 0 <= x < width:
                            for m in range(first[2], first[2] + runs[0]):
                                if (
                                    nonzero[m, c, first[6], r]
                                    and alive[m if depthwise else c, y, x]
                                ):
                                    total += 1
            work[pe, at] = total


@njit(cache=True)
def _finish(work, ahead, ends):  # type: ignore[no-untyped-def]
    pes, passes = work.shape
    done = np.zeros(pes, np.int64)
    for at in range(passes):
        gate = ends[at - 1 - ahead] if at - 1 - ahead >= 0 else 0
        last = 0
        for pe in range(pes):
            done[pe] = max(done[pe], gate) + work[pe, at]
            last = max(last, done[pe])
        ends[at] = last


def weight_work(
    nonzero: NDArray[np.bool_], passes: Ints, pes: Ints, runs: tuple[int, int, int]
) -> Work:
    """Count the non-zero weights of each PE and pass.

    Parameters
    ----------
    nonzero : (M, C, S, R) bool
        Of one group: filters as stored, rows S before columns R.
    passes, pes, runs
        As in :class:`archonsim.dataflow.passes.PassGrid`.

    Returns
    -------
    work : (PEs, passes) int32
    """
    counts = nonzero.reshape(-1, runs[0], *nonzero.shape[1:]).sum(axis=1, dtype=np.int64)
    work = np.empty((len(pes), len(passes)), np.int32)
    _weight_work(counts, passes, pes, np.array(runs, np.int64), work)
    return work


def masked_work(
    nonzero: NDArray[np.bool_],
    alive: NDArray[np.uint8],
    passes: Ints,
    pes: Ints,
    runs: tuple[int, int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    depthwise: bool,
) -> Work:
    """Count the products of each PE and pass whose weight and activation are both non-zero.

    Parameters
    ----------
    nonzero : (M, C, S, R) bool
    alive : (channels, H, W) uint8
        0 where an activation is zero; padding is zero, too.
    stride, padding : (horizontal, vertical)
        Padding: zero pixels at the left and at the top.
    depthwise : bool
        Whether output channel m reads input channel m.
    """
    work = np.empty((len(pes), len(passes)), np.int32)
    geometry = np.array([*stride, *padding, depthwise], np.int64)
    _masked_work(nonzero, alive, passes, pes, np.array(runs, np.int64), geometry, work)
    return work


def pass_ends(work: Work, ahead: int) -> Ints:
    """Return the cycle in which the last PE has ended each pass.

    Parameters
    ----------
    work : (PEs, passes) int
        Cycles of each PE and pass.
    ahead : int
        A PE may start a pass once every PE has ended the pass `ahead` + 1 before it: 0 is a barrier
        after every pass.
    """
    ends = np.zeros(work.shape[1], np.int64)
    _finish(work, ahead, ends)
    return ends
