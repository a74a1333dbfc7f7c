"""PyTorch modules as arrays: weights, folded normalisations, ternary predictors."""

from __future__ import annotations

import torch
from torch import Tensor

from archonsim.trace.tensors import Floats, LayerTensors, PredictorTensors
from archonsim.zoo.predictor import HIGH, LOW, Predictor
from archonsim.zoo.unit import Unit, folded_norm


def to_floats(x: Tensor) -> Floats:
    """Return a contiguous float32 copy."""
    array: Floats = x.detach().cpu().float().contiguous().numpy().copy()
    return array


def layer_tensors(unit: Unit) -> LayerTensors:
    """Return a layer's weights; its normalisation, or its bias, as scale and shift."""
    weight = unit.conv.weight.detach()
    channels = weight.shape[0]
    if unit.bn is not None:
        scale, shift = folded_norm(unit.bn)
    else:
        scale, shift = torch.ones(channels), torch.zeros(channels)
    if unit.conv.bias is not None:
        shift = shift + scale * unit.conv.bias
    return LayerTensors(
        weight=to_floats(weight.view(unit.layer.weight_shape)),
        scale=to_floats(scale),
        shift=to_floats(shift),
    )


def predictor_tensors(predictor: Predictor) -> PredictorTensors:
    """Return a predictor's signs and its folded normalisation, as the module evaluates them."""
    scale, shift = predictor.folded()
    return PredictorTensors(
        ternary=predictor.signs.detach().cpu().contiguous().numpy().copy(),
        scale=to_floats(scale),
        shift=to_floats(shift),
        step=float(predictor.step),
        low=LOW,
        high=HIGH,
    )
