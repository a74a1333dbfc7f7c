"""Numba kernel: which (o, c, k, m) have a non-zero fused weight."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]


@njit(cache=True)
def _fill(live1, lived, live2, bias1, bias2, groups, write, start, mid, out, channel, tap):  # type: ignore[no-untyped-def]
    """Walk all groups in stream order; count, and write when `write`. Returns (groups, candidates)."""
    outs, per_mid = live2.shape
    per_in, taps = live1.shape[1], lived.shape[1]
    # Most of W2 is zero: list what is left of each row once, not once for each of the (C/G) K^2 groups of an output channel.
    row_start = np.zeros(outs + 1, np.int64)
    rows = np.empty(live2.size, np.int64)
    for o in range(outs):
        row_start[o + 1] = row_start[o]
        for j in range(per_mid):
            if live2[o, j]:
                rows[row_start[o + 1]] = o // (outs // groups) * per_mid + j
                row_start[o + 1] += 1
    n, i = 0, 0
    for c in range(per_in + 2):
        for o in range(outs):
            for k in range(taps if c <= per_in else 1):
                before = i
                for at in range(row_start[o], row_start[o + 1]):
                    m = rows[at]
                    if c < per_in:
                        keep = lived[m, k] and live1[m, c]
                    elif c == per_in:
                        keep = lived[m, k] and bias1[m]
                    else:
                        keep = bias2[m]
                    if keep:
                        if write:
                            mid[i] = m
                        i += 1
                # A fused convolution has a MAC slot even where no weight is left; a bias term has none.
                if c < per_in or i > before:
                    if write:
                        out[n] = o
                        channel[n] = c if c < per_in else -1
                        tap[n] = k if c <= per_in else -1
                        start[n + 1] = i
                    n += 1
    return n, i


def list_candidates(
    live1: Bools, lived: Bools, live2: Bools, bias1: Bools, bias2: Bools, groups: int
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """List candidates by group.

    Parameters
    ----------
    live1 : (M, C/G) bool
        Non-zero weights of PW1; likewise ``lived : (M, K*K)`` and ``live2 : (O, M/G)``.
    bias1, bias2 : (M,) bool
        Non-zero shifts of the first two batch normalisations.
    groups : int
        G.

    Returns
    -------
    start : (N + 1,) int32
    mid : (n,) int32
    out, channel, tap : (N,) int32
        As in :class:`archonsim.workload.fused_weight.FusedWeight`.
    """
    none = np.empty(0, np.int32)
    count, total = _fill(live1, lived, live2, bias1, bias2, groups, False, none, none, none, none, none)
    start, mid = np.zeros(count + 1, np.int32), np.empty(total, np.int32)
    out, channel, tap = (np.empty(count, np.int32) for _ in range(3))
    _fill(live1, lived, live2, bias1, bias2, groups, True, start, mid, out, channel, tap)
    return start, mid, out, channel, tap
