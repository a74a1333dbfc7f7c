"""Numba kernels: which (o, c, k, m) have a non-zero fused weight, for both layer orders."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit

Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]
Lists = tuple[Ints, Ints, Ints, Ints, Ints]


@njit(cache=True)
def _live_rows(live2, reads, groups):  # type: ignore[no-untyped-def]
    """List the mid channels behind each output of PW2.

    Most of W2 is zero, so once, not once for each group of an output.
    """
    outs, per_mid = live2.shape
    start, mids = np.zeros(outs + 1, np.int64), np.empty(live2.size, np.int64)
    for o in range(outs):
        start[o + 1] = start[o]
        for j in range(per_mid):
            if live2[o, j]:
                mids[start[o + 1]] = reads[o // (outs // groups) * per_mid + j]
                start[o + 1] += 1
    return start, mids


@njit(cache=True)
def _fill(live, bias, reads, reach, start, mid, out, channel, tap):  # type: ignore[no-untyped-def]
    """Order PW1 - DW - PW2: walk all groups in stream order. Returns their number."""
    live1, lived, live2 = live
    outs, groups, per_in, taps = live2.shape[0], len(reach), live1.shape[1], lived.shape[1]
    row_start, rows = _live_rows(live2, reads, groups)
    some = np.empty(len(live1), np.int64)
    n, i = 0, 0
    for c in range(per_in + 2):
        behind = live1[:, c] if c < per_in else bias[0] if c == per_in else bias[1]
        for o in range(outs):
            # Most m fall away before the taps are looked at.
            count = 0
            for at in range(row_start[o], row_start[o + 1]):
                some[count] = rows[at]
                count += behind[rows[at]]
            for k in range(taps if c <= per_in else 1):
                before = i
                for at in range(count):
                    if c > per_in or lived[some[at], k]:
                        mid[i] = some[at]
                        i += 1
                # A fused convolution has a MAC slot even where no weight is left; a bias term has
                # none.
                if c < per_in or i > before:
                    out[n] = o
                    channel[n] = o // (outs // groups) * per_in + c if c < per_in else -1
                    tap[n] = k if c <= per_in else -1
                    start[n + 1] = i
                    n += 1
    return n


@njit(cache=True)
def _fill_late(live, bias, reads, reach, start, mid, out, channel, tap):  # type: ignore[no-untyped-def]
    """Order PW1 - PW2 - DW: likewise.

    Any input channel may reach any output; b2 joins b1 in the group of its (o, k).
    """
    live1, lived, live2 = live
    outs, groups, per_in, taps = live2.shape[0], len(reach), live1.shape[1], lived.shape[1]
    row_start, rows = _live_rows(live2, reads, groups)
    per_mid, channels = live1.shape[0] // groups, groups * per_in
    n, i = 0, 0
    for c in range(channels + 1):
        for o in range(outs):
            if c < channels and not reach[o // (outs // groups), c // per_in]:
                continue
            for k in range(taps):
                before = i
                if lived[o, k]:
                    for at in range(row_start[o], row_start[o + 1]):
                        m = rows[at]
                        if (
                            bias[0][m]
                            if c == channels
                            else m // per_mid == c // per_in and live1[m, c % per_in]
                        ):
                            mid[i] = m
                            i += 1
                    if c == channels and bias[1][o]:
                        mid[i] = -1
                        i += 1
                if c < channels or i > before:
                    out[n], channel[n], tap[n] = o, c if c < channels else -1, k
                    start[n + 1] = i
                    n += 1
    return n


def list_candidates(
    live: tuple[Bools, Bools, Bools],
    bias: tuple[Bools, Bools],
    reads: Ints,
    reach: Bools,
    *,
    late: bool,
) -> Lists:
    """List candidates by group.

    Parameters
    ----------
    live : (M, C/G), (M or O, K*K), (O, M/G) bool
        Non-zero weights of PW1, DW and PW2.
    bias : (M,), (M or O,) bool
        Non-zero shifts of the first two batch normalisations in order of execution.
    reads : (M,) int32
        Mid channel at each of PW2's input places.
    reach : (G, G) bool
        Whether a group of PW2 depends on a group of PW1.
    late : bool
        Whether DW comes last.

    Returns
    -------
    start : (N + 1,) int32
    mid : (n,) int32
    out, channel, tap : (N,) int32
        As in :class:`archonsim.trace.fused_weight.FusedWeight`.
    """
    fill: Any = _fill_late if late else _fill
    outs, channels, taps = len(live[2]), len(reach) * live[0].shape[1], live[1].shape[1]
    at_most = outs * ((channels + 1) * taps + 1)
    start, mid = (
        np.zeros(at_most + 1, np.int32),
        np.empty(_candidates(live, bias, reads, len(reach), late), np.int32),
    )
    out, channel, tap = (np.empty(at_most, np.int32) for _ in range(3))
    count = fill(live, bias, reads, reach, start, mid, out, channel, tap)
    return start[: count + 1], mid, out[:count], channel[:count], tap[:count]


def _candidates(
    live: tuple[Bools, Bools, Bools],
    bias: tuple[Bools, Bools],
    reads: Ints,
    groups: int,
    late: bool,
) -> int:
    """Count the candidates without listing them.

    Each non-zero weight of PW2 times what stands behind it.
    """
    live1, lived, live2 = live
    rows = live2.reshape(groups, len(live2) // groups, -1)
    behind = (live1.sum(1) + bias[0])[reads].reshape(groups, 1, -1)
    taps = lived.sum(1)
    if late:
        return int((taps * ((rows * behind).sum(2).ravel() + bias[1])).sum())
    return int(
        (
            rows
            * (behind * taps[reads].reshape(groups, 1, -1) + bias[1][reads].reshape(groups, 1, -1))
        ).sum()
    )
