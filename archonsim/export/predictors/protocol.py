"""What a ReLU predictor is: the protocol of plug-ins, and of those that ship with archonsim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.prediction import Prediction, PredictionLoad
from archonsim.trace.algebra import predict, relu_mask, shuffle
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import Floats, LayerTensors, PredictorTensors


class ReluPredictor(Protocol):
    """The predictor of one ReLU of one block, fitted.

    A predictor of ternary weights has its tensors as an attribute ``tensors`` of type
    :class:`~archonsim.trace.tensors.PredictorTensors`, too: they are stored with the workload.
    """

    @property
    def load(self) -> PredictionLoad:
        """What predicting takes, however it is done on a machine."""

    def estimate(self, x: Floats) -> Floats:
        """Return what the layer makes of an input, as far as the predictor knows.

        Parameters
        ----------
        x : (C, H, W) float32
            What the block reads; of a block's second ReLU, the first one's estimate behind the
            ReLU.

        Returns
        -------
        y : (O, P, Q) float32
            In the units of the layer's output; what is not positive is predicted away, what is
            above the upper end of a ReLU6 is predicted to be clipped.
        """


class Predictor(Protocol):
    """A way to predict ReLUs.

    Attributes
    ----------
    name : str
        As in ``--predictors``, and as registered.
    summary : str
        One line.
    """

    @property
    def name(self) -> str:
        """Name as in ``--predictors``."""

    @property
    def summary(self) -> str:
        """One line."""

    def fit(
        self,
        layer: Layer,
        tensors: LayerTensors,
        inputs: Sequence[Floats],
        targets: Sequence[Floats],
        *,
        first: bool,
    ) -> ReluPredictor:
        """Fit a predictor of a layer's ReLU to some images.

        Parameters
        ----------
        layer : Layer
        tensors : LayerTensors
            Its weights, which nothing trains any more.
        inputs : sequence of (C, H, W) float32
            What the predictor will read, for each image.
        targets : sequence of (O, P, Q) float32
            The real pre-activations.
        first : bool
            Whether it is the first ReLU of its block, whose estimate the second one reads.
        """


@dataclass(frozen=True, slots=True, eq=False)
class FittedPair:
    """The predictors of a block's two ReLUs, one reading what the other one estimates."""

    block: Block
    name: str
    one: ReluPredictor
    two: ReluPredictor

    @property
    def tensors(self) -> tuple[PredictorTensors, PredictorTensors] | None:
        """What is stored of ternary ones."""
        one, two = (getattr(relu, "tensors", None) for relu in (self.one, self.two))
        both = isinstance(one, PredictorTensors) and isinstance(two, PredictorTensors)
        return (one, two) if both else None  # type: ignore[return-value]

    @property
    def prediction(self) -> Prediction:
        """What is declared of them."""
        return Prediction(predictor=self.name, loads=(self.one.load, self.two.load))

    def between(self, estimate: Floats) -> Floats:
        """Return what the second predictor reads."""
        relu = np.clip(estimate, 0, np.float32(self.block.clips[0] or np.inf))
        return shuffle(relu, self.block.shuffle) if self.block.order == "pw-pw-dw" else relu

    def masks(self, x: Floats) -> tuple[Mask, Mask]:
        """Return the two keep masks for a block's input (C, H, W)."""
        if self.tensors is not None:
            return predict(self.block, self.tensors, x)
        first, (end1, end2) = self.one.estimate(x), self.block.clips
        second = self.two.estimate(self.between(first))
        return relu_mask(first, end1), relu_mask(second, end2)
