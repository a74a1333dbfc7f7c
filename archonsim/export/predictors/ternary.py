"""Ternary copies of a network's own weights on 4-bit inputs, in the manner of ICS'21.

Own decision where the recipe of ICS'21 trains: a predictor's normalisation is an affine map for
each channel, so the best one in the sense of least squares has a closed form, the regression of the
real pre-activation on the ternary sums. It takes in the ternary scale (the mean of the weights that
count), which therefore needs no value of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import UserError
from archonsim.export.predictors.lines import Moments, regress
from archonsim.network.layer import Layer
from archonsim.network.prediction import TERNARY, PredictionLoad
from archonsim.trace.algebra import convolve, quantise
from archonsim.trace.tensors import Floats, LayerTensors, PredictorTensors

#: Input steps that are tried, as multiples of the recipe's at an input deviation of 1, and on how
#: many images.
_STEP_FACTORS, _TRIAL = (0.15, 0.25, 0.35, 0.5, 0.7, 1.0), 8


@dataclass(frozen=True, slots=True, eq=False)
class TernaryRelu:
    """One fitted ReLU."""

    layer: Layer
    tensors: PredictorTensors
    load: PredictionLoad

    def estimate(self, x: Floats) -> Floats:
        """Return the ternary sums' regression on what the layer makes."""
        return convolve(self.layer, self.tensors, quantise(x, self.tensors))


def _ternary(layer: Layer, weight: Floats) -> tuple[NDArray[np.int8], float, int, int]:
    """Return ternary weights, and the recipe's step and levels of inputs.

    Raises
    ------
    UserError
        PyTorch is not installed.
    """
    try:
        import torch

        from archonsim.zoo.predictor import HIGH, LOW, STEP, ternarise
    except ModuleNotFoundError as error:
        raise UserError(
            f"ternary predictors need PyTorch, and {error.name} is not installed: pip install"
            " 'archonsim[train]'"
        ) from error
    slices = 1 if layer.kind == "depthwise" else layer.groups
    signs, _ = ternarise(torch.from_numpy(weight.copy()), slices)
    return signs.to(torch.int8).numpy(), STEP, LOW, HIGH


class TernaryPredictor:
    """As ``--predictors ternary`` knows it."""

    name = "ternary"
    summary = "weights -1, 0, 1 on 4-bit inputs, one narrow addition for each (ICS'21)"

    def fit(
        self,
        layer: Layer,
        tensors: LayerTensors,
        inputs: Sequence[Floats],
        targets: Sequence[Floats],
        *,
        first: bool,
    ) -> TernaryRelu:
        """Make the weights ternary, choose the input step, and fit scale and shift."""
        ternary, unit, low, high = _ternary(layer, tensors.weight)

        def moments(step: float, count: int | None = None) -> Moments:
            one = np.ones(layer.out_channels, np.float32)
            sums = PredictorTensors(
                ternary=ternary, scale=one, shift=0 * one, step=step, low=low, high=high
            )
            made = TernaryRelu(layer, sums, TERNARY.loads[0])
            return regress(layer.out_channels, made.estimate, inputs[:count], targets[:count])

        spread = max(float(np.std(inputs[:_TRIAL])), 1e-3)
        steps = [float(np.float32(unit * factor * spread)) for factor in _STEP_FACTORS]
        step = max(steps, key=lambda one: moments(one, _TRIAL).explained())
        scale, shift = moments(step).line()
        fitted = PredictorTensors(
            ternary=ternary, scale=scale, shift=shift, step=step, low=low, high=high
        )
        return TernaryRelu(layer, fitted, TERNARY.loads[0 if first else 1])


PREDICTOR = TernaryPredictor()
