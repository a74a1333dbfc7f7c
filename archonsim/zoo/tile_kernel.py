"""What the kernels of bottleneck blocks do to a tile of a few channels, in the cache.

Maps are laid out ``(channels, images * (H + 1) * (W + 1)) float32``: every image row ends in one
zero and every image in a row of zeros. A neighbour outside the image is then always a zero that is
already there, so that a depthwise window is nine shifted reads of one flat vector.

Loops run over one-dimensional slices: with two indices numba has to allow for negative ones, and
nothing is vectorised.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archonsim.kernels import njit

#: Channels between PW1 and PW2 that are in the cache together.
CHUNK = 16

#: Lanes that a block has at least where its channels are enough for them.
LANES = 4


@njit(fastmath=True, cache=True)
def gemm(a: Any, x: Any, x0: Any, y: Any, y0: Any, count: Any) -> None:
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
def outer(x: Any, x0: Any, y: Any, y0: Any, count: Any, total: Any) -> None:
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
def fill(y: Any, y0: Any, count: Any, values: Any) -> None:
    """Set `count` positions of each row to the row's value."""
    for m in range(y.shape[0]):
        row, value = y[m, y0 : y0 + count], values[m]
        for t in range(count):
            row[t] = value


@njit(fastmath=True, cache=True)
def relu(y: Any, y0: Any, count: Any) -> None:
    """Apply the ReLU in place."""
    for m in range(y.shape[0]):
        row = y[m, y0 : y0 + count]
        for t in range(count):
            # A product: a choice that is written where it was read is not vectorised.
            row[t] = row[t] * (row[t] > np.float32(0.0))


@njit(fastmath=True, cache=True)
def depthwise(h: Any, h0: Any, wd: Any, pitch: Any, out: Any, o0: Any, count: Any) -> None:
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
def depthwise_weights(
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
def clear_padding(buf: Any, start: Any, images: Any, height: Any, width: Any) -> None:
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
def every_second(
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
def rectified(x: Any, w1: Any, b1: Any, shape: Any, n: Any, some: Any, p: Any, p0: Any) -> None:
    """Write PW1's ReLU of `some` images from number `n` on, padding zero."""
    _, height, width, _, _, _ = shape
    pitch = width + 1
    size = pitch * (height + 1)
    count = some * size
    fill(p, p0, count, b1)
    gemm(w1, x, n * size, p, p0, count)
    relu(p, p0, count)
    clear_padding(p, p0, some, height, width)
    # A short last tile must not read what the tile before it left behind its end.
    p[:, p0 + count : p0 + count + pitch + 1] = 0.0


@njit(fastmath=True, cache=True)
def windows(h: Any, h0: Any, wd: Any, shape: Any, some: Any, full: Any, d: Any, d0: Any) -> None:
    """Write the depthwise convolution of `some` images, its padding zero."""
    _, height, width, stride, first, _ = shape
    count = some * (width + 1) * (height + 1)
    if stride == 1:
        depthwise(h, h0, wd, width + 1, d, d0, count)
    else:
        depthwise(h, h0, wd, width + 1, full, 0, count)
        every_second(full, 0, d, d0, some, height // 2, width // 2, first, False)
    clear_padding(d, d0, some, height // stride, width // stride)


@njit(fastmath=True, cache=True)
def add_moments(d: Any, start: Any, count: Any, sums: Any) -> None:
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
def lanes_of(groups: int, channels: int) -> int:
    """Return how many lanes a group of `channels` has."""
    return max(1, min(channels // CHUNK, LANES // groups))


@njit(cache=True)
def lane_slices(task: int, lanes: int, ins: int, mids: int, outs: int) -> Any:
    """Return a lane's slices of input, wide and output channels, and of its group's wide ones."""
    g, lane = task // lanes, task % lanes
    chunks = mids // CHUNK
    first, last = chunks * lane // lanes * CHUNK, chunks * (lane + 1) // lanes * CHUNK
    wide = slice(g * mids + first, g * mids + last)
    return slice(g * ins, (g + 1) * ins), wide, slice(g * outs, (g + 1) * outs), slice(first, last)


@njit(cache=True)
def carve(buffer: Any, at: int, columns: int) -> Any:
    """Return ``(CHUNK, columns)`` words of a flat buffer from `at` on, and where they end."""
    end = at + CHUNK * columns
    return buffer[at:end].reshape(CHUNK, columns), end


def buffer_words(
    groups: int, shape: tuple[int, ...], channels: tuple[int, int, int]
) -> tuple[int, int]:
    """Return the words that a thread needs to itself, and those of all lanes' parts of a sum.

    Parameters
    ----------
    shape : as of :func:`archonsim.zoo.fused_kernel.block_forward`
    channels : (C, M, O)
    """
    images, height, width, stride, _, tile = shape
    size, margin = (height + 1) * (width + 1), width + 2
    out_size = (height // stride + 1) * (width // stride + 1)
    own = CHUNK * (images * (size + 2 * out_size) + tile * (3 * size + out_size) + 6 * margin)
    widest = max(channels[0] * size, channels[2] * out_size)
    return own, lanes_of(groups, channels[1] // groups) * images * widest


@njit(cache=True)
def add_lanes(parts: Any, rows: int, lanes: int, row: int, total: Any) -> None:
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
def normalised(d: Any, h2: Any, start: Any, count: Any, stats: Any, scale: Any, beta: Any) -> None:
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
def through_norm(
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
def through_wide_norm(
    hat: Any,
    gz: Any,
    at: Any,
    some: Any,
    gain: Any,
    gbeta: Any,
    ggamma: Any,
    shape: Any,
    full: Any,
) -> None:
    """Write the gradient before the normalisation of `some` images to `full`, behind its margin.

    With stride 2, zeros come in between; `gz` is written over. What windows read beyond is zero.
    """
    images, height, width, stride, first, _ = shape
    out_h, out_w, margin = height // stride, width // stride, width + 2
    pixels, wide = images * out_h * out_w, some * (height + 1) * (width + 1)
    full[:, :margin] = 0.0
    full[:, margin + wide : margin + wide + margin] = 0.0
    if stride == 1:
        through_norm(hat, gz, at, wide, gain, gbeta, ggamma, pixels, full, margin)
        clear_padding(full, margin, some, height, width)
    else:
        count = some * (out_h + 1) * (out_w + 1)
        through_norm(hat, gz, at, count, gain, gbeta, ggamma, pixels, gz, at)
        every_second(full, margin, gz, at, some, out_h, out_w, first, True)


@njit(cache=True)
def batch_moments(sums: Any, pixels: Any, mean: Any, var: Any) -> None:
    """Write the mean and the variance of each channel of a chunk, given :func:`add_moments`."""
    for m in range(CHUNK):
        centre = sums[m, 0] / pixels
        mean[m], var[m] = centre, max(sums[m, 1] / pixels - centre * centre, 0.0)
