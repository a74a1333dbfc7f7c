"""The four leading bits of weights and inputs.

Own decisions: a weight keeps its sign and three bits of magnitude, counted from its filter's
largest weight; an input keeps four bits, counted from a power of two, the best of some, with a sign
where it has negative values. Bits behind are cut off, not rounded. As cutting off makes sums
smaller, each channel has a line from the leading bits' sums to the real ones, fitted by least
squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archonsim.export.predictors.lines import regress
from archonsim.network.layer import Layer
from archonsim.network.prediction import PredictionLoad
from archonsim.trace.algebra import convolve
from archonsim.trace.tensors import Floats, LayerTensors

#: Bits of a weight's magnitude, and of an input.
WEIGHT_BITS, INPUT_BITS = 3, 4
#: Powers of two below the one that holds the largest input, that are tried for its leading bit, and
#: on how many images.
_OCTAVES, _TRIAL = 5, 8


def leading_weights(weight: Floats) -> Floats:
    """Return the leading bits of weights (O, C/G, R, S) with their signs, as whole numbers."""
    largest = np.abs(weight).max(axis=(1, 2, 3), keepdims=True, initial=0.0)
    steps = np.array([_above(one) if one else 1.0 for one in largest.ravel().tolist()])
    step = (steps / 2**WEIGHT_BITS).reshape(largest.shape).astype(np.float32)
    bits: Floats = (np.sign(weight) * np.floor(np.abs(weight) / step)).astype(np.float32)
    return bits


def _above(value: float) -> float:
    """Return the least power of two above a positive number."""
    return float(2.0 ** (np.floor(np.log2(value)) + 1))


@dataclass(frozen=True, slots=True, eq=False)
class LeadingBits:
    """One fitted ReLU.

    Attributes
    ----------
    layer : Layer
    tensors : LayerTensors
        Leading bits of the weights, and each channel's line. Not stored with a workload.
    step : float
        Value of an input's last kept bit.
    low, high : int
    load : PredictionLoad
    """

    layer: Layer
    weights: LayerTensors
    step: float
    low: int
    high: int
    load: PredictionLoad

    def estimate(self, x: Floats) -> Floats:
        """Return the line of each channel at the leading bits' sums."""
        levels = np.floor(x / np.float32(self.step)).clip(self.low, self.high)
        return convolve(self.layer, self.weights, levels.astype(np.float32))


class MsbPredictor:
    """As ``--predictors msb4`` knows it."""

    name = "msb4"
    summary = "four leading bits of weights and inputs, three narrow additions for each product"

    def fit(
        self,
        layer: Layer,
        tensors: LayerTensors,
        inputs: Sequence[Floats],
        targets: Sequence[Floats],
        *,
        first: bool,
    ) -> LeadingBits:
        """Cut weights, choose an input's leading bit, and fit the lines."""
        one = np.ones(layer.out_channels, np.float32)
        weight = leading_weights(tensors.weight)
        largest = max(float(np.abs(x).max(initial=0.0)) for x in inputs) or 1.0
        signed = min(float(x.min(initial=0.0)) for x in inputs) < 0
        span = 2 ** (INPUT_BITS - signed)
        limits = (-span if signed else 0, span - 1)
        load = PredictionLoad(
            steps=WEIGHT_BITS,  # one addition of the input, shifted, for each bit of the magnitude
            input_bits=INPUT_BITS,
            weight_bits=WEIGHT_BITS + 1,
            code_bits=INPUT_BITS if first else 0,
            compares=INPUT_BITS if first else 1,
            parameters=2 if first else 1,
        )

        def made(step: float, scale: Floats, shift: Floats) -> LeadingBits:
            weights = LayerTensors(weight=weight, scale=scale, shift=shift)
            return LeadingBits(layer, weights, step, *limits, load)

        def explained(step: float) -> float:
            sums = made(step, one, 0 * one).estimate
            return regress(layer.out_channels, sums, inputs[:_TRIAL], targets[:_TRIAL]).explained()

        steps = [_above(largest) / span / 2**octave for octave in range(_OCTAVES)]
        step = max(steps, key=explained)
        sums = made(step, one, 0 * one).estimate
        return made(step, *regress(layer.out_channels, sums, inputs, targets).line())


PREDICTOR = MsbPredictor()
