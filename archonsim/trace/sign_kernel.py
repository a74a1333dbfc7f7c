"""Numba kernel: what the two ReLUs of a block do, one mid channel after the other.

The first layer is 1x1 and the second one depthwise, so a channel needs nothing of another one's
between them: its map stays in the processor's cache from the input to both signs. Sums run over
input channels or taps in ascending order, in float32, zero weights left out, as
:mod:`~archonsim.trace.convolve_kernel` does it for whole maps; both give the same bits. (There the
map is padded with zeros, here likewise, in a line that all channels share.) A ReLU drops, passes
or, behind an upper end, clips.

A layer is a tuple of weight, scale and shift. `sizes` is (groups, H, W, rows and columns before the
map, padded height, padded width, P, Q, row and column stride).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archonsim.kernels import njit


@njit(cache=True)
def _pointwise(layer: Any, m: Any, x: Any, groups: Any, line: Any) -> None:
    """Compute channel `m` behind a 1x1 layer into ``line : (pixels,)``."""
    weight, scale, shift = layer
    channels, depth = weight.shape
    first = m // (channels // groups) * depth
    for n in range(len(line)):
        line[n] = 0
    for c in range(depth):
        w = weight[m, c]
        if w != 0:
            row = x[first + c]
            for n in range(len(line)):
                line[n] += w * row[n]
    a, b = scale[m], shift[m]
    for n in range(len(line)):
        line[n] = line[n] * a + b


@njit(cache=True)
def _depthwise(layer: Any, m: Any, padded: Any, strides: Any, out: Any) -> None:
    """Compute channel `m` behind a depthwise layer into ``out : (P, Q)``."""
    weight, scale, shift = layer
    _, height, width = weight.shape
    rows, columns = out.shape
    down, right = strides
    for p in range(rows):
        for q in range(columns):
            out[p, q] = 0
    for r in range(height):
        for s in range(width):
            w = weight[m, r, s]
            if w != 0:
                for p in range(rows):
                    source, line = padded[p * down + r], out[p]
                    if right == 1:  # so that the compiler sees neighbours
                        for q in range(columns):
                            line[q] += w * source[q + s]
                    else:
                        for q in range(columns):
                            line[q] += w * source[q * right + s]
    a, b = scale[m], shift[m]
    for p in range(rows):
        for q in range(columns):
            out[p, q] = out[p, q] * a + b


@njit(cache=True)
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
def signs(first: Any, second: Any, x: Any, between: Any, sizes: Any) -> Any:
    """Return what the two ReLUs of a block do: 0 drops, 1 passes, 2 clips.

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

    Returns
    -------
    (M, H * W) uint8, (M, P * Q) uint8
    """
    groups, height, width, top, left, tall, wide, rows, columns, down, right = sizes
    keep, levels, (end1, end2) = between
    mids = len(first[1])
    sign1 = np.empty((mids, height * width), np.uint8)
    sign2 = np.empty((mids, rows * columns), np.uint8)
    line = np.empty(height * width, np.float32)
    padded, out = np.zeros((tall, wide), np.float32), np.empty((rows, columns), np.float32)
    for m in range(mids):
        _pointwise(first, m, x, groups, line)
        for n in range(len(line)):
            sign1[m, n] = (line[n] > 0) + (line[n] > end1)
        if len(keep):
            for n in range(len(line)):
                kept = line[n] if keep[m, n] < 2 else end1
                line[n] = kept if keep[m, n] else np.float32(0)
        else:
            _levelled(line, levels, end1)
        for h in range(height):
            for w in range(width):
                padded[top + h, left + w] = line[h * width + w]
        _depthwise(second, m, padded, (down, right), out)
        for p in range(rows):
            for q in range(columns):
                sign2[m, p * columns + q] = (out[p, q] > 0) + (out[p, q] > end2)
    return sign1, sign2
