"""Numba kernel: what the two ReLUs of a block do, one mid channel after the other.

The first layer is 1x1 and the second one depthwise, so a channel needs nothing of another one's
between them: its map stays in the processor's cache from the input to both signs. Sums run over
input channels or taps in ascending order, in float32, zero weights left out, as
:mod:`~archonsim.trace.convolve_kernel` does it for whole maps; both give the same bits. (There the
map is padded with zeros, here likewise, in a line that all channels share.) A ReLU drops, passes
or, behind an upper end, clips.

A layer is a tuple of weight, scale and shift. `sizes` is (groups, H, W, rows and columns before the
map, padded width, P, Q, row and column stride). What a channel needs, and what is found, is passed
in: a kernel that makes arrays needs a part of numba that takes longer to import than all of this.
And no part of an array is taken for one channel: counting who holds it takes as long as what is
done with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archonsim.kernels import njit


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _add_up(weights: Any, m: Any, offsets: Any, x: Any, begin: Any, out: Any, some: Any) -> None:
    """Add ``weights[m, i] * x[begin + offsets[i] :]`` up into `out`, in ascending order of i.

    Zeros are left out: `some` is scratch for what remains, which is few; two are added at a time.
    """
    places, values = some
    count = 0
    for i in range(len(offsets)):
        places[count], values[count] = begin + offsets[i], weights[m, i]
        count += weights[m, i] != 0  # no branch: which ones are zero nobody can predict
    none = np.float32(0)
    if count % 2:
        w, b = values[0], np.uint64(places[0])
        for n in range(len(out)):
            out[n] = none + w * x[b + np.uint64(n)]
    elif count:
        v, w, a, b = values[0], values[1], np.uint64(places[0]), np.uint64(places[1])
        for n in range(len(out)):
            out[n] = (none + v * x[a + np.uint64(n)]) + w * x[b + np.uint64(n)]
    else:
        for n in range(len(out)):
            out[n] = none
    for i in range(2 - count % 2, count, 2):
        v, w, a, b = values[i], values[i + 1], np.uint64(places[i]), np.uint64(places[i + 1])
        for n in range(len(out)):
            out[n] = (out[n] + v * x[a + np.uint64(n)]) + w * x[b + np.uint64(n)]


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _relu(line: Any, affine: Any, end: Any, sign: Any, begin: Any) -> None:
    """Scale and shift sums in place, and write down what a ReLU does to them."""
    (a, b), at = affine, np.uint64(begin)
    for n in range(len(line)):
        line[n] = line[n] * a + b
    for n in range(len(line)):
        # Truths add up as numbers, which those of numpy do not without numba.
        sign[at + np.uint64(n)] = np.uint8(line[n] > 0) + np.uint8(line[n] > end)


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _masked(line: Any, keep: Any, begin: Any, end: Any) -> None:
    """Leave of a line what a mask keeps, in place."""
    at = np.uint64(begin)
    for n in range(len(line)):
        state = keep[at + np.uint64(n)]
        kept = line[n] if state < 2 else end
        line[n] = kept if state else np.float32(0)


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _levelled(line: Any, levels: Any, end: Any) -> None:
    """Round what passes a ReLU to the levels of the next predictor, in place."""
    step, low, high = levels
    for n in range(len(line)):
        # What is no number stays none, here and between the levels.
        value = np.float32(0) if line[n] <= 0 else line[n]
        value = end if value > end else value
        value = np.rint(value / step)
        value = low if value < low else value
        line[n] = high if value > high else value


@njit(cache=True)
def signs(first: Any, second: Any, x: Any, between: Any, sizes: Any, work: Any) -> None:
    """Find what the two ReLUs of a block do: 0 drops, 1 passes, 2 clips.

    Parameters
    ----------
    first, second : (weight, scale, shift)
        Weights (M, C/G) and (M, R * S), all float32: of two layers, or of a cascade of predictors.
    x : (C * H * W,) float32
        The block's input; of predictors, in levels of the first one.
    between : ((M * H * W,) uint8, (step, low, high) of float32, (end, end) of float32)
        What happens between the two: of layers, a mask of what the first ReLU does; of predictors,
        an empty one, and the levels of the second one. Last, the ReLUs' upper ends.
    sizes : tuple of int
    work : (sign1, sign2, line, padded, out, picked, rows1, rows2, some)
        What is found, (M * H * W,) and (M * P * Q,) uint8; float32 scratch of H * W, of all padded
        pixels, 0, of so many as lie between the first and the last window's places, and of P * Q;
        int64: where a channel begins behind its group's first, and a tap's pixel behind the
        window's; scratch of `_add_up`.
    """
    groups, height, width, top, left, wide, rows, columns, down, right = sizes
    keep, levels, (end1, end2) = between
    sign1, sign2, line, padded, out, picked, rows1, rows2, some = work
    (weight1, scale1, shift1), (weight2, scale2, shift2) = first, second
    mids, depth = weight1.shape
    pixels = len(line)
    for m in range(mids):
        _add_up(weight1, m, rows1, x, m // (mids // groups) * depth * pixels, line, some)
        _relu(line, (scale1[m], shift1[m]), end1, sign1, m * pixels)
        if len(keep):
            _masked(line, keep, m * pixels, end1)
        else:
            _levelled(line, levels, end1)
        for h in range(height):
            at, to = np.uint64(h * width), np.uint64((top + h) * wide + left)
            for w in range(width):
                padded[to + np.uint64(w)] = line[at + np.uint64(w)]
        _add_up(weight2, m, rows2, padded, 0, out, some)
        for p in range(rows):
            at, to = np.uint64(p * down * wide), np.uint64(p * columns)
            for q in range(columns):
                picked[to + np.uint64(q)] = out[at + np.uint64(q * right)]
        _relu(picked, (scale2[m], shift2[m]), end2, sign2, m * rows * columns)
