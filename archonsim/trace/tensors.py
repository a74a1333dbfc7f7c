"""What a trained network adds to the shapes: weights, predictors, and per image masks and maps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from archonsim.trace.mask import Mask

Floats = NDArray[np.float32]
Ternary = NDArray[np.int8]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LayerTensors:
    """A layer's weights as used.

    Batch normalisation (or the bias) separately, as ``y = scale * conv(x) + shift``.

    Attributes
    ----------
    weight : (O, C/G, R, S) float32
        Zeros are the pruning.
    scale, shift : (O,) float32
    """

    weight: Floats
    scale: Floats
    shift: Floats


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PredictorTensors:
    """One ReLU predictor: ternary weights on a coarsely quantised input.

    The prediction is ``keep = scale * acc + shift > 0`` with the integer ``acc = sum(ternary * q)``
    and ``q = clip(rint(x / step), low, high)``. PW1's predictor reads the block's input; the second
    one reads the first one's own output ``relu(scale * acc + shift)`` (recipe of ICS'21, a
    cascade).

    Attributes
    ----------
    ternary : (O, C/G, R, S) int8
        -1, 0 or 1.
    scale, shift : (O,) float32
        Ternary scale, input step and batch normalisation, folded.
    step : float
        Input units per quantisation level.
    low, high : int
        Smallest and largest level (-8 and 7 for 4 bits).
    """

    ternary: Ternary
    scale: Floats
    shift: Floats
    step: float
    low: int = -8
    high: int = 7


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BlockTrace:
    """What one image did in one block, as the trained network computed it.

    Attributes
    ----------
    keep1, keep2 : Mask
        Predicted survival of the first ReLU (at the input's resolution) and of the second (at the
        output's); with a plane of clipped activations where the block's `clips` name an upper end.
    true1, true2 : Mask
        Sign of the real pre-activation, and whether it is above the upper end: what an oracle would
        keep, and clip.
    input : (C, H, W) float32
    output : (O', P, Q) float32
        What leaves the block: after batch normalisation, shuffle and residual.
    """

    keep1: Mask
    keep2: Mask
    true1: Mask
    true2: Mask
    input: Floats
    output: Floats


class Trace(Protocol):
    """Tensors of a workload, read when asked for. A workload without one is shape-only."""

    @property
    def images(self) -> int:
        """Number of images with masks; 0 when there are weights only."""

    def __hash__(self) -> int:
        """A trace is itself and no other: what is worked out from it is kept under it."""

    def layer(self, name: str) -> LayerTensors:
        """Weights of one layer."""

    def predictors(self, block: str) -> tuple[PredictorTensors, PredictorTensors]:
        """The two ReLU predictors of one block."""

    def block(self, block: str, image: int) -> BlockTrace:
        """Masks and maps of one block for one image."""

    def activations(self, layer: str, image: int) -> Mask | None:
        """Which values of a layer's input (C, H, W) are not zero; None where that is not traced."""

    def values(self, layer: str, image: int) -> Floats | None:
        """What a layer reads, (C, H, W), rounded to 16 bits; None where that is not traced."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MemoryTrace:
    """A :class:`Trace` held in memory: what an exporter fills and the writer stores.

    Attributes
    ----------
    layers : dict of layer name to LayerTensors
    predictor_pairs : dict of block name to (PredictorTensors, PredictorTensors)
    blocks : dict of (block name, image) to BlockTrace
    images : int
    inputs : dict of (layer name, image) to Mask
        Which values of a layer's input are not zero; may lack layers, but no image of one that it
        has.
    maps : dict of (layer name, image) to (C, H, W) float32
        What layers read that are in no block, rounded to float16; likewise.
    """

    layers: dict[str, LayerTensors]
    predictor_pairs: dict[str, tuple[PredictorTensors, PredictorTensors]]
    blocks: dict[tuple[str, int], BlockTrace]
    images: int
    inputs: dict[tuple[str, int], Mask] = field(default_factory=dict)
    maps: dict[tuple[str, int], Floats] = field(default_factory=dict)

    def layer(self, name: str) -> LayerTensors:
        """Weights of one layer."""
        return self.layers[name]

    def predictors(self, block: str) -> tuple[PredictorTensors, PredictorTensors]:
        """The two ReLU predictors of one block."""
        return self.predictor_pairs[block]

    def block(self, block: str, image: int) -> BlockTrace:
        """Masks and maps of one block for one image."""
        return self.blocks[block, image]

    def activations(self, layer: str, image: int) -> Mask | None:
        """Which values of a layer's input (C, H, W) are not zero; None where that is not traced."""
        return self.inputs.get((layer, image))

    def values(self, layer: str, image: int) -> Floats | None:
        """What a layer reads, (C, H, W), rounded to 16 bits; None where that is not traced."""
        return self.maps.get((layer, image))
