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
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archonsim.kernels import njit


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _pointwise(weight: Any, m: Any, x: Any, first: Any, line: Any) -> None:
    """Add channel `m` of a 1x1 layer up into ``line : (pixels,)``."""
    for n in range(len(line)):
        line[n] = 0
    for c in range(weight.shape[1]):
        w = weight[m, c]
        if w != 0:
            row = x[first + c]
            for n in range(len(line)):
                line[n] += w * row[n]


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _depthwise(weight: Any, m: Any, padded: Any, wide: Any, out: Any) -> None:
    """Add channel `m` of a depthwise layer of stride 1 up into `out`.

    `padded` and `out` are maps in lines of `wide` pixels, one behind the other. What a window that
    leaves its line at the end adds up is nobody's.
    """
    for n in range(len(out)):
        out[n] = 0
    for r in range(weight.shape[1]):
        for s in range(weight.shape[2]):
            w = weight[m, r, s]
            if w != 0:
                source = padded[r * wide + s :]
                for n in range(len(out)):
                    out[n] += w * source[n]


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _relu(line: Any, affine: Any, end: Any, sign: Any) -> None:
    """Scale and shift sums in place, and write down what a ReLU does to them."""
    a, b = affine
    for n in range(len(line)):
        line[n] = line[n] * a + b
    for n in range(len(line)):
        # Truths add up as numbers, which those of numpy do not without numba.
        sign[n] = np.uint8(line[n] > 0) + np.uint8(line[n] > end)


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _masked(line: Any, keep: Any, end: Any) -> None:
    """Leave of a line what a mask keeps, in place."""
    for n in range(len(line)):
        kept = line[n] if keep[n] < 2 else end
        line[n] = kept if keep[n] else np.float32(0)


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
        Weights (M, C/G) and (M, R, S), all float32: of two layers, or of a cascade of predictors.
    x : (C, H * W) float32
        The block's input; of predictors, in levels of the first one.
    between : ((M, H * W) uint8, (step, low, high) of float32, (end, end) of float32)
        What happens between the two: of layers, a mask of what the first ReLU does; of predictors,
        a mask without a channel, and the levels of the second one. Last, the ReLUs' upper ends.
    sizes : tuple of int
    work : (sign1, sign2, line, padded, out, picked)
        What is found, (M, H * W) and (M, P * Q) uint8; float32 scratch of H * W, of all padded
        pixels, 0, of so many as lie between the first and the last window's places, and of P * Q.
    """
    groups, height, width, top, left, wide, rows, columns, down, right = sizes
    keep, levels, (end1, end2) = between
    sign1, sign2, line, padded, out, picked = work
    (weight1, scale1, shift1), (weight2, scale2, shift2) = first, second
    mids, depth = weight1.shape
    for m in range(mids):
        _pointwise(weight1, m, x, m // (mids // groups) * depth, line)
        _relu(line, (scale1[m], shift1[m]), end1, sign1[m])
        if len(keep):
            _masked(line, keep[m], end1)
        else:
            _levelled(line, levels, end1)
        for h in range(height):
            to = (top + h) * wide + left
            for w in range(width):
                padded[to + w] = line[h * width + w]
        _depthwise(weight2, m, padded, wide, out)
        for p in range(rows):
            for q in range(columns):
                picked[p * columns + q] = out[p * down * wide + q * right]
        _relu(picked, (scale2[m], shift2[m]), end2, sign2[m])
