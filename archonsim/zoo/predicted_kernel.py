"""Bottleneck blocks with predicted ReLUs on a CPU: inference, a few channels at a time.

Maps are laid out as in ``fused_kernel``, whose helpers stand here once more: a kernel file is
self-contained, because numba's disk cache does not notice a change in another one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

#: Channels between PW1 and PW2 that are in the cache together.
CHUNK = 16


@njit(fastmath=True, cache=True)
def _gemm(a: Any, x: Any, x0: Any, y: Any, y0: Any, count: Any) -> None:
    """Add ``a : (I, K)`` times ``x[:, x0:x0+count]`` to ``y[:, y0:y0+count]``.

    I and K divide by 4. Four rows and four columns of `a` at a time: eight loads and four stores
    for sixteen multiplications.
    """
    for i in range(0, a.shape[0], 4):
        y_0, y_1 = y[i, y0 : y0 + count], y[i + 1, y0 : y0 + count]
        y_2, y_3 = y[i + 2, y0 : y0 + count], y[i + 3, y0 : y0 + count]
        for k in range(0, a.shape[1], 4):
            a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            b0, b1, b2, b3 = a[i + 1, k], a[i + 1, k + 1], a[i + 1, k + 2], a[i + 1, k + 3]
            c0, c1, c2, c3 = a[i + 2, k], a[i + 2, k + 1], a[i + 2, k + 2], a[i + 2, k + 3]
            d0, d1, d2, d3 = a[i + 3, k], a[i + 3, k + 1], a[i + 3, k + 2], a[i + 3, k + 3]
            x_0, x_1 = x[k, x0 : x0 + count], x[k + 1, x0 : x0 + count]
            x_2, x_3 = x[k + 2, x0 : x0 + count], x[k + 3, x0 : x0 + count]
            for t in range(count):
                p, q, r, s = x_0[t], x_1[t], x_2[t], x_3[t]
                y_0[t] += (a0 * p + a1 * q) + (a2 * r + a3 * s)
                y_1[t] += (b0 * p + b1 * q) + (b2 * r + b3 * s)
                y_2[t] += (c0 * p + c1 * q) + (c2 * r + c3 * s)
                y_3[t] += (d0 * p + d1 * q) + (d2 * r + d3 * s)


@njit(fastmath=True, cache=True)
def _depthwise(h: Any, h0: Any, wd: Any, pitch: Any, out: Any, o0: Any, count: Any) -> None:
    """Write the 3x3 window sums of the flat vectors `h` to `out`; ``wd : (channels, 9)``."""
    for m in range(h.shape[0]):
        w0, w1, w2 = wd[m, 0], wd[m, 1], wd[m, 2]
        w3, w4, w5 = wd[m, 3], wd[m, 4], wd[m, 5]
        w6, w7, w8 = wd[m, 6], wd[m, 7], wd[m, 8]
        top, mid, low = h0 - pitch - 1, h0 - 1, h0 + pitch - 1
        a, b, c = (
            h[m, top : top + count + 2],
            h[m, mid : mid + count + 2],
            h[m, low : low + count + 2],
        )
        row = out[m, o0 : o0 + count]
        for t in range(count):
            row[t] = (
                (w0 * a[t] + w1 * a[t + 1] + w2 * a[t + 2])
                + (w3 * b[t] + w4 * b[t + 1] + w5 * b[t + 2])
                + (w6 * c[t] + w7 * c[t + 1] + w8 * c[t + 2])
            )


@njit(cache=True)
def _clear_padding(buf: Any, start: Any, images: Any, height: Any, width: Any) -> None:
    """Set the zeros between rows and images of `buf` again."""
    pitch = width + 1
    for m in range(buf.shape[0]):
        for n in range(images):
            at = start + n * pitch * (height + 1)
            for i in range(height):
                buf[m, at + i * pitch + width] = 0.0
            for j in range(pitch):
                buf[m, at + height * pitch + j] = 0.0


@njit(cache=True)
def _take_every_second(
    full: Any, f0: Any, out: Any, o0: Any, images: Any, height: Any, width: Any, first: Any
) -> None:
    """Copy the pixels ``first, first + 2, ...`` of both axes.

    `height`, `width` are the output's.
    """
    pitch_in, pitch = 2 * width + 1, width + 1
    for m in range(full.shape[0]):
        for n in range(images):
            source, target = f0 + n * pitch_in * (2 * height + 1), o0 + n * pitch * (height + 1)
            for i in range(height):
                start = source + (2 * i + first) * pitch_in + first
                wide = full[m, start : start + 2 * width - 1]
                narrow = out[m, target + i * pitch : target + i * pitch + width]
                for j in range(width):
                    narrow[j] = wide[2 * j]


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


@njit(cache=True)
def _gate(real: Any, r0: Any, predicted: Any, p0: Any, count: Any) -> None:
    """Zero the real values where the prediction is zero, in place."""
    for m in range(real.shape[0]):
        row, keep = real[m, r0 : r0 + count], predicted[m, p0 : p0 + count]
        for t in range(count):
            row[t] = row[t] if keep[t] > 0 else np.float32(0.0)


@njit(fastmath=True, cache=True)
def _affine(x: Any, count: Any, scale: Any, shift: Any) -> None:
    """Apply ``scale * x + shift`` to the first positions in place, channel by channel."""
    for m in range(x.shape[0]):
        row, a, b = x[m, :count], scale[m], shift[m]
        for t in range(count):
            row[t] = a * row[t] + b


@njit(cache=True)
def _windows(h: Any, h0: Any, wd: Any, shape: Any, some: Any, full: Any, d: Any) -> None:
    """Run the depthwise convolution of `some` images, every second pixel for stride 2."""
    _, height, width, stride, first, _ = shape
    count = some * (width + 1) * (height + 1)
    if stride == 1:
        _depthwise(h, h0, wd, width + 1, d, 0, count)
    else:
        _depthwise(h, h0, wd, width + 1, full, 0, count)
        _take_every_second(full, 0, d, 0, some, height // 2, width // 2, first)


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
        _gemm(ternary1[0][part], q, n * size, p, margin, count)
        _predict(p, margin, ternary1[1][part], ternary1[2][part], count, p, margin)
        _clear_padding(p, margin, some, height, width)
        h[:, margin + count :] = 0.0
        for m in range(CHUNK):
            h[m, margin : margin + count] = b1[m0 + m]
        _gemm(w1[part], x, n * size, h, margin, count)
        _gate(h, margin, p, margin, count)
        _quantise(p, margin, count, step, low, high)
        _windows(p, margin, ternary2[0][part], shape, some, full, e)
        _predict(e, 0, ternary2[1][part], ternary2[2][part], out_count, e, 0)
        _windows(h, margin, wd[part], shape, some, full, d)
        _affine(d, out_count, scale2[part], shift2[part])
        _gate(d, 0, e, 0, out_count)
        _gemm(w2[:, part], d, 0, y, n * out_size, out_count)


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
