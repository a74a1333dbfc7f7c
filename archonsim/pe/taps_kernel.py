"""Non-zero inputs that each tap of a filter meets: what pairs of non-zeros are counted with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit

Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]


@njit(cache=True)
def _row_taps(alive, stride, left, top, out_w, taps):  # type: ignore[no-untyped-def]
    channels, height, width = alive.shape
    for c in range(channels):
        for y in range(height):
            for s in range(taps.shape[2]):
                total = 0
                for x in range(out_w):
                    at = x * stride + s - left
                    if 0 <= at < width:
                        total += alive[c, y, at]
                taps[c, top + y, s] = total


def row_taps(
    alive: Bits, kernel_w: int, stride_w: int, padding: tuple[int, int, int, int], out_w: int
) -> Ints:
    """Count, for each input row and tap column, the output columns that meet a non-zero there.

    Parameters
    ----------
    alive : (C, H, W) uint8
        0 where an input is zero, else 1.
    kernel_w, stride_w, out_w : int
    padding : (top, bottom, left, right)
        Zero pixels.

    Returns
    -------
    taps : (C, top + H + bottom, S) int64
        Rows of padding are 0.
    """
    top, bottom, left, _ = padding
    taps = np.zeros((alive.shape[0], top + alive.shape[1] + bottom, kernel_w), np.int64)
    _row_taps(alive, stride_w, left, top, out_w, taps)
    return taps


def tap_counts(taps: Ints, kernel_h: int, stride_h: int, out_h: int) -> Ints:
    """Count, for each tap, the outputs that meet a non-zero input there.

    Parameters
    ----------
    taps : (C, rows, S) int64
        From :func:`row_taps`.
    kernel_h, stride_h, out_h : int

    Returns
    -------
    counts : (C, R, S) int64
    """
    last = (out_h - 1) * stride_h + 1
    rows = [taps[:, r : r + last : stride_h].sum(axis=1) for r in range(kernel_h)]
    return np.stack(rows, axis=1)


def pairs(counts: Ints, nonzero: NDArray[np.bool_], groups: int) -> int:
    """Count the products whose weight and input are both non-zero.

    Parameters
    ----------
    counts : (C, R, S) int64
        From :func:`tap_counts`.
    nonzero : (O, C/G, R, S) bool
    groups : int
    """
    weights = nonzero.reshape(groups, -1, *nonzero.shape[1:]).sum(axis=1, dtype=np.int64)
    return int((weights.reshape(counts.shape) * counts).sum())
