"""Sparse convolutions of one map, channel by channel, with the batch normalisation behind them.

Sums run over input channels or taps in ascending order, in float32, zero weights left out: the
results are the same on every machine, which a matrix library's would not be. Arrays are
C-contiguous float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archonsim.kernels import njit


@njit(cache=True)
def pointwise(weight: Any, scale: Any, shift: Any, x: Any, groups: int) -> Any:
    """1x1 convolution.

    Parameters
    ----------
    weight : (O, C/G)
    scale, shift : (O,)
    x : (C, pixels)
    groups : int

    Returns
    -------
    (O, pixels) float32
    """
    out_channels, depth = weight.shape
    pixels = x.shape[1]
    out = np.zeros((out_channels, pixels), np.float32)
    for o in range(out_channels):
        first = o // (out_channels // groups) * depth
        for c in range(depth):
            w = weight[o, c]
            if w != 0:
                for n in range(pixels):
                    out[o, n] += w * x[first + c, n]
        for n in range(pixels):
            out[o, n] = out[o, n] * scale[o] + shift[o]
    return out


@njit(cache=True)
def depthwise(weight: Any, scale: Any, shift: Any, x: Any, stride_h: int, stride_w: int) -> Any:
    """Depthwise convolution of a map that is padded already.

    Parameters
    ----------
    weight : (M, R, S)
    scale, shift : (M,)
    x : (M, H, W)
    stride_h, stride_w : int

    Returns
    -------
    (M, P, Q) float32
    """
    channels, height, width = weight.shape
    rows = (x.shape[1] - height) // stride_h + 1
    columns = (x.shape[2] - width) // stride_w + 1
    out = np.zeros((channels, rows, columns), np.float32)
    for m in range(channels):
        for r in range(height):
            for s in range(width):
                w = weight[m, r, s]
                if w != 0:
                    for p in range(rows):
                        for q in range(columns):
                            out[m, p, q] += w * x[m, p * stride_h + r, q * stride_w + s]
        for p in range(rows):
            for q in range(columns):
                out[m, p, q] = out[m, p, q] * scale[m] + shift[m]
    return out
