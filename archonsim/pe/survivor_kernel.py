"""Numba kernel: keep bits of a tile, packed across PEs.

All PEs see the same candidates in the same order, so the survivor bits of the whole array for one
row (a bit of keep1 and one of keep2) fit one row of 64-bit words: bit ``b`` of word ``b // 64``
belongs to PE ``b = row * cols + col``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit
from archonsim.network.block import Block
from archonsim.trace.fused_weight import FusedWeight

Words = NDArray[np.uint64]
Bits = NDArray[np.uint8]


@njit(cache=True)
def _or_shifted(table, row, bit, segment, cols):  # type: ignore[no-untyped-def]
    """OR `segment` (cols bits) into a table row at position `bit`."""
    word, shift = bit // 64, np.uint64(bit % 64)
    table[row, word] |= segment << shift
    if bit % 64 + cols > 64:
        table[row, word + 1] |= segment >> (np.uint64(64) - shift)


@njit(cache=True)
def _windows(keep, window, tile, array, table):  # type: ignore[no-untyped-def]
    """Write the keep bits at each tap of the PEs' windows to rows ``channel * taps + k``.

    0 outside the map.
    """
    kernel_h, kernel_w, stride_h, stride_w, top, left, out_h, out_w = window
    (y0, x0), (rows, cols) = tile, array
    channels, height, width = keep.shape
    taps, live_rows, live_cols = kernel_h * kernel_w, min(rows, out_h - y0), min(cols, out_w - x0)
    spans = (live_rows - 1) * stride_h + kernel_h
    segments = np.empty((spans, kernel_w), np.uint64)
    one, none = np.uint64(1), np.uint64(0)
    for m in range(channels):
        for i in range(spans):
            y = y0 * stride_h - top + i
            for s in range(kernel_w):
                segment = none
                if 0 <= y < height:
                    for j in range(live_cols):
                        x = (x0 + j) * stride_w - left + s
                        if 0 <= x < width and keep[m, y, x]:
                            segment |= one << np.uint64(j)
                segments[i, s] = segment
        for k in range(taps):
            for r in range(live_rows):
                _or_shifted(
                    table,
                    m * taps + k,
                    r * cols,
                    segments[r * stride_h + k // kernel_w, k % kernel_w],
                    cols,
                )


@njit(cache=True)
def _combine(first, second, words1, words2, table):  # type: ignore[no-untyped-def]
    for row in range(len(table)):
        for w in range(table.shape[1]):
            table[row, w] = words2[second[row], w]
            if first[row] >= 0:
                table[row, w] &= words1[first[row], w]


def survivor_table(
    keep1: Bits,
    keep2: Bits,
    block: Block,
    fused: FusedWeight,
    tile: tuple[int, int],
    array: tuple[int, int],
) -> Words:
    """Combine the two keep masks for one tile of output pixels.

    Parameters
    ----------
    keep1 : (M, H, W) uint8
        0 or 1; an out-of-image neighbour survives nowhere.
    keep2 : (M, P, Q) or, where DW comes last, (O, H, W) uint8
    block : Block
    fused : FusedWeight
        Its rows say which two bits a row combines.
    tile : (y, x)
        Output pixel of PE (0, 0).
    array : (rows, cols)
        The PE array.

    Returns
    -------
    table : (R, ceil(rows * cols / 64)) uint64
        For each row of `fused`, the PEs where its candidates survive.
    """
    dw = block.dw
    window = (
        dw.kernel_h,
        dw.kernel_w,
        dw.stride_h,
        dw.stride_w,
        dw.padding[0],
        dw.padding[2],
        dw.out_h,
        dw.out_w,
    )
    own_pixel = (1, 1, 1, 1, 0, 0, dw.out_h, dw.out_w)
    width = -(-array[0] * array[1] // 64)
    words = []
    for keep, reads in (
        (keep1, window),
        (keep2, window if block.order == "pw-pw-dw" else own_pixel),
    ):
        words.append(np.zeros((len(keep) * reads[0] * reads[1], width), np.uint64))
        _windows(keep, reads, tile, array, words[-1])
    table = np.empty((len(fused.row_first), width), np.uint64)
    _combine(fused.row_first, fused.row_second, words[0], words[1], table)
    return table
