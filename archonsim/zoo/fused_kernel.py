"""Bottleneck blocks on a CPU, a few channels at a time: wide activations stay in the cache.

Maps are laid out ``(channels, images * (H + 1) * (W + 1)) float32``: every image row ends in one
zero and every image in a row of zeros. A neighbour outside the image is then always a zero that is
already there, so that a depthwise window is nine shifted reads of one flat vector. Batch
normalisation after PW1 is expected folded into `w1`, `b1`; the one after DW needs the whole batch
of a channel, which is why channels are the outer loop.

Groups are independent: each is one task of a `prange`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

#: Channels between PW1 and PW2 that are in the cache together.
CHUNK = 16


@njit(fastmath=True, cache=True)
def _gemm(a: Any, x: Any, x0: Any, y: Any, y0: Any, count: Any) -> None:
    """Add ``a : (I, K)`` times ``x[:, x0:x0+count] : (K, count)`` to ``y[:, y0:y0+count]``."""
    wide = a.shape[1] - a.shape[1] % 8
    for i in range(a.shape[0]):
        row = y[i, y0 : y0 + count]
        for k in range(0, wide, 8):
            a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            a4, a5, a6, a7 = a[i, k + 4], a[i, k + 5], a[i, k + 6], a[i, k + 7]
            r0, r1 = x[k, x0 : x0 + count], x[k + 1, x0 : x0 + count]
            r2, r3 = x[k + 2, x0 : x0 + count], x[k + 3, x0 : x0 + count]
            r4, r5 = x[k + 4, x0 : x0 + count], x[k + 5, x0 : x0 + count]
            r6, r7 = x[k + 6, x0 : x0 + count], x[k + 7, x0 : x0 + count]
            for t in range(count):
                row[t] += (a0 * r0[t] + a1 * r1[t] + a2 * r2[t] + a3 * r3[t]) + (
                    a4 * r4[t] + a5 * r5[t] + a6 * r6[t] + a7 * r7[t]
                )
        for k in range(wide, a.shape[1]):
            for t in range(count):
                row[t] += a[i, k] * x[k, x0 + t]


@njit(fastmath=True, cache=True)
def _outer(x: Any, x0: Any, y: Any, y0: Any, count: Any, total: Any) -> None:
    """Add ``x[:, x0:] @ y[:, y0:].T`` over `count` positions to ``total : (I, K)``.

    I divides by 4.
    """
    for i in range(0, x.shape[0], 4):
        p0, p1, p2, p3 = (
            x[i, x0 : x0 + count],
            x[i + 1, x0 : x0 + count],
            x[i + 2, x0 : x0 + count],
            x[i + 3, x0 : x0 + count],
        )
        for k in range(y.shape[0]):
            q = y[k, y0 : y0 + count]
            s0 = s1 = s2 = s3 = np.float32(0.0)
            for t in range(count):
                s0 += p0[t] * q[t]
                s1 += p1[t] * q[t]
                s2 += p2[t] * q[t]
                s3 += p3[t] * q[t]
            total[i, k] += s0
            total[i + 1, k] += s1
            total[i + 2, k] += s2
            total[i + 3, k] += s3


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


@njit(fastmath=True, cache=True)
def _depthwise_weights(
    h: Any, h0: Any, gd: Any, g0: Any, pitch: Any, count: Any, total: Any
) -> None:
    """Add the gradients of the nine weights to ``total : (channels, 9)``."""
    for m in range(h.shape[0]):
        for r in range(3):
            at = h0 + (r - 1) * pitch - 1
            row, g = h[m, at : at + count + 2], gd[m, g0 : g0 + count]
            s0 = s1 = s2 = np.float32(0.0)
            for t in range(count):
                s0 += g[t] * row[t]
                s1 += g[t] * row[t + 1]
                s2 += g[t] * row[t + 2]
            total[m, 3 * r] += s0
            total[m, 3 * r + 1] += s1
            total[m, 3 * r + 2] += s2


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
def _every_second(
    full: Any,
    f0: Any,
    part: Any,
    p0: Any,
    images: Any,
    height: Any,
    width: Any,
    first: Any,
    spread: bool,
) -> None:
    """Copy every second pixel of both axes from `full` to `part`, or back if `spread`.

    Back, zeros come in between.
    """
    pitch_full, pitch = 2 * width + 1, width + 1
    size_full, size = pitch_full * (2 * height + 1), pitch * (height + 1)
    if spread:
        full[:, f0 : f0 + images * size_full] = 0.0
    for m in range(full.shape[0]):
        for n in range(images):
            for i in range(height):
                a, b = (
                    f0 + n * size_full + (2 * i + first) * pitch_full + first,
                    p0 + n * size + i * pitch,
                )
                for j in range(width):
                    if spread:
                        full[m, a + 2 * j] = part[m, b + j]
                    else:
                        part[m, b + j] = full[m, a + 2 * j]


@njit(fastmath=True, cache=True)
def _wide_maps(
    x: Any,
    weights: Any,
    part: Any,
    shape: Any,
    n: Any,
    some: Any,
    h: Any,
    h0: Any,
    full: Any,
    d: Any,
) -> None:
    """Compute PW1, ReLU and DW of the chunk `part` for `some` images from number `n` on.

    `h` from `h0` on, and `d`.
    """
    w1, b1, wd = weights[0][part], weights[1][part], weights[2][part]
    _, height, width, stride, first, _ = shape
    pitch = width + 1
    size, out_size = pitch * (height + 1), (height // stride + 1) * (width // stride + 1)
    count = some * size
    for m in range(CHUNK):
        h[m, h0 : h0 + count] = b1[m]
    _gemm(w1, x, n * size, h, h0, count)
    for m in range(CHUNK):
        for t in range(h0, h0 + count):
            h[m, t] = max(h[m, t], np.float32(0.0))
    _clear_padding(h, h0, some, height, width)
    # A short last tile must not read what the tile before it left behind its end.
    h[:, h0 + count : h0 + count + pitch + 1] = 0.0
    if stride == 1:
        _depthwise(h, h0, wd, pitch, d, n * out_size, count)
    else:
        _depthwise(h, h0, wd, pitch, full, 0, count)
        _every_second(full, 0, d, n * out_size, some, height // 2, width // 2, first, False)
    _clear_padding(d, n * out_size, some, height // stride, width // stride)


@njit(fastmath=True, cache=True)
def _moments(d: Any, pixels: Any, mean: Any, var: Any) -> None:
    """Write mean and variance of each channel; the padding of `d` is zero."""
    for m in range(CHUNK):
        total = squares = np.float32(0.0)
        for t in range(d.shape[1]):
            total += d[m, t]
            squares += d[m, t] * d[m, t]
        mean[m] = total / pixels
        var[m] = max(squares / pixels - mean[m] * mean[m], np.float32(0.0))


@njit(fastmath=True, cache=True)
def _normalised(d: Any, h2: Any, start: Any, count: Any, stats: Any, scale: Any, beta: Any) -> None:
    """Turn `d` into its normalised form in place and write relu(scale * d + beta) to `h2`."""
    mean, rstd = stats
    for m in range(CHUNK):
        row, target = d[m, start : start + count], h2[m, :count]
        centre, r, a, b = mean[m], rstd[m], scale[m], beta[m]
        for t in range(count):
            row[t] = (row[t] - centre) * r
            target[t] = max(row[t] * a + b, np.float32(0.0))


@njit(fastmath=True, cache=True)
def _forward_group(
    x: Any, weights: Any, shape: Any, eps: Any, frozen: Any, y: Any, mean: Any, var: Any
) -> None:
    gamma, beta, w2 = weights[3], weights[4], weights[5]
    images, height, width, stride, _, tile = shape
    size, out_size, margin = (
        (height + 1) * (width + 1),
        (height // stride + 1) * (width // stride + 1),
        width + 2,
    )
    h = np.zeros((CHUNK, tile * size + 2 * margin), np.float32)
    full = np.zeros((CHUNK, tile * size if stride == 2 else 1), np.float32)
    d = np.zeros((CHUNK, images * out_size), np.float32)
    h2 = np.zeros((CHUNK, tile * out_size), np.float32)
    pixels = images * (height // stride) * (width // stride)
    for m0 in range(0, gamma.shape[0], CHUNK):
        part = slice(m0, m0 + CHUNK)
        for n in range(0, images, tile):
            _wide_maps(x, weights, part, shape, n, min(tile, images - n), h, margin, full, d)
        if not frozen:
            _moments(d, pixels, mean[part], var[part])
        rstd = (np.float32(1.0) / np.sqrt(var[part] + eps)).astype(np.float32)
        for n in range(0, images, tile):
            count = min(tile, images - n) * out_size
            _normalised(d, h2, n * out_size, count, (mean[part], rstd), gamma[part], beta[part])
            _gemm(w2[:, part], h2, 0, y, n * out_size, count)


@njit(parallel=True, cache=True)
def block_forward(
    x: Any,
    weights: Any,
    groups: int,
    shape: tuple[int, ...],
    eps: float,
    frozen: bool,
    y: Any,
    mean: Any,
    var: Any,
) -> None:
    """PW1 (+BN folded) -> ReLU -> DW -> BN -> ReLU -> PW2, without the last normalisation.

    Parameters
    ----------
    x : (C, P) float32, padding zero
    weights : (w1, b1, wd, gamma, beta, w2) float32
        Of shapes ((M, C/G), (M,), (M, 9), (M,), (M,), (O, M/G)).
    shape : (images, H, W, stride, first output pixel, images of a tile)
    frozen : bool
        Use `mean` and `var` (M,) as given instead of filling them with the batch's.
    y : (O, P') float32, zero on entry; its padding is undefined afterwards
    """
    w1, b1, wd, gamma, beta, w2 = weights
    ins, mids, outs = x.shape[0] // groups, w1.shape[0] // groups, w2.shape[0] // groups
    for g in prange(groups):
        i, m, o = (
            slice(g * ins, (g + 1) * ins),
            slice(g * mids, (g + 1) * mids),
            slice(g * outs, (g + 1) * outs),
        )
        own = (w1[m], b1[m], wd[m], gamma[m], beta[m], w2[o])
        _forward_group(x[i], own, shape, eps, frozen, y[o], mean[m], var[m])


@njit(fastmath=True, cache=True)
def _through_second_relu(
    hat: Any, gz: Any, h2: Any, start: Any, count: Any, gbeta: Any, ggamma: Any
) -> None:
    """Zero `gz` where the second ReLU did, and add up what the normalisation's gradient needs."""
    for m in range(CHUNK):
        x, g, kept = hat[m, start : start + count], gz[m, start : start + count], h2[m, :count]
        total = along = np.float32(0.0)
        for t in range(count):
            g[t] = g[t] if kept[t] > 0 else np.float32(0.0)
            total += g[t]
            along += g[t] * x[t]
        gbeta[m] += total
        ggamma[m] += along


@njit(fastmath=True, cache=True)
def _through_norm(
    hat: Any, gz: Any, start: Any, count: Any, gain: Any, gbeta: Any, ggamma: Any, pixels: Any
) -> None:
    """Turn the gradient behind the normalisation into the one before it, in place."""
    for m in range(CHUNK):
        x, g = hat[m, start : start + count], gz[m, start : start + count]
        a, u, v = gain[m], gbeta[m] / np.float32(pixels), ggamma[m] / np.float32(pixels)
        for t in range(count):
            g[t] = a * (g[t] - u - x[t] * v)


@njit(fastmath=True, cache=True)
def _through_first_relu(gh: Any, h: Any, h0: Any, count: Any, gb1: Any) -> None:
    """Zero `gh` where the first ReLU did, and add up the bias gradient."""
    for m in range(CHUNK):
        row, kept = gh[m, :count], h[m, h0 : h0 + count]
        total = np.float32(0.0)
        for t in range(count):
            row[t] = row[t] if kept[t] > 0 else np.float32(0.0)
            total += row[t]
        gb1[m] += total


@njit(fastmath=True, cache=True)
def _backward_group(
    x: Any, weights: Any, shape: Any, eps: Any, stats: Any, gy: Any, gx: Any, gradients: Any
) -> None:
    gamma, beta, w2 = weights[3], weights[4], weights[5]
    gw1, gb1, gwd, ggamma, gbeta, gw2 = gradients
    images, height, width, stride, first, tile = shape
    out_h, out_w = height // stride, width // stride
    size, out_size = (height + 1) * (width + 1), (out_h + 1) * (out_w + 1)
    margin = width + 2
    h = np.zeros((CHUNK, images * size + 2 * margin), np.float32)
    full = np.zeros((CHUNK, tile * size + 2 * margin), np.float32)
    d, gz = (
        np.zeros((CHUNK, images * out_size), np.float32),
        np.zeros((CHUNK, images * out_size), np.float32),
    )
    h2, gh = (
        np.zeros((CHUNK, tile * out_size), np.float32),
        np.zeros((CHUNK, tile * size), np.float32),
    )
    for m0 in range(0, gamma.shape[0], CHUNK):
        part = slice(m0, m0 + CHUNK)
        w2t, w1t, flipped = (
            w2[:, part].T.copy(),
            weights[0][part].T.copy(),
            weights[2][part, ::-1].copy(),
        )
        rstd = (np.float32(1.0) / np.sqrt(stats[1][part] + eps)).astype(np.float32)
        gz[:] = 0.0
        for n in range(0, images, tile):
            some, at = min(tile, images - n), n * out_size
            count = some * out_size
            _wide_maps(x, weights, part, shape, n, some, h, margin + n * size, full, d)
            _normalised(d, h2, at, count, (stats[0][part], rstd), gamma[part], beta[part])
            _gemm(w2t, gy, at, gz, at, count)
            _outer(gy, at, h2, 0, count, gw2[:, part])
            _through_second_relu(d, gz, h2, at, count, gbeta[part], ggamma[part])
        for n in range(0, images, tile):
            some, at, wide_at = min(tile, images - n), n * out_size, margin + n * size
            wide = some * size
            _through_norm(
                d,
                gz,
                at,
                some * out_size,
                gamma[part] * rstd,
                gbeta[part],
                ggamma[part],
                images * out_h * out_w,
            )
            full[:, :margin] = 0.0
            full[:, margin + wide : margin + wide + margin] = 0.0
            if stride == 1:
                full[:, margin : margin + wide] = gz[:, at : at + wide]
                _clear_padding(full, margin, some, height, width)
            else:
                _every_second(full, margin, gz, at, some, out_h, out_w, first, True)
            _depthwise_weights(h, wide_at, full, margin, width + 1, wide, gwd[part])
            _depthwise(full, margin, flipped, width + 1, gh, 0, wide)
            _through_first_relu(gh, h, wide_at, wide, gb1[part])
            _outer(gh, 0, x, n * size, wide, gw1[part])
            _gemm(w1t, gh, 0, gx, n * size, wide)


@njit(parallel=True, cache=True)
def block_backward(
    x: Any,
    weights: Any,
    groups: int,
    shape: tuple[int, ...],
    eps: float,
    stats: Any,
    gy: Any,
    gx: Any,
    gradients: Any,
) -> None:
    """Gradients of :func:`block_forward` with the batch's own statistics.

    The wide maps are computed a second time.

    Parameters
    ----------
    stats : (mean, var), (M,) float32
    gy : (O, P') float32, padding zero
    gx : (C, P); gradients : shaped as `weights`
        Zero on entry.
    """
    w1, b1, wd, gamma, beta, w2 = weights
    gw1, gb1, gwd, ggamma, gbeta, gw2 = gradients
    ins, mids, outs = x.shape[0] // groups, w1.shape[0] // groups, w2.shape[0] // groups
    for g in prange(groups):
        i, m, o = (
            slice(g * ins, (g + 1) * ins),
            slice(g * mids, (g + 1) * mids),
            slice(g * outs, (g + 1) * outs),
        )
        own = (w1[m], b1[m], wd[m], gamma[m], beta[m], w2[o])
        own_gradients = (gw1[m], gb1[m], gwd[m], ggamma[m], gbeta[m], gw2[o])
        _backward_group(
            x[i], own, shape, eps, (stats[0][m], stats[1][m]), gy[o], gx[i], own_gradients
        )
