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
from archonsim.trace.mask import CLIPPED, PASSED

Words = NDArray[np.uint64]
Bits = NDArray[np.uint8]
Window = tuple[int, int, int, int, int, int, int, int]


@njit(cache=True, error_model="numpy")
def _windows(bits, window, tile, array, table):  # type: ignore[no-untyped-def]
    """Write the keep bits at each tap of the PEs' windows to rows ``channel * taps + k``.

    `bits` are those of `pack_rows`; PEs without a pixel get 0.
    """
    kernel_h, kernel_w, stride_h, stride_w, _, _, out_h, out_w = window
    (y0, x0), (rows, cols) = tile, array
    live_rows, live_cols = min(rows, out_h - y0), min(cols, out_w - x0)
    ones = ~np.uint64(0) >> np.uint64(64 - live_cols)
    for m in range(bits.shape[1]):
        for k in range(kernel_h * kernel_w):
            r, s = k // kernel_w, k % kernel_w
            phase, first = s % stride_w, x0 + s // stride_w
            word, shift = first // 64, np.uint64(first % 64)
            for row in range(live_rows):
                y = (y0 + row) * stride_h + r
                segment = bits[phase, m, y, word] >> shift
                if shift:
                    segment |= bits[phase, m, y, word + 1] << (np.uint64(64) - shift)
                segment &= ones
                to, at = row * cols // 64, np.uint64(row * cols % 64)
                table[m * kernel_h * kernel_w + k, to] |= segment << at
                if at + np.uint64(cols) > np.uint64(64):
                    rest = segment >> (np.uint64(64) - at)
                    table[m * kernel_h * kernel_w + k, to + 1] |= rest


@njit(cache=True)
def _combine(first, second, words1, words2, table):  # type: ignore[no-untyped-def]
    for row in range(len(table)):
        for w in range(table.shape[1]):
            table[row, w] = words2[second[row], w]
            if first[row] >= 0:
                table[row, w] &= words1[first[row], w]


def pack_rows(keep: Bits, window: Window) -> Words:
    """Pack the rows of a padded mask, so that the bits of neighbouring PEs are neighbours.

    Parameters
    ----------
    keep : (M, H, W) uint8
        0 or 1.
    window : (kernel_h, kernel_w, stride_h, stride_w, top, left, out_h, out_w)

    Returns
    -------
    bits : (stride_w, M, rows, words) uint64
        Bit i of ``[phase, m, y]`` is the mask at padded row y and padded column
        ``i * stride_w + phase``, 0 outside the map.
    """
    kernel_h, kernel_w, stride_h, stride_w, top, left, out_h, out_w = window
    rows, cols = (out_h - 1) * stride_h + kernel_h, (out_w - 1) * stride_w + kernel_w
    channels = len(keep)
    words = -(-cols // (64 * stride_w)) + 1
    padded = np.zeros((channels, rows, words * 64 * stride_w), np.uint8)
    inside = keep[:, : rows - top, : cols - left]
    padded[:, top : top + inside.shape[1], left : left + inside.shape[2]] = inside
    octets = np.empty((stride_w, channels, rows, words * 8), np.uint8)
    for phase in range(stride_w):
        octets[phase] = np.packbits(padded[:, :, phase::stride_w], axis=2, bitorder="little")
    return octets.view("<u8").astype(np.uint64, copy=False)


class Survivors:
    """The two keep masks of a block, ready to be cut into tiles of output pixels.

    Parameters
    ----------
    keep1 : (M, H, W) uint8
        0 or 1, or what :meth:`archonsim.trace.mask.Mask.states` says; an out-of-image neighbour
        survives nowhere.
    keep2 : (M, P, Q) or, where DW comes last, (O, H, W) uint8
    block : Block
    fused : FusedWeight
        Its rows say which two bits a row combines.
    array : (rows, cols)
        The PE array.
    """

    def __init__(
        self, keep1: Bits, keep2: Bits, block: Block, fused: FusedWeight, array: tuple[int, int]
    ) -> None:
        self._fused, self._array = fused, array
        dw = block.dw
        window: Window = (
            dw.kernel_h,
            dw.kernel_w,
            dw.stride_h,
            dw.stride_w,
            dw.padding[0],
            dw.padding[2],
            dw.out_h,
            dw.out_w,
        )
        own_pixel: Window = (1, 1, 1, 1, 0, 0, dw.out_h, dw.out_w)
        reads = window, window if block.order == "pw-pw-dw" else own_pixel
        # Behind the bits that say passed, those that say clipped.
        parts = [
            [keep] if fused.clipped is None else [keep == PASSED, keep == CLIPPED]
            for keep in (keep1, keep2)
        ]
        self._masks = [
            ([pack_rows(part, one) for part in some], one)
            for some, one in zip(parts, reads, strict=True)
        ]

    def table(self, tile: tuple[int, int]) -> Words:
        """Combine the masks for one tile.

        Parameters
        ----------
        tile : (y, x)
            Output pixel of PE (0, 0).

        Returns
        -------
        table : (R, ceil(rows * cols / 64)) uint64
            For each row of `fused`, the PEs where its candidates survive.
        """
        width = -(-self._array[0] * self._array[1] // 64)
        words = []
        for planes, window in self._masks:
            each = planes[0].shape[1] * window[0] * window[1]
            words.append(np.zeros((len(planes) * each, width), np.uint64))
            for at, bits in enumerate(planes):
                part = words[-1][at * each : (at + 1) * each]
                _windows(bits, window, tile, self._array, part)
        first, second = self._fused.row_first, self._fused.row_second
        table = np.empty((len(first), width), np.uint64)
        _combine(first, second, words[0], words[1], table)
        return table
