"""Bottleneck blocks on a CPU, a few channels at a time, so that the wide activations never leave the cache.

Maps are laid out ``(channels, images * (H + 1) * (W + 1)) float32``: every image row ends in one zero and every image
in a row of zeros. A neighbour outside the image is then always a zero that is already there, so that a depthwise
window is nine shifted reads of one flat vector. Batch normalisation after PW1 is expected folded into `w1`, `b1`; the
one after DW needs the whole batch of a channel, which is why channels are the outer loop.

Groups are independent of each other: each is one task of a `prange`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

#: Channels between PW1 and PW2 that are in the cache together.
CHUNK = 16


@njit(fastmath=True, cache=True)
def _gemm(a, x, x0, y, y0, count):
    """Add ``a : (I, K)`` times ``x[:, x0:x0+count] : (K, count)`` to ``y[:, y0:y0+count]``; K divides by 8."""
    for i in range(a.shape[0]):
        row = y[i, y0 : y0 + count]
        for k in range(0, a.shape[1], 8):
            a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            a4, a5, a6, a7 = a[i, k + 4], a[i, k + 5], a[i, k + 6], a[i, k + 7]
            r0, r1, r2, r3 = x[k, x0 : x0 + count], x[k + 1, x0 : x0 + count], x[k + 2, x0 : x0 + count], x[k + 3, x0 : x0 + count]
            r4, r5, r6, r7 = (
                x[k + 4, x0 : x0 + count],
                x[k + 5, x0 : x0 + count],
                x[k + 6, x0 : x0 + count],
                x[k + 7, x0 : x0 + count],
            )
            for t in range(count):
                row[t] += (a0 * r0[t] + a1 * r1[t] + a2 * r2[t] + a3 * r3[t]) + (a4 * r4[t] + a5 * r5[t] + a6 * r6[t] + a7 * r7[t])


@njit(fastmath=True, cache=True)
def _outer(x, x0, y, y0, count, total):
    """Add ``x[:, x0:] @ y[:, y0:].T`` over `count` positions to ``total : (I, K)``; I divides by 4, K by 2."""
    for i in range(0, x.shape[0], 4):
        p0, p1, p2, p3 = x[i, x0 : x0 + count], x[i + 1, x0 : x0 + count], x[i + 2, x0 : x0 + count], x[i + 3, x0 : x0 + count]
        for k in range(0, y.shape[0], 2):
            q0, q1 = y[k, y0 : y0 + count], y[k + 1, y0 : y0 + count]
            s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = np.float32(0.0)
            for t in range(count):
                u, v = q0[t], q1[t]
                s00 += p0[t] * u
                s01 += p0[t] * v
                s10 += p1[t] * u
                s11 += p1[t] * v
                s20 += p2[t] * u
                s21 += p2[t] * v
                s30 += p3[t] * u
                s31 += p3[t] * v
            total[i, k] += s00
            total[i, k + 1] += s01
            total[i + 1, k] += s10
            total[i + 1, k + 1] += s11
            total[i + 2, k] += s20
            total[i + 2, k + 1] += s21
            total[i + 3, k] += s30
            total[i + 3, k + 1] += s31


@njit(fastmath=True, cache=True)
def _depthwise(h, h0, wd, pitch, out, o0, count):
    """Write the 3x3 window sums of the flat vectors `h` to `out`; ``wd : (channels, 9)``."""
    for m in range(h.shape[0]):
        w0, w1, w2, w3, w4, w5, w6, w7, w8 = wd[m, 0], wd[m, 1], wd[m, 2], wd[m, 3], wd[m, 4], wd[m, 5], wd[m, 6], wd[m, 7], wd[m, 8]
        top, mid, low = h0 - pitch - 1, h0 - 1, h0 + pitch - 1
        a, b, c = h[m, top : top + count + 2], h[m, mid : mid + count + 2], h[m, low : low + count + 2]
        row = out[m, o0 : o0 + count]
        for t in range(count):
            row[t] = (
                (w0 * a[t] + w1 * a[t + 1] + w2 * a[t + 2])
                + (w3 * b[t] + w4 * b[t + 1] + w5 * b[t + 2])
                + (w6 * c[t] + w7 * c[t + 1] + w8 * c[t + 2])
            )


@njit(fastmath=True, cache=True)
def _depthwise_weights(h, h0, gd, g0, pitch, count, total):
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
def _clear_padding(buf, start, images, height, width):
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
def _take_every_second(full, f0, out, o0, images, height, width, first):
    """Copy the pixels ``first, first + 2, ...`` of both axes; `height`, `width` are the output's."""
    pitch_in, pitch = 2 * width + 1, width + 1
    for m in range(full.shape[0]):
        for n in range(images):
            source, target = f0 + n * pitch_in * (2 * height + 1), o0 + n * pitch * (height + 1)
            for i in range(height):
                for j in range(width):
                    out[m, target + i * pitch + j] = full[m, source + (2 * i + first) * pitch_in + 2 * j + first]


@njit(cache=True)
def _spread_every_second(part, p0, out, o0, images, height, width, first):
    """Reverse :func:`_take_every_second`, zeros in between."""
    pitch_out, pitch = 2 * width + 1, width + 1
    size = images * pitch_out * (2 * height + 1)
    for m in range(part.shape[0]):
        out[m, o0 : o0 + size] = 0.0
        for n in range(images):
            source, target = p0 + n * pitch * (height + 1), o0 + n * pitch_out * (2 * height + 1)
            for i in range(height):
                for j in range(width):
                    out[m, target + (2 * i + first) * pitch_out + 2 * j + first] = part[m, source + i * pitch + j]


@njit(fastmath=True, cache=True)
def _wide_maps(x, x0, w1, b1, wd, images, height, width, stride, first, h, h0, full, d, d0):
    """Compute PW1, ReLU and DW of one chunk for some images: `h` (with margins) and `d`."""
    pitch = width + 1
    count = images * pitch * (height + 1)
    for m in range(w1.shape[0]):
        h[m, h0 : h0 + count] = b1[m]
    _gemm(w1, x, x0, h, h0, count)
    for m in range(w1.shape[0]):
        row = h[m, h0 : h0 + count]
        for t in range(count):
            row[t] = max(row[t], np.float32(0.0))
    _clear_padding(h, h0, images, height, width)
    if stride == 1:
        _depthwise(h, h0, wd, pitch, d, d0, count)
        _clear_padding(d, d0, images, height, width)
    else:
        _depthwise(h, h0, wd, pitch, full, 0, count)
        _take_every_second(full, 0, d, d0, images, height // 2, width // 2, first)


@njit(fastmath=True, cache=True)
def _forward_group(x, w1, b1, wd, gamma, beta, w2, shape, eps, frozen, y, mean, var):
    images, height, width, stride, first, tile = shape
    size = (height + 1) * (width + 1)
    out_h, out_w = height // stride, width // stride
    out_size = (out_h + 1) * (out_w + 1)
    margin = width + 2
    h = np.zeros((CHUNK, tile * size + 2 * margin), np.float32)
    full = np.zeros((CHUNK, tile * size if stride == 2 else 1), np.float32)
    d = np.zeros((CHUNK, images * out_size), np.float32)
    h2 = np.zeros((CHUNK, tile * out_size), np.float32)
    pixels = images * out_h * out_w
    for m0 in range(0, w1.shape[0], CHUNK):
        part = slice(m0, m0 + CHUNK)
        for n in range(0, images, tile):
            some = min(tile, images - n)
            # A short last tile must not read what the tile before it left behind its end.
            h[:, margin + some * size :] = 0.0
            _wide_maps(x, n * size, w1[part], b1[part], wd[part], some, height, width, stride, first, h, margin, full, d, n * out_size)
        for m in range(CHUNK):
            row = d[m]
            if not frozen:
                total = squares = np.float32(0.0)
                for t in range(row.shape[0]):
                    total += row[t]
                    squares += row[t] * row[t]
                mean[m0 + m] = total / pixels
                var[m0 + m] = max(squares / pixels - mean[m0 + m] * mean[m0 + m], np.float32(0.0))
        for n in range(0, images, tile):
            some = min(tile, images - n)
            count = some * out_size
            for m in range(CHUNK):
                scale = np.float32(gamma[m0 + m] / np.sqrt(var[m0 + m] + eps))
                shift = np.float32(beta[m0 + m] - mean[m0 + m] * scale)
                row, target = d[m, n * out_size : n * out_size + count], h2[m, :count]
                for t in range(count):
                    target[t] = max(row[t] * scale + shift, np.float32(0.0))
            _gemm(w2[:, part], h2, 0, y, n * out_size, count)


@njit(parallel=True, cache=True)
def block_forward(x, w1, b1, wd, gamma, beta, w2, groups, shape, eps, frozen, y, mean, var):
    """PW1 (+BN folded) -> ReLU -> DW -> BN -> ReLU -> PW2, without the batch normalisation after PW2.

    Parameters
    ----------
    x : (C, P) float32, padding zero
    w1 : (M, C/G) float32; b1 : (M,); wd : (M, 9); gamma, beta : (M,); w2 : (O, M/G)
    shape : (images, H, W, stride, first output pixel, images of a tile)
    frozen : bool
        Use `mean` and `var` (M,) as given instead of filling them with the batch's.
    y : (O, P') float32, zero on entry; its padding is undefined afterwards
    """
    ins, mids, outs = x.shape[0] // groups, w1.shape[0] // groups, w2.shape[0] // groups
    for g in prange(groups):
        i, m, o = slice(g * ins, (g + 1) * ins), slice(g * mids, (g + 1) * mids), slice(g * outs, (g + 1) * outs)
        _forward_group(x[i], w1[m], b1[m], wd[m], gamma[m], beta[m], w2[o], shape, eps, frozen, y[o], mean[m], var[m])


@njit(fastmath=True, cache=True)
def _normalised(d, h2, start, count, mean, scale, beta, rstd):
    """Turn `d` into its normalised form in place and write relu(gamma * d + beta) to `h2`."""
    for m in range(d.shape[0]):
        row, target = d[m, start : start + count], h2[m, :count]
        centre, r, a, b = mean[m], rstd[m], scale[m], beta[m]
        for t in range(count):
            row[t] = (row[t] - centre) * r
            target[t] = max(row[t] * a + b, np.float32(0.0))


@njit(fastmath=True, cache=True)
def _backward_group(x, w1, b1, wd, gamma, beta, w2, shape, eps, mean, var, gy, gx, gw1, gb1, gwd, ggamma, gbeta, gw2):
    images, height, width, stride, first, tile = shape
    size = (height + 1) * (width + 1)
    out_h, out_w = height // stride, width // stride
    out_size = (out_h + 1) * (out_w + 1)
    margin = width + 2
    pixels = images * out_h * out_w
    tail = tile * size
    h = np.zeros((CHUNK, images * size + 2 * margin + tail), np.float32)
    full = np.zeros((CHUNK, tile * size + 2 * margin), np.float32)
    d = np.zeros((CHUNK, images * out_size), np.float32)
    gz = np.zeros((CHUNK, images * out_size), np.float32)
    h2 = np.zeros((CHUNK, tile * out_size), np.float32)
    gh = np.zeros((CHUNK, tile * size), np.float32)
    flipped = np.zeros((CHUNK, 9), np.float32)
    for m0 in range(0, w1.shape[0], CHUNK):
        part = slice(m0, m0 + CHUNK)
        w2t, w1t = w2[:, part].T.copy(), w1[part].T.copy()
        rstd = (np.float32(1.0) / np.sqrt(var[part] + eps)).astype(np.float32)
        for k in range(9):
            flipped[:, k] = wd[part, 8 - k]
        for n in range(0, images, tile):
            some = min(tile, images - n)
            count = some * out_size
            at = margin + n * size
            h[:, at + some * size : at + some * size + margin] = 0.0
            _wide_maps(x, n * size, w1[part], b1[part], wd[part], some, height, width, stride, first, h, at, full, d, n * out_size)
            _normalised(d, h2, n * out_size, count, mean[part], gamma[part], beta[part], rstd)
            gz[:, n * out_size : n * out_size + count] = 0.0
            _gemm(w2t, gy, n * out_size, gz, n * out_size, count)
            _outer(gy, n * out_size, h2, 0, count, gw2[:, part])
            for m in range(CHUNK):
                hat, g, kept = d[m, n * out_size : n * out_size + count], gz[m, n * out_size : n * out_size + count], h2[m, :count]
                total = along = np.float32(0.0)
                for t in range(count):
                    g[t] = g[t] if kept[t] > 0 else np.float32(0.0)
                    total += g[t]
                    along += g[t] * hat[t]
                gbeta[m0 + m] += total
                ggamma[m0 + m] += along
        for n in range(0, images, tile):
            some = min(tile, images - n)
            count = some * out_size
            for m in range(CHUNK):
                hat, g = d[m, n * out_size : n * out_size + count], gz[m, n * out_size : n * out_size + count]
                a, u, v = gamma[m0 + m] * rstd[m], gbeta[m0 + m] / np.float32(pixels), ggamma[m0 + m] / np.float32(pixels)
                for t in range(count):
                    g[t] = a * (g[t] - u - hat[t] * v)
            wide = some * size
            full[:, :margin] = 0.0
            full[:, margin + wide : margin + wide + margin] = 0.0
            if stride == 1:
                full[:, margin : margin + wide] = gz[:, n * out_size : n * out_size + count]
                _clear_padding(full, margin, some, height, width)
            else:
                _spread_every_second(gz, n * out_size, full, margin, some, out_h, out_w, first)
            _depthwise_weights(h, margin + n * size, full, margin, width + 1, wide, gwd[part])
            _depthwise(full, margin, flipped, width + 1, gh, 0, wide)
            for m in range(CHUNK):
                row, kept = gh[m, :wide], h[m, margin + n * size : margin + n * size + wide]
                total = np.float32(0.0)
                for t in range(wide):
                    row[t] = row[t] if kept[t] > 0 else np.float32(0.0)
                    total += row[t]
                gb1[m0 + m] += total
            _outer(gh, 0, x, n * size, wide, gw1[part])
            _gemm(w1t, gh, 0, gx, n * size, wide)


@njit(parallel=True, cache=True)
def block_backward(x, w1, b1, wd, gamma, beta, w2, groups, shape, eps, mean, var, gy, gx, gw1, gb1, gwd, ggamma, gbeta, gw2):
    """Gradients of :func:`block_forward` with the batch's own `mean`, `var`; all outputs ``g*`` are zero on entry.

    ``gy`` is zero in the padding; the wide maps are computed a second time instead of being kept.
    """
    ins, mids, outs = x.shape[0] // groups, w1.shape[0] // groups, w2.shape[0] // groups
    for g in prange(groups):
        i, m, o = slice(g * ins, (g + 1) * ins), slice(g * mids, (g + 1) * mids), slice(g * outs, (g + 1) * outs)
        _backward_group(
            x[i], w1[m], b1[m], wd[m], gamma[m], beta[m], w2[o], shape, eps, mean[m], var[m], gy[o],
            gx[i], gw1[m], gb1[m], gwd[m], ggamma[m], gbeta[m], gw2[o],
        )  # fmt: skip


@njit(cache=True)
def _predict(sums, s0, scale, shift, count, out, o0):
    """Write ``relu(scale * sums + shift)``; without fast maths, whose fused multiply-add could flip a sign."""
    for m in range(sums.shape[0]):
        row, target, a, b = sums[m, s0 : s0 + count], out[m, o0 : o0 + count], scale[m], shift[m]
        for t in range(count):
            scaled = a * row[t]
            target[t] = max(scaled + b, np.float32(0.0))


@njit(cache=True)
def _quantise(p, p0, count, step, low, high):
    """Round to levels in place."""
    for m in range(p.shape[0]):
        row = p[m, p0 : p0 + count]
        for t in range(count):
            row[t] = min(max(np.rint(row[t] / step), low), high)


@njit(cache=True)
def _gate(real, r0, predicted, p0, count):
    """Zero the real values where the prediction is zero, in place."""
    for m in range(real.shape[0]):
        row, keep = real[m, r0 : r0 + count], predicted[m, p0 : p0 + count]
        for t in range(count):
            row[t] = row[t] if keep[t] > 0 else np.float32(0.0)


@njit(fastmath=True, cache=True)
def _affine(x, scale, shift):
    """Apply ``scale * x + shift`` in place, channel by channel."""
    for m in range(x.shape[0]):
        a, b = scale[m], shift[m]
        for t in range(x.shape[1]):
            x[m, t] = a * x[m, t] + b


@njit(cache=True)
def _windows(h, h0, wd, shape, some, full, d):
    """Run the depthwise convolution of `some` images, every second pixel for stride 2."""
    _, height, width, stride, first, _ = shape
    count = some * (width + 1) * (height + 1)
    if stride == 1:
        _depthwise(h, h0, wd, width + 1, d, 0, count)
    else:
        _depthwise(h, h0, wd, width + 1, full, 0, count)
        _take_every_second(full, 0, d, 0, some, height // 2, width // 2, first)


@njit(cache=True)
def _predicted_group(x, q, real, ternary1, ternary2, step, low, high, shape, y):
    w1, b1, wd, scale2, shift2, w2 = real
    images, height, width, stride, _, tile = shape
    size = (height + 1) * (width + 1)
    out_size = (height // stride + 1) * (width // stride + 1)
    margin = width + 2
    h = np.zeros((CHUNK, tile * size + 2 * margin), np.float32)
    p = np.zeros((CHUNK, tile * size + 2 * margin), np.float32)
    full = np.zeros((CHUNK, tile * size if stride == 2 else 1), np.float32)
    d = np.zeros((CHUNK, tile * out_size), np.float32)
    e = np.zeros((CHUNK, tile * out_size), np.float32)
    for n in range(0, images, tile):
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
            _affine(d[:, :out_count], scale2[part], shift2[part])
            _gate(d, 0, e, 0, out_count)
            _gemm(w2[:, part], d, 0, y, n * out_size, out_count)


@njit(parallel=True, cache=True)
def block_predicted(x, q, w1, b1, wd, scale2, shift2, w2, ternary1, ternary2, step, low, high, groups, shape, y):
    """Run a block whose ReLUs are predicted, statistics frozen and folded.

    Parameters
    ----------
    x, q : (C, P) float32
        The block's input and its levels for the first predictor, padding zero.
    w1, b1, wd, w2 : as in :func:`block_forward`; scale2, shift2 : (M,), the normalisation after DW
    ternary1, ternary2 : (weights, scale, shift) float32, of shapes ((M, C/G), (M,), (M,)) and ((M, 9), (M,), (M,))
    step, low, high : float32
        Levels of the second predictor's input.
    y : (O, P') float32, zero on entry; its padding is undefined afterwards
    """
    ins, mids, outs = x.shape[0] // groups, w1.shape[0] // groups, w2.shape[0] // groups
    for g in prange(groups):
        i, m, o = slice(g * ins, (g + 1) * ins), slice(g * mids, (g + 1) * mids), slice(g * outs, (g + 1) * outs)
        real = (w1[m], b1[m], wd[m], scale2[m], shift2[m], w2[o])
        first = (ternary1[0][m], ternary1[1][m], ternary1[2][m])
        second = (ternary2[0][m], ternary2[1][m], ternary2[2][m])
        _predicted_group(x[i], q[i], real, first, second, step, low, high, shape, y[o])
