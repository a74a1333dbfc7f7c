"""Bottleneck blocks with predicted ReLUs on a CPU: inference, a few channels at a time.

Maps are laid out as in :mod:`~archonsim.zoo.tile_kernel`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from archonsim.kernels import njit
from archonsim.zoo.gate_kernel import gate
from archonsim.zoo.tile_kernel import CHUNK, clear_padding, gemm, windows


@njit(cache=True)
def _predict(sums: Any, s0: Any, scale: Any, shift: Any, count: Any, out: Any, o0: Any) -> None:
    """Write ``relu(scale * sums + shift)``.

    Without fast maths, whose fused multiply-add could flip a sign.
    """
    for m in range(sums.shape[0]):
        row, target, a, b = sums[m, s0 : s0 + count], out[m, o0 : o0 + count], scale[m], shift[m]
        for t in range(count):
            scaled = a * row[t]
            target[t] = max(scaled + b, np.float32(0.0))


@njit(cache=True)
def _quantise(p: Any, p0: Any, count: Any, step: Any, low: Any, high: Any) -> None:
    """Round to levels in place."""
    for m in range(p.shape[0]):
        row = p[m, p0 : p0 + count]
        for t in range(count):
            row[t] = min(max(np.rint(row[t] / step), low), high)


@njit(fastmath=True, cache=True)
def _affine(x: Any, count: Any, scale: Any, shift: Any) -> None:
    """Apply ``scale * x + shift`` to the first positions in place, channel by channel."""
    for m in range(x.shape[0]):
        row, a, b = x[m, :count], scale[m], shift[m]
        for t in range(count):
            row[t] = a * row[t] + b


@njit(cache=True)
def _predicted_tile(
    x: Any, q: Any, real: Any, ternary1: Any, ternary2: Any, levels: Any, shape: Any, n: int, y: Any
) -> None:
    """Run a tile of images, from number `n` on, of one group."""
    w1, b1, wd, scale2, shift2, w2 = real
    step, low, high = levels
    images, height, width, stride, _, tile = shape
    size = (height + 1) * (width + 1)
    out_size = (height // stride + 1) * (width // stride + 1)
    margin = width + 2
    h = np.zeros((CHUNK, tile * size + 2 * margin), np.float32)
    p = np.zeros((CHUNK, tile * size + 2 * margin), np.float32)
    full = np.zeros((CHUNK, tile * size if stride == 2 else 1), np.float32)
    d = np.zeros((CHUNK, tile * out_size), np.float32)
    e = np.zeros((CHUNK, tile * out_size), np.float32)
    some = min(tile, images - n)
    count, out_count = some * size, some * out_size
    for m0 in range(0, w1.shape[0], CHUNK):
        part = slice(m0, m0 + CHUNK)
        p[:, margin:] = 0.0
        gemm(ternary1[0][part], q, n * size, p, margin, count)
        _predict(p, margin, ternary1[1][part], ternary1[2][part], count, p, margin)
        clear_padding(p, margin, some, height, width)
        h[:, margin + count :] = 0.0
        for m in range(CHUNK):
            h[m, margin : margin + count] = b1[m0 + m]
        gemm(w1[part], x, n * size, h, margin, count)
        gate(h, margin, p, margin, count)
        _quantise(p, margin, count, step, low, high)
        windows(p, margin, ternary2[0][part], shape, some, full, e, 0)
        _predict(e, 0, ternary2[1][part], ternary2[2][part], out_count, e, 0)
        windows(h, margin, wd[part], shape, some, full, d, 0)
        _affine(d, out_count, scale2[part], shift2[part])
        gate(d, 0, e, 0, out_count)
        gemm(w2[:, part], d, 0, y, n * out_size, out_count)


@njit(parallel=True, cache=True)
def block_predicted(
    x: Any,
    q: Any,
    weights: Any,
    ternary1: Any,
    ternary2: Any,
    levels: Any,
    groups: int,
    shape: tuple[int, ...],
    y: Any,
) -> None:
    """Run a block whose ReLUs are predicted, statistics frozen and folded.

    Parameters
    ----------
    x, q : (C, P) float32
        The block's input and its levels for the first predictor, padding zero.
    weights : (w1, b1, wd, scale2, shift2, w2) float32
        As in ``fused_kernel.block_forward``; `scale2` and `shift2` are the normalisation after DW.
    ternary1, ternary2 : (weights, scale, shift) float32, of shapes ((M, C/G), (M,), (M,)) and ((M,
        9), (M,), (M,))
    levels : (step, low, high) float32
        Of the second predictor's input.
    y : (O, P') float32, zero on entry; its padding is undefined afterwards
    """
    w1, b1, wd, scale2, shift2, w2 = weights
    ins, mids, outs = x.shape[0] // groups, w1.shape[0] // groups, w2.shape[0] // groups
    tiles = -(-shape[0] // shape[5])
    for task in prange(groups * tiles):
        g, n = task // tiles, task % tiles * shape[5]
        i, m, o = (
            slice(g * ins, (g + 1) * ins),
            slice(g * mids, (g + 1) * mids),
            slice(g * outs, (g + 1) * outs),
        )
        real = (w1[m], b1[m], wd[m], scale2[m], shift2[m], w2[o])
        first = (ternary1[0][m], ternary1[1][m], ternary1[2][m])
        second = (ternary2[0][m], ternary2[1][m], ternary2[2][m])
        _predicted_tile(x[i], q[i], real, first, second, levels, shape, n, y[o])
