"""What one block computes, in a form that gives the same bits on every machine.

The workload file stores masks as differences from what these functions return, so their results may
not depend on a matrix library's order of summation: :mod:`~archonsim.trace.convolve_kernel` fixes
it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from archonsim.network.block import Block
from archonsim.network.layer import Layer, same_padding
from archonsim.trace import convolve_kernel, sign_kernel
from archonsim.trace.mask import CLIPPED, Mask
from archonsim.trace.tensors import Floats, LayerTensors, PredictorTensors


def shuffle(x: Floats, groups: int) -> Floats:
    """Shuffle the channels of ``x : (C, H, W)``.

    Channel c of group g moves to place ``c * groups + g``.
    """
    if groups < 2:
        return x
    channels, height, width = x.shape
    return x.reshape(groups, channels // groups, height, width).swapaxes(0, 1).reshape(x.shape)


def convolve(layer: Layer, tensors: LayerTensors | PredictorTensors, x: Floats) -> Floats:
    """Return ``scale * conv(x) + shift`` of a 1x1 or depthwise layer.

    Pixels outside the map ``x : (C, H, W)`` are 0.
    """
    weight = (tensors.ternary if isinstance(tensors, PredictorTensors) else tensors.weight).astype(
        np.float32
    )
    y: Floats
    if layer.kind == "depthwise":
        top, bottom, left, right = layer.padding
        padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
        y = convolve_kernel.depthwise(
            weight[:, 0], tensors.scale, tensors.shift, padded, layer.stride_h, layer.stride_w
        )
        return y
    channels, height, width = x.shape
    flat = np.ascontiguousarray(x.reshape(channels, -1))
    y = convolve_kernel.pointwise(
        weight[:, :, 0, 0], tensors.scale, tensors.shift, flat, layer.groups
    )
    return y.reshape(layer.out_channels, height, width)


def _between(block: Block, x: Floats) -> Floats:
    """Shuffle after the first layer, where the block's order asks for it there."""
    return shuffle(x, block.shuffle) if block.order == "pw-pw-dw" else x


def quantise(x: Floats, predictor: PredictorTensors) -> Floats:
    """Round `x` to the predictor's levels."""
    levels = np.divide(x, np.float32(predictor.step), dtype=np.float32)
    np.rint(levels, out=levels)
    return np.clip(levels, predictor.low, predictor.high, out=levels)


_NO_LEVELS = (np.float32(1), np.float32(0), np.float32(0))


def _ends(block: Block) -> tuple[np.float32, np.float32]:
    """Return the upper ends of a block's ReLUs; infinite where its masks know none."""
    first, second = (np.float32(end or np.inf) for end in block.clips)
    return first, second


def _channelwise(block: Block) -> bool:
    """Whether a mid channel needs no other one between the block's input and its second ReLU."""
    return block.layers[0].kind != "depthwise" and block.layers[1].kind == "depthwise"


def _plain(tensors: LayerTensors | PredictorTensors) -> tuple[Floats, ...]:
    """Return weight, scale and shift as :mod:`~archonsim.trace.sign_kernel` takes them."""
    weight = tensors.ternary if isinstance(tensors, PredictorTensors) else tensors.weight
    return weight.reshape(len(weight), -1).astype(np.float32), tensors.scale, tensors.shift


def _signs(
    block: Block, layers: tuple[tuple[Floats, ...], tuple[Floats, ...]], x: Floats, between: Any
) -> tuple[Mask, Mask]:
    """Run :mod:`~archonsim.trace.sign_kernel` on a block."""
    first, second, _ = block.layers
    (top, bottom, left, right), (rows, columns) = second.padding, (second.out_h, second.out_w)
    height, width = first.out_h, first.out_w
    down, over, wide = second.stride_h, second.stride_w, left + width + right
    most = max(len(weight[0]) for weight, _, _ in layers)
    states = tuple(
        np.empty((one.out_channels, one.out_h * one.out_w), np.uint8) for one in (first, second)
    )
    work = (
        *(one.reshape(-1) for one in states),
        np.empty(height * width, np.float32),
        np.zeros((top + height + bottom) * wide, np.float32),
        np.empty((rows - 1) * down * wide + (columns - 1) * over + 1, np.float32),
        np.empty(rows * columns, np.float32),
        np.arange(layers[0][0].shape[1]) * (height * width),
        (np.arange(second.kernel_h)[:, None] * wide + np.arange(second.kernel_w)).ravel(),
        (np.empty(most + 1, np.int64), np.empty(most + 1, np.float32)),
    )
    sizes = first.groups, height, width, top, left, wide, rows, columns, down, over
    sign_kernel.signs(*layers, np.ascontiguousarray(x).reshape(-1), between, sizes, work)
    return _packed(block, states)


def _packed(block: Block, states: tuple[NDArray[np.uint8], ...]) -> tuple[Mask, Mask]:
    first, second = (
        Mask(
            np.packbits(state, axis=1),
            layer.out_h,
            layer.out_w,
            np.packbits(state == CLIPPED, axis=1) if end else None,
        )
        for state, layer, end in zip(states, block.layers, block.clips, strict=False)
    )
    return first, second


def relu_mask(pre: Floats, end: float) -> Mask:
    """Return what a ReLU does to each of its inputs; `end` is its upper end, 0 for none."""
    return Mask.pack(pre > 0, pre > np.float32(end) if end else None)


def predict(
    block: Block, predictors: tuple[PredictorTensors, PredictorTensors], x: Floats
) -> tuple[Mask, Mask]:
    """Return keep1 and keep2 as the predictors decide them.

    ``x : (C, H, W)`` is the block's input.
    """
    ends, levels = _ends(block), quantise(x, predictors[0])
    if _channelwise(block):
        one, two = predictors
        scale = tuple(np.float32(value) for value in (two.step, two.low, two.high))
        between = np.empty(0, np.uint8), scale, ends
        return _signs(block, (_plain(one), _plain(two)), levels, between)
    first, second, _ = block.layers
    hidden = convolve(first, predictors[0], levels)
    keep1 = relu_mask(hidden, block.clips[0])
    hidden = _between(block, np.clip(hidden, np.float32(0), ends[0], out=hidden))
    pre2 = convolve(second, predictors[1], quantise(hidden, predictors[1]))
    return keep1, relu_mask(pre2, block.clips[1])


def real_signs(
    block: Block, tensors: tuple[LayerTensors, LayerTensors, LayerTensors], keep1: Mask, x: Floats
) -> tuple[Mask, Mask]:
    """Return where :func:`preactivations` are positive, and above the upper ends if there are."""
    if _channelwise(block):
        keep = keep1.states().reshape(-1)
        layers = _plain(tensors[0]), _plain(tensors[1])
        between = keep, _NO_LEVELS, _ends(block)
        return _signs(block, layers, x, between)
    pre1, pre2 = preactivations(block, tensors, keep1, x)
    return relu_mask(pre1, block.clips[0]), relu_mask(pre2, block.clips[1])


def masked(pre: Floats, keep: Mask, end: float) -> Floats:
    """Return `pre` where `keep` passes it, `end` where it clips it, else 0.

    What stands in the ReLU's place (a kept negative value passes).
    """
    if keep.clip is None:
        return np.where(keep.unpack(), pre, np.float32(0))
    states = keep.states()
    kept = np.where(states == CLIPPED, np.float32(end), pre)
    return np.where(states, kept, np.float32(0))


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
    pre1 = convolve(first, tensors[0], x)
    return pre1, convolve(second, tensors[1], _between(block, masked(pre1, keep1, block.clips[0])))


def _averaged(x: Floats, stride: tuple[int, int]) -> Floats:
    """Average 3x3 windows of ``x : (C, H, W)`` with 'same' padding.

    Pixels outside the map do not count, as in TensorFlow.
    """
    sizes = x.shape[1:]
    outs = [-(-size // step) for size, step in zip(sizes, stride, strict=True)]
    pads = [same_padding(size, 3, step) for size, step in zip(sizes, stride, strict=True)]
    inside = np.pad(np.ones((1, *sizes), np.float32), ((0, 0), *pads))
    padded = np.pad(x, ((0, 0), *pads))
    total, count = np.zeros((len(x), *outs), np.float32), np.zeros((1, *outs), np.float32)
    for r, s in np.ndindex(3, 3):
        rows, columns = (
            slice(at, at + (out - 1) * step + 1, step)
            for at, out, step in zip((r, s), outs, stride, strict=True)
        )
        total += padded[:, rows, columns]
        count += inside[:, rows, columns]
    total /= count
    return total


def joined(block: Block, y: NDArray[Any], x: Floats) -> NDArray[Any]:
    """Return what leaves the block, given what its branch made of its input `x`."""
    if block.residual == "concat":
        return np.concatenate([y, _averaged(x, (block.dw.stride_h, block.dw.stride_w))])
    return y + x if block.residual == "add" else y


def branch_output(block: Block, tensors: LayerTensors, pre2: Floats, keep2: Mask) -> Floats:
    """Return what the convolution branch makes: last layer, batch normalisation, shuffle.

    No residual.
    """
    y = convolve(block.layers[2], tensors, masked(pre2, keep2, block.clips[1]))
    return shuffle(y, block.shuffle) if block.order == "pw-dw-pw" else y
