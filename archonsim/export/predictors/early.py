"""Sums that stop early, in the manner of SnaPEA (ISCA 2018): what stops is predicted away.

Weights stand in the order of :mod:`archonsim.pe.early_order`. A sum stops if it is below its
filter's threshold behind the first of them; and, where inputs are not negative, once it is negative
and only negative weights are left. Sums that do not stop are exact, so that only positive
activations can be lost and no negative one passes. Own decisions: a quarter of a filter's weights
comes first, and its threshold cuts at most 2 % of the positive activations of the images that it is
fitted to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from archonsim.network.layer import Layer
from archonsim.network.prediction import PredictionLoad
from archonsim.pe.early_kernel import Ordered, Windows, early_stops
from archonsim.pe.early_order import ordered, with_thresholds
from archonsim.trace.tensors import Floats, LayerTensors

#: Share of a filter's weights that its sum speculates on, and of the positive activations that this
#: may lose.
PREFIX, LOST = 0.25, 0.02
_WORD = 16


@dataclass(frozen=True, slots=True, eq=False)
class EarlyStop:
    """One fitted ReLU."""

    layer: Layer
    order: Ordered
    load: PredictionLoad

    def estimate(self, x: Floats) -> Floats:
        """Return exact sums, and -1 where one stops."""
        _, sums, partial = _run(self.layer, self.order, x)
        cut = (self.order.prefix[:, None] > 0) & (partial < self.order.threshold[:, None])
        made = np.where(cut, np.float32(-1), sums)
        return made.reshape(self.layer.out_channels, self.layer.out_h, self.layer.out_w)


def _run(
    layer: Layer, order: Ordered, x: Floats
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.int32]], Floats, Floats]:
    top, bottom, left, right = layer.padding
    windows = Windows(
        out_h=layer.out_h,
        out_w=layer.out_w,
        kernel_h=layer.kernel_h,
        kernel_w=layer.kernel_w,
        stride_h=layer.stride_h,
        stride_w=layer.stride_w,
        groups=layer.groups,
    )
    return early_stops(order, np.pad(x, ((0, 0), (top, bottom), (left, right))), windows)


class EarlyStopPredictor:
    """As ``--predictors snapea`` knows it."""

    name = "snapea"
    summary = "the multiplications themselves, weights ordered by sign, stopped early (ISCA'18)"

    def fit(
        self,
        layer: Layer,
        tensors: LayerTensors,
        inputs: Sequence[Floats],
        targets: Sequence[Floats],
        *,
        first: bool,
    ) -> EarlyStop:
        """Order the weights and choose thresholds."""
        order = ordered(tensors, prefix_share=PREFIX)
        if any(float(x.min(initial=0.0)) < 0 for x in inputs):
            # A sum of negative weights may rise again: only what is speculated stops.
            order = replace(order, certain=np.diff(order.first).astype(np.int32))
        runs = [_run(layer, order, x) for x in inputs]
        sums, partial = (np.concatenate([run[part] for run in runs], axis=1) for part in (1, 2))
        order = with_thresholds(order, sums, partial, LOST)
        done = sum(int(_run(layer, order, x)[0].sum(dtype=np.int64)) for x in inputs)
        window = layer.weights // layer.out_channels
        load = PredictionLoad(
            unit="multipliers",
            share=round(done / max(1, layer.macs * len(inputs)), 6),
            input_bits=_WORD,
            weight_bits=_WORD,
            index_bits=max(1, (window - 1).bit_length()),
            code_bits=_WORD if first else 0,
            parameters=2,  # what a sum begins with, and a threshold
        )
        return EarlyStop(layer, order, load)


PREDICTOR = EarlyStopPredictor()
