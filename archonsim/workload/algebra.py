"""What one block computes, in a form that gives the same bits on every machine.

The workload file stores masks as differences from what these functions return, so their results may not depend on a
matrix library's order of summation. Hence the 1x1 convolutions run on fixed-point numbers whose sums are exact in
float64, and the depthwise ones add their taps in a fixed order, in float32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archonsim.workload.block import Block
from archonsim.workload.layer import Layer
from archonsim.workload.mask import Mask
from archonsim.workload.tensors import Floats, LayerTensors, PredictorTensors

#: Channels of a depthwise convolution that are worked on together, so that they stay in a core's cache.
_CHANNELS_AT_ONCE = 64


def shuffle(x: Floats, groups: int) -> Floats:
    """Shuffle the channels of ``x : (C, H, W)``: channel c of group g moves to place ``c * groups + g``."""
    if groups < 2:
        return x
    channels, height, width = x.shape
    return x.reshape(groups, channels // groups, height, width).swapaxes(0, 1).reshape(x.shape)


def _fixed_point(values: NDArray[np.generic], bits: int) -> tuple[NDArray[np.float64], int]:
    """Round to integers below ``2 ** bits``; the second number is the binary exponent they were scaled by."""
    wide = values.astype(np.float64)
    exponent = bits - int(np.frexp(np.abs(wide).max(initial=0.0))[1])
    return np.rint(np.ldexp(wide, exponent)), exponent


def pointwise(weight: NDArray[np.generic], x: Floats, groups: int) -> Floats:
    """1x1 convolution of ``x : (C, H, W)`` with ``weight : (O, C/G, 1, 1)``."""
    out, depth = weight.shape[:2]
    _, height, width = x.shape
    bits = (53 - (depth - 1).bit_length()) // 2
    w, w_exponent = _fixed_point(weight.reshape(groups, out // groups, depth), bits)
    v, v_exponent = _fixed_point(x.reshape(groups, depth, height * width), bits)
    exact = np.ldexp(np.matmul(w, v), -w_exponent - v_exponent)
    y: Floats = exact.astype(np.float32).reshape(out, height, width)
    return y


def depthwise(weight: NDArray[np.generic], x: Floats, layer: Layer) -> Floats:
    """Depthwise convolution of ``x : (M, H, W)`` with ``weight : (M, 1, R, S)``; pixels outside the map are 0."""
    top, bottom, left, right = layer.padding
    out = np.zeros((layer.out_channels, layer.out_h, layer.out_w), np.float32)
    taps = weight.astype(np.float32)[:, 0, :, :, None, None]
    for first in range(0, layer.out_channels, _CHANNELS_AT_ONCE):
        part = slice(first, first + _CHANNELS_AT_ONCE)
        padded = np.pad(x[part], ((0, 0), (top, bottom), (left, right)))
        for r in range(layer.kernel_h):
            for s in range(layer.kernel_w):
                rows = slice(r, r + layer.stride_h * (layer.out_h - 1) + 1, layer.stride_h)
                columns = slice(s, s + layer.stride_w * (layer.out_w - 1) + 1, layer.stride_w)
                out[part] += taps[part, r, s] * padded[:, rows, columns]
    return out


def _affine(layer: Layer, tensors: LayerTensors | PredictorTensors, weight: NDArray[np.generic], x: Floats) -> Floats:
    conv = depthwise(weight, x, layer) if layer.kind == "depthwise" else pointwise(weight, x, layer.groups)
    conv *= tensors.scale[:, None, None]
    conv += tensors.shift[:, None, None]
    return conv


def _between(block: Block, x: Floats) -> Floats:
    """Shuffle after the first layer, where the block's order asks for it there."""
    return shuffle(x, block.shuffle) if block.order == "pw-pw-dw" else x


def quantise(x: Floats, predictor: PredictorTensors) -> Floats:
    """Round `x` to the predictor's levels."""
    levels: Floats = np.clip(np.rint(x / np.float32(predictor.step)), predictor.low, predictor.high).astype(np.float32)
    return levels


def predict(block: Block, predictors: tuple[PredictorTensors, PredictorTensors], x: Floats) -> tuple[Mask, Mask]:
    """Return keep1 and keep2 as the predictors decide them for the block's input ``x : (C, H, W)``."""
    first, second, _ = block.layers
    hidden = _affine(first, predictors[0], predictors[0].ternary, quantise(x, predictors[0]))
    keep1 = Mask.pack(hidden > 0)
    hidden = _between(block, np.maximum(hidden, 0, out=hidden))
    return keep1, Mask.pack(_affine(second, predictors[1], predictors[1].ternary, quantise(hidden, predictors[1])) > 0)


def masked(pre: Floats, keep: Mask) -> Floats:
    """Return `pre` where `keep` is set, else 0: what stands in the ReLU's place (a kept negative value passes)."""
    return np.where(keep.unpack(), pre, np.float32(0))


def preactivations(
    block: Block, tensors: tuple[LayerTensors, LayerTensors, LayerTensors], keep1: Mask, x: Floats
) -> tuple[Floats, Floats]:
    """Return what the two ReLUs would see, the second one behind `keep1`.

    Parameters
    ----------
    tensors : of the block's layers in order of execution
    x : (C, H, W) float32
        The block's input.
    """
    first, second, _ = block.layers
    pre1 = _affine(first, tensors[0], tensors[0].weight, x)
    return pre1, _affine(second, tensors[1], tensors[1].weight, _between(block, masked(pre1, keep1)))


def branch_output(block: Block, tensors: LayerTensors, pre2: Floats, keep2: Mask) -> Floats:
    """Return what the convolution branch makes: last layer, batch normalisation, shuffle; no residual."""
    y = _affine(block.layers[2], tensors, tensors.weight, masked(pre2, keep2))
    return shuffle(y, block.shuffle) if block.order == "pw-dw-pw" else y
