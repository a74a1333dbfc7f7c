"""Numba kernel: keep bits of a tile, packed across PEs.

All PEs see the same candidates in the same order, so the survivor bits of the whole array for one
row (a bit of keep1 and one of keep2) fit one row of 64-bit words: bit ``b`` of word ``b // 64``
belongs to PE ``b = row * cols + col``.

Inner loops run over channels, whose words lie side by side: what is done to one is done to several
at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit
from archonsim.network.block import Block
from archonsim.trace.fused_weight import FusedWeight
from archonsim.trace.mask import Mask

Words = NDArray[np.uint64]
Bits = NDArray[np.uint8]
Window = tuple[int, int, int, int, int, int, int, int]

#: Each byte with its bits in the opposite order: masks are stored most significant bit first.
_REVERSED = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)), bitorder="little")


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _take(octets, reverse, first, count):  # type: ignore[no-untyped-def]
    """Return `count` bits, at most 64, from bit number `first` of a channel on."""
    octet, skip, got = first // 8, first % 8, 8 - first % 8
    found = np.uint64(reverse[octets[octet]]) >> np.uint64(skip)
    while got < count:
        octet += 1
        found |= np.uint64(reverse[octets[octet]]) << np.uint64(got)
        got += 8
    return found & (~np.uint64(0) >> np.uint64(64 - count))


@njit(cache=True, error_model="numpy")
def _pack(packed, reverse, size, window, bits):  # type: ignore[no-untyped-def]
    """Write the rows of a padded mask, so that the bits of neighbouring pixels are neighbours.

    Parameters
    ----------
    packed : (M, bytes) uint8
        As in :class:`~archonsim.trace.mask.Mask`.
    reverse : (256,) uint8
    size : (H, W)
    window : (kernel_h, kernel_w, stride_h, stride_w, top, left, out_h, out_w)
    bits : (rows, words, M) uint64
        0; bit i of word w of ``[y, w, m]`` becomes the mask at padded row y and padded column
        ``64 * w + i``.
    """
    kernel_h, kernel_w, stride_h, stride_w, top, left, out_h, out_w = window
    height = min(size[0], (out_h - 1) * stride_h + kernel_h - top)
    width = min(size[1], (out_w - 1) * stride_w + kernel_w - left)
    for m in range(len(packed)):
        octets = packed[m]
        for y in range(height):
            for w in range(bits.shape[1]):
                first = max(64 * w - left, 0)
                count = min(width, 64 * w - left + 64) - first
                if count > 0:
                    found = _take(octets, reverse, y * size[1] + first, count)
                    bits[top + y, w, m] = found << np.uint64(first + left - 64 * w)


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _lay(row, first, count, tall, at):  # type: ignore[no-untyped-def]
    """Put `count` bits of a row, from column `first` on, to place `at`; in all channels."""
    word, shift = first // 64, np.uint64(first % 64)
    to, by = at // 64, np.uint64(at % 64)
    wide, most, ones = np.uint64(count), np.uint64(64), ~np.uint64(0) >> np.uint64(64 - count)
    source, target = row[word], tall[to]
    if shift + wide > most:
        beyond, rest = row[word + 1], most - shift
        for m in range(len(target)):
            target[m] |= ((source[m] >> shift | beyond[m] << rest) & ones) << by
    else:
        for m in range(len(target)):
            target[m] |= ((source[m] >> shift) & ones) << by
    if by + wide > most:
        target, gone = tall[to + 1], most - by
        if shift + wide > most:
            for m in range(len(target)):
                target[m] |= ((source[m] >> shift | beyond[m] << rest) & ones) >> gone
        else:
            for m in range(len(target)):
                target[m] |= ((source[m] >> shift) & ones) >> gone


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _windows(bits, window, tile, array, tall, found):  # type: ignore[no-untyped-def]
    """Write the keep bits at each tap of the PEs' windows to rows ``channel * taps + k``.

    `bits` are those of `_pack`; PEs without a pixel get 0. Taps below one another see the same
    rows of the mask, moved on by a row of PEs: those rows, one behind the other, are `tall`.
    """
    kernel_h, kernel_w, stride_h, stride_w, _, _, out_h, out_w = window
    (y0, x0), (rows, cols) = tile, array
    live_rows, live_cols = min(rows, out_h - y0), min(cols, out_w - x0)
    taps, words, most, one = kernel_h * kernel_w, found.shape[1], np.uint64(64), np.int64(1)
    for s in range(kernel_w):
        for phase in range(min(stride_h, kernel_h)):
            for to in range(len(tall)):
                tall[to, :] = 0
            above = (kernel_h - 1 - phase) // stride_h
            for i in range(live_rows + above):
                row, x = bits[(y0 + i) * stride_h + phase], x0 * stride_w + s
                if stride_w == 1:
                    _lay(row, x, live_cols, tall, i * cols)
                else:
                    for col in range(live_cols):
                        _lay(row, x + col * stride_w, one, tall, i * cols + col)
            for r in range(phase, kernel_h, stride_h):
                k, gone = r * kernel_w + s, r // stride_h * cols
                for w in range(words):
                    live = min(64, live_rows * cols - 64 * w)
                    if live <= 0:
                        for m in range(tall.shape[1]):
                            found[m * taps + k, w] = 0
                        continue
                    ones = ~np.uint64(0) >> np.uint64(64 - live)
                    low, high = tall[w + gone // 64], tall[w + gone // 64 + 1]
                    by = np.uint64(gone % 64)
                    if by:
                        for m in range(len(low)):
                            found[m * taps + k, w] = (low[m] >> by | high[m] << (most - by)) & ones
                    else:
                        for m in range(len(low)):
                            found[m * taps + k, w] = low[m] & ones


@njit(cache=True, error_model="numpy")
def fill(masks, tile, array, rows, table):  # type: ignore[no-untyped-def]
    """Combine both masks for one tile.

    Parameters
    ----------
    masks : two of (bits, window, tall, found)
        As `_windows` takes them; the latter two are scratch.
    tile, array : (y, x), (rows, cols)
    rows : (first, second)
        Which bit of either mask each row combines; -1 for none.
    table : (R, words) uint64
    """
    one, two = masks
    _windows(one[0], one[1], tile, array, one[2], one[3])
    _windows(two[0], two[1], tile, array, two[2], two[3])
    (first, second), words1, words2 = rows, one[3], two[3]
    for row in range(len(table)):
        for w in range(table.shape[1]):
            table[row, w] = words2[second[row], w]
            if first[row] >= 0:
                table[row, w] &= words1[first[row], w]


class Survivors:
    """The two keep masks of a block, ready to be cut into tiles of output pixels.

    Parameters
    ----------
    masks : (Mask, Mask)
        Of the first two layers' outputs; an out-of-image neighbour survives nowhere.
    block : Block
    fused : FusedWeight
        Its rows say which two bits a row combines.
    array : (rows, cols)
        The PE array.
    """

    def __init__(
        self,
        masks: tuple[Mask, Mask],
        block: Block,
        fused: FusedWeight,
        array: tuple[int, int],
    ) -> None:
        self._array, self._rows = array, (fused.row_first, fused.row_second)
        self._words = -(-array[0] * array[1] // 64)
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
        self._masks = tuple(
            self._ready(keep, one, clips=fused.clipped is not None)
            for keep, one in zip(masks, reads, strict=True)
        )

    def _ready(
        self, keep: Mask, window: Window, *, clips: bool
    ) -> tuple[Words, Window, Words, Words]:
        """Return a mask as `fill` takes it; behind the bits that say passed, those of clipped."""
        kernel_h, kernel_w, stride_h, stride_w, _, _, out_h, out_w = window
        packed = np.concatenate(keep.planes()) if clips else keep.packed
        rows, cols = (out_h - 1) * stride_h + kernel_h, (out_w - 1) * stride_w + kernel_w
        bits = np.zeros((rows, -(-cols // 64) + 1, len(packed)), np.uint64)
        _pack(packed, _REVERSED, (keep.height, keep.width), window, bits)
        above = (kernel_h - 1) // stride_h * self._array[1]
        tall = np.empty((self._words + -(-above // 64) + 2, len(packed)), np.uint64)
        found = np.empty((len(packed) * kernel_h * kernel_w, self._words), np.uint64)
        return bits, window, tall, found

    def table(self, tile: tuple[int, int]) -> Words:
        """Combine the masks for one tile.

        Parameters
        ----------
        tile : (y, x)
            Output pixel of PE (0, 0).

        Returns
        -------
        table : (R, ceil(rows * cols / 64)) uint64
            For each row of the fused weights, the PEs where its candidates survive.
        """
        table = np.empty((len(self._rows[0]), self._words), np.uint64)
        fill(self._masks, tile, self._array, self._rows, table)
        return table
