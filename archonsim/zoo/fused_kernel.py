"""Bottleneck blocks on a CPU, a few channels at a time: wide activations stay in the cache.

Maps are laid out ``(channels, images * (H + 1) * (W + 1)) float32``: every image row ends in one
zero and every image in a row of zeros. A neighbour outside the image is then always a zero that is
already there, so that a depthwise window is nine shifted reads of one flat vector. Batch
normalisation after PW1 is expected folded into `w1`, `b1`; the one after DW needs the whole batch
of a channel, which is why channels are the outer loop.

The tasks of a `prange` are lanes: chunks of one group's channels. Lanes of a group share its input
and its output; each sums up a part of the output of its own, and the parts are added in the lanes'
order. How many lanes there are follows from the shape alone, so that results do not depend on the
number of threads, to the bit.

Loops run over one-dimensional slices: with two indices numba has to allow for negative ones, and
nothing is vectorised.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_num_threads, get_thread_id, njit, prange  # type: ignore[attr-defined]

#: Channels between PW1 and PW2 that are in the cache together.
CHUNK = 16


#: Lanes that a block has at least where its channels are enough for them.
LANES = 4


def threads() -> int:
    """Return how many threads the parallel kernels may use."""
    return int(get_num_threads())


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
def _outer(x: Any, x0: Any, y: Any, y0: Any, count: Any, total: Any) -> None:
    """Add ``x[:, x0:] @ y[:, y0:].T`` over `count` positions to ``total : (I, K)``.

    I divides by 4, K by 2.
    """
    for i in range(0, x.shape[0], 4):
        p0, p1, p2, p3 = (
            x[i, x0 : x0 + count],
            x[i + 1, x0 : x0 + count],
            x[i + 2, x0 : x0 + count],
            x[i + 3, x0 : x0 + count],
        )
        for k in range(0, y.shape[0], 2):
            q, r = y[k, y0 : y0 + count], y[k + 1, y0 : y0 + count]
            s0 = s1 = s2 = s3 = u0 = u1 = u2 = u3 = np.float32(0.0)
            for t in range(count):
                s0 += p0[t] * q[t]
                s1 += p1[t] * q[t]
                s2 += p2[t] * q[t]
                s3 += p3[t] * q[t]
                u0 += p0[t] * r[t]
                u1 += p1[t] * r[t]
                u2 += p2[t] * r[t]
                u3 += p3[t] * r[t]
            total[i, k] += s0
            total[i + 1, k] += s1
            total[i + 2, k] += s2
            total[i + 3, k] += s3
            total[i, k + 1] += u0
            total[i + 1, k + 1] += u1
            total[i + 2, k + 1] += u2
            total[i + 3, k + 1] += u3


@njit(fastmath=True, cache=True)
def _fill(y: Any, y0: Any, count: Any, values: Any) -> None:
    """Set `count` positions of each row to the row's value."""
    for m in range(y.shape[0]):
        row, value = y[m, y0 : y0 + count], values[m]
        for t in range(count):
            row[t] = value


@njit(fastmath=True, cache=True)
def _relu(y: Any, y0: Any, count: Any) -> None:
    """Apply the ReLU in place."""
    for m in range(y.shape[0]):
        row = y[m, y0 : y0 + count]
        for t in range(count):
            # A product: a choice that is written where it was read is not vectorised.
            row[t] = row[t] * (row[t] > np.float32(0.0))


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
        top, mid, low = h0 - pitch - 1, h0 - 1, h0 + pitch - 1
        a, b, c = (
            h[m, top : top + count + 2],
            h[m, mid : mid + count + 2],
            h[m, low : low + count + 2],
        )
        g = gd[m, g0 : g0 + count]
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = np.float32(0.0)
        for t in range(count):
            s0 += g[t] * a[t]
            s1 += g[t] * a[t + 1]
            s2 += g[t] * a[t + 2]
            s3 += g[t] * b[t]
            s4 += g[t] * b[t + 1]
            s5 += g[t] * b[t + 2]
            s6 += g[t] * c[t]
            s7 += g[t] * c[t + 1]
            s8 += g[t] * c[t + 2]
        for r, s in enumerate((s0, s1, s2, s3, s4, s5, s6, s7, s8)):
            total[m, r] += s


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
                wide, narrow = full[m, a : a + 2 * width - 1], part[m, b : b + width]
                if spread:
                    for j in range(width):
                        wide[2 * j] = narrow[j]
                else:
                    for j in range(width):
                        narrow[j] = wide[2 * j]


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
    _fill(h, h0, count, b1)
    _gemm(w1, x, n * size, h, h0, count)
    _relu(h, h0, count)
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
def _moments(d: Any, start: Any, count: Any, sums: Any) -> None:
    """Add each channel's sum and sum of squares to ``sums : (channels, 2) float64``.

    The padding of `d` is zero.
    """
    for m in range(CHUNK):
        row = d[m, start : start + count]
        total = squares = np.float32(0.0)
        for t in range(count):
            total += row[t]
            squares += row[t] * row[t]
        sums[m, 0] += total
        sums[m, 1] += squares


@njit(cache=True)
def _lanes(groups: int, channels: int) -> int:
    """Return how many lanes a group of `channels` has."""
    return max(1, min(channels // CHUNK, LANES // groups))


@njit(cache=True)
def _own(task: int, lanes: int, ins: int, mids: int, outs: int) -> Any:
    """Return a lane's slices of input, wide and output channels, and of its group's wide ones."""
    g, lane = task // lanes, task % lanes
    chunks = mids // CHUNK
    first, last = chunks * lane // lanes * CHUNK, chunks * (lane + 1) // lanes * CHUNK
    wide = slice(g * mids + first, g * mids + last)
    return slice(g * ins, (g + 1) * ins), wide, slice(g * outs, (g + 1) * outs), slice(first, last)


@njit(cache=True)
def _carve(buffer: Any, at: int, columns: int) -> Any:
    """Return ``(CHUNK, columns)`` words of a flat buffer from `at` on, and where they end."""
    end = at + CHUNK * columns
    return buffer[at:end].reshape(CHUNK, columns), end


def buffer_words(
    groups: int, shape: tuple[int, ...], channels: tuple[int, int, int]
) -> tuple[int, int]:
    """Return the words that a thread needs to itself, and those of all lanes' parts of a sum.

    Parameters
    ----------
    shape : as of :func:`block_forward`
    channels : (C, M, O)
    """
    images, height, width, stride, _, tile = shape
    size, margin = (height + 1) * (width + 1), width + 2
    out_size = (height // stride + 1) * (width // stride + 1)
    own = CHUNK * (images * (size + 2 * out_size) + tile * (3 * size + out_size) + 6 * margin)
    widest = max(channels[0] * size, channels[2] * out_size)
    return own, _lanes(groups, channels[1] // groups) * images * widest


@njit(cache=True)
def _add_lanes(parts: Any, rows: int, lanes: int, row: int, total: Any) -> None:
    """Write row number `row` of ``total : (groups * rows, P)``: the lanes' parts, in order."""
    g, i = row // rows, row % rows
    target = total[row]
    # A piece at a time, so that the sum stays in the first-level cache.
    for t0 in range(0, len(target), 2048):
        count = min(2048, len(target) - t0)
        piece = target[t0 : t0 + count]
        for lane in range(lanes):
            start = ((g * lanes + lane) * rows + i) * len(target) + t0
            part = parts[start : start + count]
            if lane == 0:
                piece[:] = part
            else:
                for t in range(count):
                    piece[t] += part[t]


@njit(fastmath=True, cache=True)
def _normalised(d: Any, h2: Any, start: Any, count: Any, stats: Any, scale: Any, beta: Any) -> None:
    """Turn `d` into its normalised form in place and write relu(scale * d + beta) to `h2`."""
    mean, rstd = stats
    for m in range(CHUNK):
        row, target = d[m, start : start + count], h2[m, :count]
        centre, r, a, b = mean[m], rstd[m], scale[m], beta[m]
        for t in range(count):
            row[t] = (row[t] - centre) * r
            value = row[t] * a + b
            target[t] = value if value > 0 else np.float32(0.0)


@njit(fastmath=True, cache=True)
def _forward_lane(
    x: Any, weights: Any, shape: Any, eps: Any, frozen: Any, y: Any, mean: Any, var: Any, own: Any
) -> None:
    gamma, beta, w2 = weights[3], weights[4], weights[5]
    images, height, width, stride, _, tile = shape
    size, out_size, margin = (
        (height + 1) * (width + 1),
        (height // stride + 1) * (width // stride + 1),
        width + 2,
    )
    h, end = _carve(own, 0, tile * size + 2 * margin)
    full, end = _carve(own, end, tile * size)
    d, end = _carve(own, end, images * out_size)
    h2, end = _carve(own, end, tile * out_size)
    h[:, :margin] = 0.0
    pixels = images * (height // stride) * (width // stride)
    nothing = np.zeros(y.shape[0], np.float32)
    for m0 in range(0, gamma.shape[0], CHUNK):
        part = slice(m0, m0 + CHUNK)
        sums = np.zeros((CHUNK, 2))
        for n in range(0, images, tile):
            some = min(tile, images - n)
            _wide_maps(x, weights, part, shape, n, some, h, margin, full, d)
            if not frozen:
                _moments(d, n * out_size, some * out_size, sums)
        if not frozen:
            for m in range(CHUNK):
                centre = sums[m, 0] / pixels
                mean[m0 + m], var[m0 + m] = centre, max(sums[m, 1] / pixels - centre * centre, 0.0)
        rstd = (np.float32(1.0) / np.sqrt(var[part] + eps)).astype(np.float32)
        for n in range(0, images, tile):
            count = min(tile, images - n) * out_size
            _normalised(d, h2, n * out_size, count, (mean[part], rstd), gamma[part], beta[part])
            if m0 == 0:
                _fill(y, n * out_size, count, nothing)
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
    own: Any,
    parts: Any,
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
    y : (O, P') float32, written; its padding is undefined afterwards
    own : (threads, words) float32; parts : (words,) float32
        Room to work in, of :func:`buffer_words`, whatever it holds. (Memory fresh from the system
        costs as much time as the work.)
    """
    w1, b1, wd, gamma, beta, w2 = weights
    ins, mids, outs = x.shape[0] // groups, w1.shape[0] // groups, w2.shape[0] // groups
    lanes = _lanes(groups, mids)
    size = outs * y.shape[1]
    for task in prange(groups * lanes):
        i, m, o, inner = _own(task, lanes, ins, mids, outs)
        mine = (w1[m], b1[m], wd[m], gamma[m], beta[m], w2[o, inner].copy())
        part = parts[task * size : (task + 1) * size].reshape(outs, y.shape[1])
        _forward_lane(x[i], mine, shape, eps, frozen, part, mean[m], var[m], own[get_thread_id()])
    for row in prange(y.shape[0]):
        _add_lanes(parts, outs, lanes, row, y)


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
    hat: Any,
    gz: Any,
    start: Any,
    count: Any,
    gain: Any,
    gbeta: Any,
    ggamma: Any,
    pixels: Any,
    out: Any,
    o0: Any,
) -> None:
    """Write the gradient before the normalisation, given the one behind it, to `out`."""
    for m in range(CHUNK):
        x, g, target = (
            hat[m, start : start + count],
            gz[m, start : start + count],
            out[m, o0 : o0 + count],
        )
        a, u, v = gain[m], gbeta[m] / np.float32(pixels), ggamma[m] / np.float32(pixels)
        for t in range(count):
            target[t] = a * (g[t] - u - x[t] * v)


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
def _backward_lane(
    x: Any,
    weights: Any,
    shape: Any,
    eps: Any,
    stats: Any,
    gy: Any,
    gx: Any,
    gradients: Any,
    own: Any,
) -> None:
    gamma, beta, w2 = weights[3], weights[4], weights[5]
    gw1, gb1, gwd, ggamma, gbeta, gw2 = gradients
    images, height, width, stride, first, tile = shape
    out_h, out_w = height // stride, width // stride
    size, out_size = (height + 1) * (width + 1), (out_h + 1) * (out_w + 1)
    margin = width + 2
    h, end = _carve(own, 0, images * size + 2 * margin)
    full, end = _carve(own, end, tile * size + 2 * margin)
    d, end = _carve(own, end, images * out_size)
    gz, end = _carve(own, end, images * out_size)
    h2, end = _carve(own, end, tile * out_size)
    gh, end = _carve(own, end, tile * size)
    h[:, :margin] = 0.0
    nothing = np.zeros(max(CHUNK, gx.shape[0]), np.float32)
    for m0 in range(0, gamma.shape[0], CHUNK):
        part = slice(m0, m0 + CHUNK)
        w2t, w1t, flipped = (
            w2[:, part].T.copy(),
            weights[0][part].T.copy(),
            weights[2][part, ::-1].copy(),
        )
        rstd = (np.float32(1.0) / np.sqrt(stats[1][part] + eps)).astype(np.float32)
        for n in range(0, images, tile):
            some, at = min(tile, images - n), n * out_size
            count = some * out_size
            _wide_maps(x, weights, part, shape, n, some, h, margin + n * size, full, d)
            _normalised(d, h2, at, count, (stats[0][part], rstd), gamma[part], beta[part])
            _fill(gz, at, count, nothing)
            _gemm(w2t, gy, at, gz, at, count)
            _outer(gy, at, h2, 0, count, gw2[:, part])
            _through_second_relu(d, gz, h2, at, count, gbeta[part], ggamma[part])
        for n in range(0, images, tile):
            some, at, wide_at = min(tile, images - n), n * out_size, margin + n * size
            wide = some * size
            full[:, :margin] = 0.0
            full[:, margin + wide : margin + wide + margin] = 0.0
            gain, pixels = gamma[part] * rstd, images * out_h * out_w
            if stride == 1:
                _through_norm(
                    d, gz, at, wide, gain, gbeta[part], ggamma[part], pixels, full, margin
                )
                _clear_padding(full, margin, some, height, width)
            else:
                _through_norm(
                    d, gz, at, some * out_size, gain, gbeta[part], ggamma[part], pixels, gz, at
                )
                _every_second(full, margin, gz, at, some, out_h, out_w, first, True)
            _depthwise_weights(h, wide_at, full, margin, width + 1, wide, gwd[part])
            _depthwise(full, margin, flipped, width + 1, gh, 0, wide)
            _through_first_relu(gh, h, wide_at, wide, gb1[part])
            _outer(gh, 0, x, n * size, wide, gw1[part])
            if m0 == 0:
                _fill(gx, n * size, wide, nothing)
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
    own: Any,
    parts: Any,
) -> None:
    """Gradients of :func:`block_forward` with the batch's own statistics.

    The wide maps are computed a second time.

    Parameters
    ----------
    stats : (mean, var), (M,) float32
    gy : (O, P') float32, padding zero
    gx : (C, P), written
    gradients : shaped as `weights`, zero on entry
    own, parts : as of :func:`block_forward`
    """
    w1, b1, wd, gamma, beta, w2 = weights
    gw1, gb1, gwd, ggamma, gbeta, gw2 = gradients
    ins, mids, outs = x.shape[0] // groups, w1.shape[0] // groups, w2.shape[0] // groups
    lanes = _lanes(groups, mids)
    size = ins * x.shape[1]
    for task in prange(groups * lanes):
        i, m, o, inner = _own(task, lanes, ins, mids, outs)
        mine = (w1[m], b1[m], wd[m], gamma[m], beta[m], w2[o, inner].copy())
        own_gw2 = np.zeros(mine[5].shape, np.float32)
        gradient = (gw1[m], gb1[m], gwd[m], ggamma[m], gbeta[m], own_gw2)
        part = parts[task * size : (task + 1) * size].reshape(ins, x.shape[1])
        room, moments = own[get_thread_id()], (stats[0][m], stats[1][m])
        _backward_lane(x[i], mine, shape, eps, moments, gy[o], part, gradient, room)
        gw2[o, inner] = own_gw2
    for row in prange(gx.shape[0]):
        _add_lanes(parts, ins, lanes, row, gx)


@njit(fastmath=True, cache=True)
def _gate(y: Any, y0: Any, predicted: Any, p0: Any, count: Any) -> None:
    """Zero `y` where the prediction is zero, in place."""
    for m in range(y.shape[0]):
        row, keep = y[m, y0 : y0 + count], predicted[m, p0 : p0 + count]
        for t in range(count):
            row[t] = row[t] if keep[t] > 0 else np.float32(0.0)


@njit(cache=True)
def _quantise(p: Any, p0: Any, count: Any, levels: Any, out: Any, o0: Any) -> None:
    """Write the levels of a predicted activation, which is not negative."""
    step, _, high = levels
    for m in range(p.shape[0]):
        row, target = p[m, p0 : p0 + count], out[m, o0 : o0 + count]
        for t in range(count):
            level = np.rint(row[t] / step)
            target[t] = level if level < high else high


@njit(fastmath=True, cache=True)
def _through_levels(gh: Any, p: Any, p0: Any, count: Any, levels: Any, gb1: Any) -> None:
    """Take the gradient through quantisation and the ReLU; add up the bias gradient.

    It passes where nothing is clipped.
    """
    step, _, high = levels
    top, share = high * step, np.float32(1.0) / step
    for m in range(CHUNK):
        row, predicted = gh[m, :count], p[m, p0 : p0 + count]
        total = np.float32(0.0)
        for t in range(count):
            row[t] = row[t] * share if 0 < predicted[t] <= top else np.float32(0.0)
            total += row[t]
        gb1[m] += total


@njit(fastmath=True, cache=True)
def _gated(
    d: Any,
    d0: Any,
    scale: Any,
    shift: Any,
    e: Any,
    e0: Any,
    stats: Any,
    gamma: Any,
    beta: Any,
    count: Any,
    out: Any,
) -> None:
    """Normalise the second predictor's sums `e` in place; write what passes of the real ones.

    That is ``scale * d + shift`` where the predictor's activation is positive.
    """
    mean, rstd = stats
    for m in range(CHUNK):
        real, row, target = d[m, d0 : d0 + count], e[m, e0 : e0 + count], out[m, :count]
        a, b, centre, r, g, s = scale[m], shift[m], mean[m], rstd[m], gamma[m], beta[m]
        for t in range(count):
            row[t] = (row[t] - centre) * r
            target[t] = real[t] * a + b if row[t] * g + s > 0 else np.float32(0.0)


@njit(fastmath=True, cache=True)
def _through_prediction(
    hat: Any, gz: Any, start: Any, count: Any, gamma: Any, beta: Any, gbeta: Any, ggamma: Any
) -> None:
    """Zero `gz` where the second predictor's activation is zero; add up as the second ReLU does."""
    for m in range(CHUNK):
        x, g, a, b = hat[m, start : start + count], gz[m, start : start + count], gamma[m], beta[m]
        total = along = np.float32(0.0)
        for t in range(count):
            g[t] = g[t] if x[t] * a + b > 0 else np.float32(0.0)
            total += g[t]
            along += g[t] * x[t]
        gbeta[m] += total
        ggamma[m] += along


@njit(fastmath=True, cache=True)
def _windows(h: Any, h0: Any, wd: Any, shape: Any, some: Any, full: Any, d: Any, d0: Any) -> None:
    """Write the depthwise convolution of `some` images, its padding zero."""
    _, height, width, stride, first, _ = shape
    count = some * (width + 1) * (height + 1)
    if stride == 1:
        _depthwise(h, h0, wd, width + 1, d, d0, count)
    else:
        _depthwise(h, h0, wd, width + 1, full, 0, count)
        _every_second(full, 0, d, d0, some, height // 2, width // 2, first, False)
    _clear_padding(d, d0, some, height // stride, width // stride)


@njit(fastmath=True, cache=True)
def _first_prediction(
    q: Any, w1: Any, b1: Any, shape: Any, n: Any, some: Any, p: Any, p0: Any
) -> None:
    """Write the first predictor's activation of `some` images from number `n` on, padding zero."""
    _, height, width, _, _, _ = shape
    pitch = width + 1
    size = pitch * (height + 1)
    count = some * size
    _fill(p, p0, count, b1)
    _gemm(w1, q, n * size, p, p0, count)
    _relu(p, p0, count)
    _clear_padding(p, p0, some, height, width)
    p[:, p0 + count : p0 + count + pitch + 1] = 0.0


@njit(fastmath=True, cache=True)
def _real_windows(
    x: Any,
    w1: Any,
    b1: Any,
    wd: Any,
    shape: Any,
    n: Any,
    some: Any,
    p: Any,
    p0: Any,
    h: Any,
    h0: Any,
    full: Any,
    d: Any,
    d0: Any,
) -> None:
    """Compute real PW1, gated by `p`, and real DW of `some` images: `h`, and `d` from `d0` on."""
    _, height, width, _, _, _ = shape
    pitch = width + 1
    count = some * pitch * (height + 1)
    _fill(h, h0, count, b1)
    _gemm(w1, x, n * pitch * (height + 1), h, h0, count)
    _gate(h, h0, p, p0, count)
    h[:, h0 + count : h0 + count + pitch + 1] = 0.0
    _windows(h, h0, wd, shape, some, full, d, d0)


@njit(fastmath=True, cache=True)
def _predicted_forward_lane(
    x: Any,
    q: Any,
    real: Any,
    weights: Any,
    levels: Any,
    shape: Any,
    eps: Any,
    y: Any,
    mean: Any,
    var: Any,
    own: Any,
) -> None:
    w1, b1, wd, scale, shift = real
    t1, c1, td, gamma, beta, w2 = weights
    images, height, width, stride, _, tile = shape
    size, margin = (height + 1) * (width + 1), width + 2
    out_size = (height // stride + 1) * (width // stride + 1)
    pixels = images * (height // stride) * (width // stride)
    h, end = _carve(own, 0, tile * size + 2 * margin)
    p, end = _carve(own, end, tile * size + 2 * margin)
    full, end = _carve(own, end, tile * size)
    d, end = _carve(own, end, images * out_size)
    e, end = _carve(own, end, images * out_size)
    h2, end = _carve(own, end, tile * out_size)
    h[:, :margin] = 0.0
    p[:, :margin] = 0.0
    nothing = np.zeros(y.shape[0], np.float32)
    for m0 in range(0, gamma.shape[0], CHUNK):
        part = slice(m0, m0 + CHUNK)
        sums = np.zeros((CHUNK, 2))
        for n in range(0, images, tile):
            some, at = min(tile, images - n), n * out_size
            _first_prediction(q, t1[part], c1[part], shape, n, some, p, margin)
            _real_windows(
                x, w1[part], b1[part], wd[part], shape, n, some, p, margin, h, margin, full, d, at
            )
            _quantise(p, margin, some * size, levels, p, margin)
            _windows(p, margin, td[part], shape, some, full, e, at)
            _moments(e, at, some * out_size, sums)
        for m in range(CHUNK):
            centre = sums[m, 0] / pixels
            mean[m0 + m], var[m0 + m] = centre, max(sums[m, 1] / pixels - centre * centre, 0.0)
        rstd = (np.float32(1.0) / np.sqrt(var[part] + eps)).astype(np.float32)
        for n in range(0, images, tile):
            at, count = n * out_size, min(tile, images - n) * out_size
            _gated(
                d,
                at,
                scale[part],
                shift[part],
                e,
                at,
                (mean[part], rstd),
                gamma[part],
                beta[part],
                count,
                h2,
            )
            if m0 == 0:
                _fill(y, at, count, nothing)
            _gemm(w2[:, part], h2, 0, y, at, count)


@njit(parallel=True, cache=True)
def predicted_forward(
    x: Any,
    q: Any,
    real: Any,
    weights: Any,
    levels: Any,
    groups: int,
    shape: tuple[int, ...],
    eps: float,
    y: Any,
    mean: Any,
    var: Any,
    own: Any,
    parts: Any,
) -> None:
    """Run a block whose ReLUs are predicted, without the normalisation after PW2.

    The normalisations of the predictors are in training mode.

    Parameters
    ----------
    x, q : (C, P) float32
        The block's input and its levels for the first predictor, padding zero.
    real : (w1, b1, wd, scale2, shift2) float32
        Real PW1 with its normalisation folded in, DW, and the normalisation after it, of shapes
        (M, C/G), (M,), (M, 9), (M,), (M,).
    weights : (t1, c1, td, gamma, beta, w2) float32
        First predictor with its batch's normalisation folded in, second one and its normalisation,
        real PW2; shapes as of :func:`block_forward`.
    levels : (step, low, high) float32
        Of the second predictor's input.
    y : (O, P') float32, written; its padding is undefined afterwards
    mean, var : (M,) float32
        Written: the batch's, of the second predictor's sums.
    own, parts : as of :func:`block_forward`
    """
    t1, c1, td, gamma, beta, w2 = weights
    w1, b1, wd, scale, shift = real
    ins, mids, outs = x.shape[0] // groups, t1.shape[0] // groups, w2.shape[0] // groups
    lanes = _lanes(groups, mids)
    size = outs * y.shape[1]
    for task in prange(groups * lanes):
        i, m, o, inner = _own(task, lanes, ins, mids, outs)
        mine = (t1[m], c1[m], td[m], gamma[m], beta[m], w2[o, inner].copy())
        part = parts[task * size : (task + 1) * size].reshape(outs, y.shape[1])
        fixed = (w1[m], b1[m], wd[m], scale[m], shift[m])
        room = own[get_thread_id()]
        _predicted_forward_lane(
            x[i], q[i], fixed, mine, levels, shape, eps, part, mean[m], var[m], room
        )
    for row in prange(y.shape[0]):
        _add_lanes(parts, outs, lanes, row, y)


@njit(fastmath=True, cache=True)
def _predicted_backward_lane(
    x: Any,
    q: Any,
    real: Any,
    weights: Any,
    levels: Any,
    shape: Any,
    eps: Any,
    stats: Any,
    gy: Any,
    gq: Any,
    gradients: Any,
    wanted: Any,
    own: Any,
) -> None:
    w1, b1, wd, scale, shift = real
    t1, c1, td, gamma, beta, w2 = weights
    gt1, gc1, gtd, ggamma, gbeta, gw2 = gradients
    images, height, width, stride, first, tile = shape
    out_h, out_w = height // stride, width // stride
    size, out_size, margin = (height + 1) * (width + 1), (out_h + 1) * (out_w + 1), width + 2
    p, end = _carve(own, 0, images * size + 2 * margin)
    e, end = _carve(own, end, images * out_size)
    gz, end = _carve(own, end, images * out_size)
    full, end = _carve(own, end, tile * size + 2 * margin)
    h, end = _carve(own, end, tile * size + 2 * margin)
    gh, end = _carve(own, end, tile * size)
    d, end = _carve(own, end, tile * out_size)
    p[:, :margin] = 0.0
    h[:, :margin] = 0.0
    nothing = np.zeros(max(CHUNK, gq.shape[0]), np.float32)
    for m0 in range(0, gamma.shape[0], CHUNK):
        part = slice(m0, m0 + CHUNK)
        w2t, t1t, flipped = w2[:, part].T.copy(), t1[part].T.copy(), td[part, ::-1].copy()
        rstd = (np.float32(1.0) / np.sqrt(stats[1][part] + eps)).astype(np.float32)
        for n in range(0, images, tile):
            some, at, wide_at = min(tile, images - n), n * out_size, margin + n * size
            count = some * out_size
            _first_prediction(q, t1[part], c1[part], shape, n, some, p, wide_at)
            if wanted[1]:
                _real_windows(
                    x,
                    w1[part],
                    b1[part],
                    wd[part],
                    shape,
                    n,
                    some,
                    p,
                    wide_at,
                    h,
                    margin,
                    full,
                    d,
                    0,
                )
            _quantise(p, wide_at, some * size, levels, h, margin)
            h[:, margin + some * size : margin + some * size + margin] = 0.0
            _windows(h, margin, td[part], shape, some, full, e, at)
            moments = (stats[0][part], rstd)
            if wanted[1]:
                _gated(
                    d,
                    0,
                    scale[part],
                    shift[part],
                    e,
                    at,
                    moments,
                    gamma[part],
                    beta[part],
                    count,
                    d,
                )
                _outer(gy, at, d, 0, count, gw2[:, part])
            else:
                _normalised(e, d, at, count, moments, gamma[part], beta[part])
            _fill(gz, at, count, nothing)
            _gemm(w2t, gy, at, gz, at, count)
            _through_prediction(
                e, gz, at, count, gamma[part], beta[part], gbeta[part], ggamma[part]
            )
        for n in range(0, images, tile):
            some, at, wide_at = min(tile, images - n), n * out_size, margin + n * size
            wide = some * size
            full[:, :margin] = 0.0
            full[:, margin + wide : margin + wide + margin] = 0.0
            gain, pixels = gamma[part] * rstd, images * out_h * out_w
            if stride == 1:
                _through_norm(
                    e, gz, at, wide, gain, gbeta[part], ggamma[part], pixels, full, margin
                )
                _clear_padding(full, margin, some, height, width)
            else:
                _through_norm(
                    e, gz, at, some * out_size, gain, gbeta[part], ggamma[part], pixels, gz, at
                )
                _every_second(full, margin, gz, at, some, out_h, out_w, first, True)
            if wanted[0]:
                _quantise(p, wide_at, wide, levels, h, margin)
                h[:, margin + wide : margin + wide + margin] = 0.0
                _depthwise_weights(h, margin, full, margin, width + 1, wide, gtd[part])
            _depthwise(full, margin, flipped, width + 1, gh, 0, wide)
            _through_levels(gh, p, wide_at, wide, levels, gc1[part])
            _outer(gh, 0, q, n * size, wide, gt1[part])
            if m0 == 0:
                _fill(gq, n * size, wide, nothing)
            _gemm(t1t, gh, 0, gq, n * size, wide)


@njit(parallel=True, cache=True)
def predicted_backward(
    x: Any,
    q: Any,
    real: Any,
    weights: Any,
    levels: Any,
    groups: int,
    shape: tuple[int, ...],
    eps: float,
    stats: Any,
    gy: Any,
    gq: Any,
    gradients: Any,
    wanted: tuple[bool, bool],
    own: Any,
    parts: Any,
) -> None:
    """Gradients of :func:`predicted_forward`, which take the predictors' path alone.

    Parameters
    ----------
    stats : (mean, var), (M,) float32
    gy : (O, P') float32, padding zero
    gq : (C, P), written
        Of the levels `q`; `x`, and all of `real`, have no gradient.
    gradients : shaped as `weights`, zero on entry
    wanted : (bool, bool)
        Whether to compute the gradients of `td` and of `w2`, which cost a quarter of the time.
    own, parts : as of :func:`block_forward`
    """
    t1, c1, td, gamma, beta, w2 = weights
    w1, b1, wd, scale, shift = real
    gt1, gc1, gtd, ggamma, gbeta, gw2 = gradients
    ins, mids, outs = x.shape[0] // groups, t1.shape[0] // groups, w2.shape[0] // groups
    lanes = _lanes(groups, mids)
    size = ins * x.shape[1]
    for task in prange(groups * lanes):
        i, m, o, inner = _own(task, lanes, ins, mids, outs)
        mine = (t1[m], c1[m], td[m], gamma[m], beta[m], w2[o, inner].copy())
        own_gw2 = np.zeros(mine[5].shape, np.float32)
        gradient = (gt1[m], gc1[m], gtd[m], ggamma[m], gbeta[m], own_gw2)
        part = parts[task * size : (task + 1) * size].reshape(ins, x.shape[1])
        fixed, moments = (w1[m], b1[m], wd[m], scale[m], shift[m]), (stats[0][m], stats[1][m])
        room = own[get_thread_id()]
        _predicted_backward_lane(
            x[i],
            q[i],
            fixed,
            mine,
            levels,
            shape,
            eps,
            moments,
            gy[o],
            part,
            gradient,
            wanted,
            room,
        )
        gw2[o, inner] = own_gw2
    for row in prange(gq.shape[0]):
        _add_lanes(parts, ins, lanes, row, gq)
