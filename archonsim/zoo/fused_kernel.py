"""Bottleneck blocks on a CPU, a few channels at a time: wide activations stay in the cache.

Maps are laid out as in :mod:`~archonsim.zoo.tile_kernel`. Batch normalisation after PW1 is expected
folded into `w1`, `b1`; the one after DW needs the whole batch of a channel, which is why channels
are the outer loop.

The tasks of a `prange` are lanes: chunks of one group's channels. Lanes of a group share its input
and its output; each sums up a part of the output of its own, and the parts are added in the lanes'
order. How many lanes there are follows from the shape alone, so that results do not depend on the
number of threads, to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_num_threads, get_thread_id, prange  # type: ignore[attr-defined]

from archonsim.kernels import njit
from archonsim.zoo.tile_kernel import (
    CHUNK,
    add_lanes,
    add_moments,
    batch_moments,
    carve,
    depthwise,
    depthwise_weights,
    fill,
    gemm,
    lane_slices,
    lanes_of,
    normalised,
    outer,
    rectified,
    through_wide_norm,
    windows,
)


def threads() -> int:
    """Return how many threads the parallel kernels may use."""
    return int(get_num_threads())


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
    h, end = carve(own, 0, tile * size + 2 * margin)
    full, end = carve(own, end, tile * size)
    d, end = carve(own, end, images * out_size)
    h2, end = carve(own, end, tile * out_size)
    h[:, :margin] = 0.0
    pixels = images * (height // stride) * (width // stride)
    nothing = np.zeros(y.shape[0], np.float32)
    for m0 in range(0, gamma.shape[0], CHUNK):
        part = slice(m0, m0 + CHUNK)
        sums = np.zeros((CHUNK, 2))
        for n in range(0, images, tile):
            some = min(tile, images - n)
            rectified(x, weights[0][part], weights[1][part], shape, n, some, h, margin)
            windows(h, margin, weights[2][part], shape, some, full, d, n * out_size)
            if not frozen:
                add_moments(d, n * out_size, some * out_size, sums)
        if not frozen:
            batch_moments(sums, pixels, mean[part], var[part])
        rstd = (np.float32(1.0) / np.sqrt(var[part] + eps)).astype(np.float32)
        for n in range(0, images, tile):
            count = min(tile, images - n) * out_size
            normalised(d, h2, n * out_size, count, (mean[part], rstd), gamma[part], beta[part])
            if m0 == 0:
                fill(y, n * out_size, count, nothing)
            gemm(w2[:, part], h2, 0, y, n * out_size, count)


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
        Room to work in, of :func:`archonsim.zoo.tile_kernel.buffer_words`, whatever it holds.
        (Memory fresh from the system costs as much time as the work.)
    """
    w1, b1, wd, gamma, beta, w2 = weights
    ins, mids, outs = x.shape[0] // groups, w1.shape[0] // groups, w2.shape[0] // groups
    lanes = lanes_of(groups, mids)
    size = outs * y.shape[1]
    for task in prange(groups * lanes):
        i, m, o, inner = lane_slices(task, lanes, ins, mids, outs)
        mine = (w1[m], b1[m], wd[m], gamma[m], beta[m], w2[o, inner].copy())
        part = parts[task * size : (task + 1) * size].reshape(outs, y.shape[1])
        _forward_lane(x[i], mine, shape, eps, frozen, part, mean[m], var[m], own[get_thread_id()])
    for row in prange(y.shape[0]):
        add_lanes(parts, outs, lanes, row, y)


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
    images, height, width, stride, _, tile = shape
    size, out_size = (height + 1) * (width + 1), (height // stride + 1) * (width // stride + 1)
    margin = width + 2
    h, end = carve(own, 0, images * size + 2 * margin)
    full, end = carve(own, end, tile * size + 2 * margin)
    d, end = carve(own, end, images * out_size)
    gz, end = carve(own, end, images * out_size)
    h2, end = carve(own, end, tile * out_size)
    gh, end = carve(own, end, tile * size)
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
            wide_at = margin + n * size
            rectified(x, weights[0][part], weights[1][part], shape, n, some, h, wide_at)
            windows(h, wide_at, weights[2][part], shape, some, full, d, at)
            normalised(d, h2, at, count, (stats[0][part], rstd), gamma[part], beta[part])
            fill(gz, at, count, nothing)
            gemm(w2t, gy, at, gz, at, count)
            outer(gy, at, h2, 0, count, gw2[:, part])
            _through_second_relu(d, gz, h2, at, count, gbeta[part], ggamma[part])
        for n in range(0, images, tile):
            some, at, wide_at = min(tile, images - n), n * out_size, margin + n * size
            wide = some * size
            through_wide_norm(
                d, gz, at, some, gamma[part] * rstd, gbeta[part], ggamma[part], shape, full
            )
            depthwise_weights(h, wide_at, full, margin, width + 1, wide, gwd[part])
            depthwise(full, margin, flipped, width + 1, gh, 0, wide)
            _through_first_relu(gh, h, wide_at, wide, gb1[part])
            outer(gh, 0, x, n * size, wide, gw1[part])
            if m0 == 0:
                fill(gx, n * size, wide, nothing)
            gemm(w1t, gh, 0, gx, n * size, wide)


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
    lanes = lanes_of(groups, mids)
    size = ins * x.shape[1]
    for task in prange(groups * lanes):
        i, m, o, inner = lane_slices(task, lanes, ins, mids, outs)
        mine = (w1[m], b1[m], wd[m], gamma[m], beta[m], w2[o, inner].copy())
        own_gw2 = np.zeros(mine[5].shape, np.float32)
        gradient = (gw1[m], gb1[m], gwd[m], ggamma[m], gbeta[m], own_gw2)
        part = parts[task * size : (task + 1) * size].reshape(ins, x.shape[1])
        room, moments = own[get_thread_id()], (stats[0][m], stats[1][m])
        _backward_lane(x[i], mine, shape, eps, moments, gy[o], part, gradient, room)
        gw2[o, inner] = own_gw2
    for row in prange(gx.shape[0]):
        add_lanes(parts, ins, lanes, row, gx)
