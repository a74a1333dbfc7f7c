"""What ReLU predictors do to a tile of a few channels in training: levels, gates, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from archonsim.kernels import njit
from archonsim.zoo.tile_kernel import CHUNK, fill, gemm, windows


@njit(fastmath=True, cache=True)
def gate(y: Any, y0: Any, predicted: Any, p0: Any, count: Any) -> None:
    """Zero `y` where the prediction is zero, in place."""
    for m in range(y.shape[0]):
        row, keep = y[m, y0 : y0 + count], predicted[m, p0 : p0 + count]
        for t in range(count):
            row[t] = row[t] if keep[t] > 0 else np.float32(0.0)


@njit(cache=True)
def quantise(p: Any, p0: Any, count: Any, levels: Any, out: Any, o0: Any) -> None:
    """Write the levels of a predicted activation, which is not negative."""
    step, _, high = levels
    for m in range(p.shape[0]):
        row, target = p[m, p0 : p0 + count], out[m, o0 : o0 + count]
        for t in range(count):
            level = np.rint(row[t] / step)
            target[t] = level if level < high else high


@njit(fastmath=True, cache=True)
def through_levels(gh: Any, p: Any, p0: Any, count: Any, levels: Any, gb1: Any) -> None:
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
def gated(
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
def through_prediction(
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
def real_windows(
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
    fill(h, h0, count, b1)
    gemm(w1, x, n * pitch * (height + 1), h, h0, count)
    gate(h, h0, p, p0, count)
    h[:, h0 + count : h0 + count + pitch + 1] = 0.0
    windows(h, h0, wd, shape, some, full, d, d0)
