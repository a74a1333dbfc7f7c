"""Numba kernel: keep bits of a tile, packed across PEs.

All PEs see the same candidates in the same order, so the survivor bits of the whole array for one (m, tap) fit one row of
64-bit words: bit ``b`` of word ``b // 64`` belongs to PE ``b = row * cols + col``.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from archonsim.workload.layer import Layer

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
def _survivors(keep1, keep2, top, left, y0, x0, shape, table):  # type: ignore[no-untyped-def]
    rows, cols, kernel_h, kernel_w, stride_h, stride_w = shape
    channels, height, width = keep1.shape
    out_h, out_w = keep2.shape[1:]
    taps = kernel_h * kernel_w
    spans = (rows - 1) * stride_h + kernel_h
    segments = np.empty((spans, kernel_w), np.uint64)
    one, none = np.uint64(1), np.uint64(0)
    for m in range(channels):
        base = m * (taps + 1)
        for r in range(rows):
            segment = none
            if y0 + r < out_h:
                for j in range(min(cols, out_w - x0)):
                    if keep2[m, y0 + r, x0 + j]:
                        segment |= one << np.uint64(j)
            _or_shifted(table, base + taps, r * cols, segment, cols)
        for i in range(spans):
            y = y0 * stride_h - top + i
            for s in range(kernel_w):
                segment = none
                if 0 <= y < height:
                    for j in range(cols):
                        x = (x0 + j) * stride_w - left + s
                        if 0 <= x < width and keep1[m, y, x]:
                            segment |= one << np.uint64(j)
                segments[i, s] = segment
        for k in range(taps):
            for r in range(rows):
                _or_shifted(table, base + k, r * cols, segments[r * stride_h + k // kernel_w, k % kernel_w], cols)
            for w in range(table.shape[1]):
                table[base + k, w] &= table[base + taps, w]


def survivor_table(keep1: Bits, keep2: Bits, depthwise: Layer, tile: tuple[int, int], rows: int, cols: int) -> Words:
    """Combine the two keep masks for one tile of output pixels.

    Parameters
    ----------
    keep1 : (M, H, W) uint8
        0 or 1; an out-of-image neighbour survives nowhere.
    keep2 : (M, P, Q) uint8
    depthwise : Layer
        Gives window, stride and padding.
    tile : (y, x)
        Output pixel of PE (0, 0).
    rows, cols : int
        The PE array.

    Returns
    -------
    table : (M * (K*K + 1), ceil(rows * cols / 64)) uint64
        Row ``m * (K*K + 1) + k``: PEs where candidate m survives at tap k, i.e. keep1 at the tap's pixel and keep2 at the
        PE's own; row ``... + K*K``: keep2 alone.
    """
    top, _, left, _ = depthwise.padding
    taps = depthwise.kernel_h * depthwise.kernel_w
    table = np.zeros((len(keep2) * (taps + 1), -(-rows * cols // 64)), np.uint64)
    shape = (rows, cols, depthwise.kernel_h, depthwise.kernel_w, depthwise.stride_h, depthwise.stride_w)
    _survivors(keep1, keep2, top, left, tile[0], tile[1], shape, table)
    return table
