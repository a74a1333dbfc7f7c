"""A block's convolution branch layer by layer in double precision, masks in the ReLUs' place.

The sum over the fused weights and this product of three layers are the same number: ``sum_c sum_k x
sum_m keep1 keep2 W2 Wd W1`` with the factors multiplied out, or not. The latter takes the layers'
own multiplications and no memory but for the maps, however dense the weights are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.trace.algebra import shuffle
from archonsim.trace.mask import CLIPPED, Mask
from archonsim.trace.tensors import Floats, LayerTensors

Doubles = NDArray[np.float64]


def _depthwise(layer: Layer, weight: Doubles, x: Doubles) -> Doubles:
    top, bottom, left, right = layer.padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    y = np.zeros((layer.out_channels, layer.out_h, layer.out_w))
    for r, s in np.ndindex(layer.kernel_h, layer.kernel_w):
        rows = slice(r, r + (layer.out_h - 1) * layer.stride_h + 1, layer.stride_h)
        columns = slice(s, s + (layer.out_w - 1) * layer.stride_w + 1, layer.stride_w)
        y += weight[:, 0, r, s, None, None] * padded[:, rows, columns]
    return y


def _convolved(layer: Layer, tensors: LayerTensors, x: Doubles) -> Doubles:
    """Return ``scale * conv(x) + shift`` of a 1x1 or depthwise layer."""
    weight = tensors.weight.astype(np.float64)
    if layer.kind == "depthwise":
        y = _depthwise(layer, weight, x)
    else:
        by_group = weight.reshape(layer.groups, layer.out_channels // layer.groups, -1)
        pixels = x.reshape(layer.groups, by_group.shape[2], -1)
        y = (by_group @ pixels).reshape(layer.out_channels, layer.out_h, layer.out_w)
    scaled: Doubles = y * tensors.scale[:, None, None] + tensors.shift[:, None, None]
    return scaled


def factored_output(
    block: Block,
    tensors: tuple[LayerTensors, LayerTensors, LayerTensors],
    x: Floats,
    masks: tuple[Mask, Mask],
) -> Doubles:
    """Compute a block's convolution branch, before residual and a shuffle of its output.

    Parameters
    ----------
    block : Block
    tensors : of the block's layers in order of execution
    x : (C, H, W) float32
    masks : (Mask, Mask)
        keep1 and keep2; what they keep passes, be it negative, but for what they clip.

    Returns
    -------
    y : (O, P, Q) float64
    """
    y = x.astype(np.float64)
    for place, (layer, one) in enumerate(zip(block.layers, tensors, strict=True)):
        y = _convolved(layer, one, y)
        if place < len(masks):
            states = masks[place].states()
            if block.clips[place]:
                y[states == CLIPPED] = block.clips[place]
            y = np.where(states, y, 0.0)
        if place == 0 and block.order == "pw-pw-dw":
            y = shuffle(y, block.shuffle)  # type: ignore[arg-type, assignment]
    return y
