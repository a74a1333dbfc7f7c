"""Training of blocks with predicted ReLUs, laid out as :mod:`~archonsim.zoo.fused_kernel`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_thread_id, prange  # type: ignore[attr-defined]

from archonsim.kernels import njit
from archonsim.zoo.gate_kernel import (
    gated,
    quantise,
    real_windows,
    through_levels,
    through_prediction,
)
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
    h, end = carve(own, 0, tile * size + 2 * margin)
    p, end = carve(own, end, tile * size + 2 * margin)
    full, end = carve(own, end, tile * size)
    d, end = carve(own, end, images * out_size)
    e, end = carve(own, end, images * out_size)
    h2, end = carve(own, end, tile * out_size)
    h[:, :margin] = 0.0
    p[:, :margin] = 0.0
    nothing = np.zeros(y.shape[0], np.float32)
    for m0 in range(0, gamma.shape[0], CHUNK):
        part = slice(m0, m0 + CHUNK)
        sums = np.zeros((CHUNK, 2))
        for n in range(0, images, tile):
            some, at = min(tile, images - n), n * out_size
            rectified(q, t1[part], c1[part], shape, n, some, p, margin)
            real_windows(
                x, w1[part], b1[part], wd[part], shape, n, some, p, margin, h, margin, full, d, at
            )
            quantise(p, margin, some * size, levels, p, margin)
            windows(p, margin, td[part], shape, some, full, e, at)
            add_moments(e, at, some * out_size, sums)
        batch_moments(sums, pixels, mean[part], var[part])
        rstd = (np.float32(1.0) / np.sqrt(var[part] + eps)).astype(np.float32)
        for n in range(0, images, tile):
            at, count = n * out_size, min(tile, images - n) * out_size
            gated(
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
                fill(y, at, count, nothing)
            gemm(w2[:, part], h2, 0, y, at, count)


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
        real PW2; shapes as of :func:`archonsim.zoo.fused_kernel.block_forward`.
    levels : (step, low, high) float32
        Of the second predictor's input.
    y : (O, P') float32, written; its padding is undefined afterwards
    mean, var : (M,) float32
        Written: the batch's, of the second predictor's sums.
    own, parts : as of :func:`archonsim.zoo.fused_kernel.block_forward`
    """
    t1, c1, td, gamma, beta, w2 = weights
    w1, b1, wd, scale, shift = real
    ins, mids, outs = x.shape[0] // groups, t1.shape[0] // groups, w2.shape[0] // groups
    lanes = lanes_of(groups, mids)
    size = outs * y.shape[1]
    for task in prange(groups * lanes):
        i, m, o, inner = lane_slices(task, lanes, ins, mids, outs)
        mine = (t1[m], c1[m], td[m], gamma[m], beta[m], w2[o, inner].copy())
        part = parts[task * size : (task + 1) * size].reshape(outs, y.shape[1])
        fixed = (w1[m], b1[m], wd[m], scale[m], shift[m])
        room = own[get_thread_id()]
        _predicted_forward_lane(
            x[i], q[i], fixed, mine, levels, shape, eps, part, mean[m], var[m], room
        )
    for row in prange(y.shape[0]):
        add_lanes(parts, outs, lanes, row, y)


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
    images, height, width, stride, _, tile = shape
    size, margin = (height + 1) * (width + 1), width + 2
    out_size = (height // stride + 1) * (width // stride + 1)
    p, end = carve(own, 0, images * size + 2 * margin)
    e, end = carve(own, end, images * out_size)
    gz, end = carve(own, end, images * out_size)
    full, end = carve(own, end, tile * size + 2 * margin)
    h, end = carve(own, end, tile * size + 2 * margin)
    gh, end = carve(own, end, tile * size)
    d, end = carve(own, end, tile * out_size)
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
            rectified(q, t1[part], c1[part], shape, n, some, p, wide_at)
            if wanted[1]:
                real_windows(
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
            quantise(p, wide_at, some * size, levels, h, margin)
            h[:, margin + some * size : margin + some * size + margin] = 0.0
            windows(h, margin, td[part], shape, some, full, e, at)
            moments = (stats[0][part], rstd)
            if wanted[1]:
                gated(
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
                outer(gy, at, d, 0, count, gw2[:, part])
            else:
                normalised(e, d, at, count, moments, gamma[part], beta[part])
            fill(gz, at, count, nothing)
            gemm(w2t, gy, at, gz, at, count)
            through_prediction(e, gz, at, count, gamma[part], beta[part], gbeta[part], ggamma[part])
        for n in range(0, images, tile):
            some, at, wide_at = min(tile, images - n), n * out_size, margin + n * size
            wide = some * size
            through_wide_norm(
                e, gz, at, some, gamma[part] * rstd, gbeta[part], ggamma[part], shape, full
            )
            if wanted[0]:
                quantise(p, wide_at, wide, levels, h, margin)
                h[:, margin + wide : margin + wide + margin] = 0.0
                depthwise_weights(h, margin, full, margin, width + 1, wide, gtd[part])
            depthwise(full, margin, flipped, width + 1, gh, 0, wide)
            through_levels(gh, p, wide_at, wide, levels, gc1[part])
            outer(gh, 0, q, n * size, wide, gt1[part])
            if m0 == 0:
                fill(gq, n * size, wide, nothing)
            gemm(t1t, gh, 0, gq, n * size, wide)


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
    own, parts : as of :func:`archonsim.zoo.fused_kernel.block_forward`
    """
    t1, c1, td, gamma, beta, w2 = weights
    w1, b1, wd, scale, shift = real
    gt1, gc1, gtd, ggamma, gbeta, gw2 = gradients
    ins, mids, outs = x.shape[0] // groups, t1.shape[0] // groups, w2.shape[0] // groups
    lanes = lanes_of(groups, mids)
    size = ins * x.shape[1]
    for task in prange(groups * lanes):
        i, m, o, inner = lane_slices(task, lanes, ins, mids, outs)
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
        add_lanes(parts, ins, lanes, row, gq)
