"""ReLU predictors for a network that was trained without any.

Ternary copies of its own weights, fitted to some images.

Own decision where the recipe of ICS'21 trains: a predictor's normalisation is an affine map for
each channel, so the best one in the sense of least squares has a closed form, the regression of the
real pre-activation on the ternary sums. It takes in the ternary scale (the mean of the weights that
count), which therefore needs no value of its own. Blocks are fitted in order, each on what the ones
before it deliver with their masks in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from archonsim.export.graph import Graph, Runner
from archonsim.export.walk import Predictors, Tap, Walk
from archonsim.network.layer import Layer
from archonsim.trace.algebra import convolve, masked, quantise, relu_mask, shuffle
from archonsim.trace.tensors import Floats, LayerTensors, PredictorTensors
from archonsim.zoo.predictor import HIGH, LOW, STEP, ternarise

#: Input steps that are tried, as multiples of the recipe's at an input deviation of 1, and on how
#: many images.
_STEP_FACTORS, _TRIAL = (0.15, 0.25, 0.35, 0.5, 0.7, 1.0), 8


class _Moments:
    """Sums for the regression of a target on one regressor, per channel."""

    def __init__(self, channels: int) -> None:
        self._sums = np.zeros((5, channels))
        self._count = 0

    def add(self, regressor: Floats, target: Floats) -> None:
        u, v = (one.reshape(len(one), -1).astype(np.float64) for one in (regressor, target))
        self._sums += [u.sum(1), v.sum(1), (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)]
        self._count += u.shape[1]

    def explained(self) -> float:
        """Share of the target's variance that the regression explains, over all channels."""
        u, v, uu, uv, vv = self._sums / self._count
        return float(
            ((uv - u * v) ** 2 / (uu - u * u + 1e-12)).sum() / max(float((vv - v * v).sum()), 1e-12)
        )

    def line(self) -> tuple[Floats, Floats]:
        """Return slope and intercept of each channel.

        A regressor that never changes says nothing.
        """
        u, v, uu, uv, _ = self._sums / self._count
        variance = uu - u * u
        slope = np.where(variance > 1e-9, (uv - u * v) / np.maximum(variance, 1e-9), 0.0)
        return slope.astype(np.float32), (v - slope * u).astype(np.float32)


def fit_predictors(
    graph: Graph,
    runner: Runner,
    taps: Sequence[Tap],
    images: Floats,
    on_step: Callable[[str], None] = lambda name: None,
) -> dict[str, Predictors]:
    """Attach two predictors to every block.

    Parameters
    ----------
    images : (N, C, H, W) float32
        What scale, shift and input step are fitted to.
    on_step : function of a block's name

    Returns
    -------
    dict of block name to its predictors
    """
    walks = [Walk(graph, runner, image[None]) for image in images]
    pairs: dict[str, Predictors] = {}
    for tap in taps:
        first, second, _ = tap.block.layers
        end1, end2 = tap.block.clips
        before = [walk.values(tap.input)[0] for walk in walks]
        one = _fit(first, tap.tensors[0], before, [walk.values(tap.pre1)[0] for walk in walks])
        hidden = []
        for walk, x in zip(walks, before, strict=True):
            predicted = convolve(first, one, quantise(x, one))
            keep = relu_mask(predicted, end1)
            walk.put(tap.post1, masked(walk.values(tap.pre1)[0], keep, end1))
            relu = np.clip(predicted, 0, np.float32(end1 or np.inf))
            hidden.append(
                shuffle(relu, tap.block.shuffle) if tap.block.order == "pw-pw-dw" else relu
            )
        two = _fit(second, tap.tensors[1], hidden, [walk.values(tap.pre2)[0] for walk in walks])
        for walk, x in zip(walks, hidden, strict=True):
            keep = relu_mask(convolve(second, two, quantise(x, two)), end2)
            walk.put(tap.post2, masked(walk.values(tap.pre2)[0], keep, end2))
            walk.leave(tap)
        pairs[tap.block.name] = one, two
        on_step(tap.block.name)
    return pairs


def _fit(
    layer: Layer, real: LayerTensors, inputs: Sequence[Floats], targets: Sequence[Floats]
) -> PredictorTensors:
    signs, _ = ternarise(
        torch.from_numpy(real.weight.copy()), 1 if layer.kind == "depthwise" else layer.groups
    )
    ternary = signs.to(torch.int8).numpy()
    spread = max(float(np.std(inputs[:_TRIAL])), 1e-3)
    steps = [float(np.float32(STEP * factor * spread)) for factor in _STEP_FACTORS]
    step = max(
        steps,
        key=lambda one: _regress(
            layer, ternary, one, inputs[:_TRIAL], targets[:_TRIAL]
        ).explained(),
    )
    scale, shift = _regress(layer, ternary, step, inputs, targets).line()
    return PredictorTensors(
        ternary=ternary, scale=scale, shift=shift, step=step, low=LOW, high=HIGH
    )


def _regress(
    layer: Layer,
    ternary: np.ndarray[tuple[int, ...], np.dtype[np.int8]],
    step: float,
    inputs: Sequence[Floats],
    targets: Sequence[Floats],
) -> _Moments:
    one, zero = np.ones(layer.out_channels, np.float32), np.zeros(layer.out_channels, np.float32)
    sums = PredictorTensors(ternary=ternary, scale=one, shift=zero, step=step, low=LOW, high=HIGH)
    moments = _Moments(layer.out_channels)
    for x, target in zip(inputs, targets, strict=True):
        moments.add(convolve(layer, sums, quantise(x, sums)), target)
    return moments
