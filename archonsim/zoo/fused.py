"""Running a bottleneck block on the cache-resident CPU kernels.

Training, whole or on a slice, and inference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from archonsim.network.block import Block
from archonsim.zoo import fused_kernel, gated_kernel, predicted_kernel, tile_kernel
from archonsim.zoo.predictor import HIGH, LOW, Predictor
from archonsim.zoo.unit import BN_EPS, ConvUnit, folded_norm

#: Flat positions that a tile should have, so that a group's input tile stays in the first-level
#: cache.
_TILE = 1100


@dataclass(frozen=True, slots=True)
class FusedSettings:
    """How the kernel is used.

    Attributes
    ----------
    width : float
        Share of the channels between PW1 and PW2 that one step trains: neighbours, in each group.
    fixed : bool
        Always train the first of them, instead of a window drawn anew for each step and group.
    plain : bool
        Train the first of them with PyTorch's own layers, in autocast's precision, in blocks whose
        convolutions have no groups. Quicker than the kernel where the channels are few.
    """

    width: float = 1.0
    fixed: bool = False
    plain: bool = False


def fusible(block: Block) -> bool:
    """Whether the kernel has the block's shape.

    3x3 windows, channels of a group in multiples that the kernel unrolls by.
    """
    groups = block.groups
    return (
        block.order == "pw-dw-pw"
        and (block.dw.kernel_h, block.dw.kernel_w) == (3, 3)
        and block.dw.stride_h == block.dw.stride_w <= 2
        and block.in_channels // groups % 4 == 0
        and block.out_channels // groups % 4 == 0
        and block.mid_channels // groups % tile_kernel.CHUNK == 0
    )


def _pack(x: Tensor) -> Tensor:
    """Lay ``(N, C, H, W)`` out as the kernel wants it.

    ``(C, N * (H + 1) * (W + 1))``, zeros behind rows and images.
    """
    return functional.pad(x, (0, 1, 0, 1)).transpose(0, 1).reshape(x.shape[1], -1).contiguous()


def _unpack(flat: Tensor, images: int, height: int, width: int) -> Tensor:
    return (
        flat.view(-1, images, height + 1, width + 1)[:, :, :height, :width]
        .transpose(0, 1)
        .contiguous()
    )


def _numpy(*tensors: Tensor) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    return [tensor.detach().float().contiguous().numpy() for tensor in tensors]


def _shape(x: Tensor, stride: int, first: int) -> tuple[int, int, int, int, int, int]:
    """Return (images, H, W, stride, first output pixel, images of a tile) for the kernels."""
    images, _, height, width = x.shape
    return images, height, width, stride, first, max(1, _TILE // ((height + 1) * (width + 1)))


_Array = np.ndarray[Any, np.dtype[np.float32]]
#: What the kernels work in, kept from call to call.
_ROOM: dict[str, _Array] = {}


def _room(groups: int, shape: tuple[int, ...], channels: tuple[int, int, int]) -> list[_Array]:
    """Return the buffers that a block of this shape needs: a row a thread, one for all lanes."""
    words, parts = tile_kernel.buffer_words(groups, shape, channels)
    threads = fused_kernel.threads()
    for name, size in (("own", threads * words), ("parts", parts)):
        if name not in _ROOM or len(_ROOM[name]) < size:
            _ROOM[name] = np.empty(size, np.float32)
    return [_ROOM["own"][: threads * words].reshape(threads, words), _ROOM["parts"]]


def _channels(x: Any, arrays: tuple[Any, ...]) -> tuple[int, int, int]:
    return x.shape[0], arrays[0].shape[0], arrays[5].shape[0]


def _first_pixel(dw: ConvUnit) -> int:
    """Place of the first output pixel's window centre.

    With stride 2 and no padding before, the second pixel.
    """
    return 1 - dw.layer.padding[0] if dw.layer.stride_h == 2 else 0


class _FusedBlock(torch.autograd.Function):
    """The kernel with its gradient. All tensors float32; `x` is (N, C, H, W)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, groups: int, stride: int, first: int, *flat: Tensor) -> Any:
        images, _, height, width = x.shape
        shape = _shape(x, stride, first)
        packed = _pack(x).numpy()
        arrays = tuple(_numpy(*flat))
        out_h, out_w = height // stride, width // stride
        mean, var = (
            np.zeros(arrays[0].shape[0], np.float32),
            np.zeros(arrays[0].shape[0], np.float32),
        )
        y = np.empty((arrays[5].shape[0], images * (out_h + 1) * (out_w + 1)), np.float32)
        room = _room(groups, shape, _channels(packed, arrays))
        fused_kernel.block_forward(
            packed, arrays, groups, shape, BN_EPS, False, y, mean, var, *room
        )
        ctx.kept = (packed, arrays, groups, shape, mean, var)
        return (
            _unpack(torch.from_numpy(y), images, out_h, out_w),
            torch.from_numpy(mean),
            torch.from_numpy(var),
        )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> Any:
        packed, arrays, groups, shape, mean, var = ctx.kept
        gx, gradients = np.empty_like(packed), tuple(np.zeros_like(array) for array in arrays)
        room = _room(groups, shape, _channels(packed, arrays))
        gy = _pack(gradient).numpy()
        fused_kernel.block_backward(
            packed, arrays, groups, shape, BN_EPS, (mean, var), gy, gx, gradients, *room
        )
        rest = [torch.from_numpy(one) for one in gradients]
        return (
            _unpack(torch.from_numpy(gx), shape[0], shape[1], shape[2]),
            None,
            None,
            None,
            *rest,
        )


class _PredictedBlock(torch.autograd.Function):
    """The kernel of a block with predicted ReLUs, whose gradient goes to the levels `q` alone.

    `x` and `q` are (N, C, H, W).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        q: Tensor,
        real: Any,
        levels: Any,
        groups: int,
        place: tuple[int, int],
        *flat: Tensor,
    ) -> Any:
        images, _, height, width = x.shape
        shape = _shape(x, *place)
        packed, arrays = (_pack(x).numpy(), _pack(q).numpy()), tuple(_numpy(*flat))
        out_h, out_w = height // place[0], width // place[0]
        mean, var = (
            np.zeros(arrays[0].shape[0], np.float32),
            np.zeros(arrays[0].shape[0], np.float32),
        )
        y = np.empty((arrays[5].shape[0], images * (out_h + 1) * (out_w + 1)), np.float32)
        room = _room(groups, shape, _channels(packed[0], arrays))
        gated_kernel.predicted_forward(
            *packed, real, arrays, levels, groups, shape, BN_EPS, y, mean, var, *room
        )
        ctx.kept = (packed, real, arrays, levels, groups, shape, mean, var)
        return (
            _unpack(torch.from_numpy(y), images, out_h, out_w),
            torch.from_numpy(mean),
            torch.from_numpy(var),
        )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> Any:
        packed, real, arrays, levels, groups, shape, mean, var = ctx.kept
        gq, gradients = np.empty_like(packed[1]), tuple(np.zeros_like(array) for array in arrays)
        room = _room(groups, shape, _channels(packed[0], arrays))
        wanted, gy = (ctx.needs_input_grad[8], ctx.needs_input_grad[11]), _pack(gradient).numpy()
        gated_kernel.predicted_backward(
            packed[0],
            packed[1],
            real,
            arrays,
            levels,
            groups,
            shape,
            BN_EPS,
            (mean, var),
            gy,
            gq,
            gradients,
            wanted,
            room[0],
            room[1],
        )
        needed = zip(gradients, ctx.needs_input_grad[6:], strict=True)
        rest = [torch.from_numpy(one) if need else None for one, need in needed]
        gradient = _unpack(torch.from_numpy(gq), shape[0], shape[1], shape[2])
        return (None, gradient, None, None, None, None, *rest)


def slice_channels(channels: int, width: float) -> int:
    """Return how many of a group's `channels` a slice of this width has.

    Whole chunks of the kernel.
    """
    chunk = tile_kernel.CHUNK
    return min(max(1, round(channels * width / chunk)) * chunk, channels)


def _slice(channels: int, groups: int, settings: FusedSettings) -> Tensor | None:
    """Choose channels of each group, ``(groups, some)``; None for all of them."""
    each = channels // groups
    some = slice_channels(each, settings.width)
    if some == each:
        return None
    start = torch.zeros(groups, 1, dtype=torch.long)
    if not settings.fixed:
        # Windows side by side, the last one moved back to fit: every channel is about as likely.
        start = (torch.randint(-(-each // some), (groups, 1)) * some).clamp(max=each - some)
    return start + torch.arange(some)


def _track(bn: Any, mean: Tensor, var: Tensor, index: Tensor | None) -> None:
    """Update running statistics as BatchNorm2d does."""
    bn.num_batches_tracked += 1
    rate = 1.0 / float(bn.num_batches_tracked) if bn.momentum is None else bn.momentum
    at = slice(None) if index is None else index
    bn.running_mean[at] += rate * (mean - bn.running_mean[at])
    bn.running_var[at] += rate * (var - bn.running_var[at])


def _folded_batch_norm(
    weight: Tensor, bn: Any, groups: int, x: Tensor, index: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Fold the batch normalisation after a 1x1 convolution of `x` into its weights (M, C/G).

    A linear layer's batch statistics follow from the mean and covariance of its input, so that its
    output need not exist.
    """
    gamma, beta = bn.weight, bn.bias
    if index is not None:
        weight, gamma, beta = weight[index], gamma[index], beta[index]
    each = weight.shape[1]
    rows = x.view(x.shape[0], groups, each, -1).permute(1, 2, 0, 3).reshape(groups, each, -1)
    centre = rows.mean(2, keepdim=True)
    spread = rows - centre
    covariance = spread @ spread.transpose(1, 2) / rows.shape[2]
    grouped = weight.view(groups, -1, each)
    mean = (grouped @ centre).flatten()
    var = ((grouped @ covariance) * grouped).sum(2).flatten()
    scale = gamma / torch.sqrt(var + BN_EPS)
    with torch.no_grad():
        _track(bn, mean, var, index)
    return weight * scale[:, None], beta - mean * scale


def fused_branch(
    pw1: ConvUnit, dw: ConvUnit, pw2: ConvUnit, x: Tensor, settings: FusedSettings
) -> Tensor:
    """Run PW1 -> DW -> PW2 with their batch normalisations, in training mode, on the kernel."""
    layer = pw1.layer
    groups, mids = layer.groups, layer.out_channels
    chosen = _slice(mids, groups, settings)
    gamma, beta, window = dw.bn.weight, dw.bn.bias, dw.conv.weight.flatten(1)  # type: ignore[union-attr]
    out = pw2.conv.weight.view(groups, -1, mids // groups)
    index = None
    if chosen is not None:
        index = (chosen + torch.arange(groups)[:, None] * (mids // groups)).flatten()
        gamma, beta, window = gamma[index], beta[index], window[index]
        out = out.gather(2, chosen[:, None, :].expand(-1, out.shape[1], -1))
    x = x.float()
    w1, b1 = _folded_batch_norm(pw1.conv.weight.flatten(1), pw1.bn, groups, x, index)
    flat = (w1, b1, window, gamma, beta, out.reshape(pw2.layer.out_channels, -1))
    y, mean, var = _FusedBlock.apply(x, groups, dw.layer.stride_h, _first_pixel(dw), *flat)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        _track(dw.bn, mean, var, index)
    return pw2.bn(y)  # type: ignore[no-any-return,misc]


def predicted_branch(
    pw1: ConvUnit, dw: ConvUnit, pw2: ConvUnit, pair: tuple[Predictor, Predictor], x: Tensor
) -> Tensor:
    """Run PW1 -> DW -> PW2, ReLUs predicted by `pair`, on the kernel.

    Predictors and the normalisation after PW2 are in training mode; PW1 and DW use their running
    statistics.
    """
    groups, x, (one, two) = pw1.layer.groups, x.float(), pair
    with torch.no_grad():
        scale1, shift1 = folded_norm(pw1.bn)  # type: ignore[arg-type]
        scale2, shift2 = folded_norm(dw.bn)  # type: ignore[arg-type]
        kernel1 = pw1.conv.weight.flatten(1) * scale1[:, None]
        real = tuple(_numpy(kernel1, shift1, dw.conv.weight.flatten(1), scale2, shift2))
    q = one.levels(x)
    t1, c1 = _folded_batch_norm(one.training_kernel().flatten(1), one.bn, groups, q, None)
    window = two.training_kernel().flatten(1)
    flat = (t1, c1, window, two.bn.weight, two.bn.bias, pw2.conv.weight.flatten(1))
    levels = np.float32(two.step.item()), np.float32(LOW), np.float32(HIGH)
    place = dw.layer.stride_h, _first_pixel(dw)
    apply: Any = _PredictedBlock.apply
    y, mean, var = apply(x, q, real, levels, groups, place, *flat)
    with torch.no_grad():
        _track(two.bn, mean, var, None)
    return pw2.bn(y)  # type: ignore[no-any-return,misc]


@torch.no_grad()
def fused_inference(
    pw1: ConvUnit, dw: ConvUnit, pw2: ConvUnit, pair: tuple[Predictor, Predictor] | None, x: Tensor
) -> Tensor:
    """Run PW1 -> DW -> PW2 with running statistics; `pair` predicts the ReLUs unless None."""
    groups, x = pw1.layer.groups, x.float()
    shape = _shape(x, dw.layer.stride_h, _first_pixel(dw))
    (scale1, shift1), (scale2, shift2) = folded_norm(pw1.bn), folded_norm(dw.bn)  # type: ignore[arg-type]
    weights = (pw1.conv.weight.flatten(1) * scale1[:, None], shift1, dw.conv.weight.flatten(1))
    out = pw2.conv.weight.flatten(1)
    out_h, out_w = shape[1] // shape[3], shape[2] // shape[3]
    y = np.zeros((out.shape[0], shape[0] * (out_h + 1) * (out_w + 1)), np.float32)
    if pair is None:
        norm = _numpy(torch.zeros_like(scale1), torch.full_like(scale1, 1 - BN_EPS))
        arrays = tuple(_numpy(*weights, scale2, shift2, out))
        packed = _pack(x).numpy()
        room = _room(groups, shape, _channels(packed, arrays))
        fused_kernel.block_forward(packed, arrays, groups, shape, BN_EPS, True, y, *norm, *room)
    else:
        levels = torch.round(x / pair[0].step).clamp(LOW, HIGH)
        one, two = (
            tuple(_numpy(predictor.signs.flatten(1), *predictor.folded())) for predictor in pair
        )
        range2 = (np.float32(pair[1].step.item()), np.float32(LOW), np.float32(HIGH))
        arrays = tuple(_numpy(*weights, scale2, shift2, out))
        predicted_kernel.block_predicted(
            _pack(x).numpy(), _pack(levels).numpy(), arrays, one, two, range2, groups, shape, y
        )
    return pw2.bn(_unpack(torch.from_numpy(y), shape[0], out_h, out_w))  # type: ignore[no-any-return,misc]


def _normalise(bn: Any, y: Tensor) -> Tensor:
    """Normalise the first channels as their batch normalisation does in training mode."""
    some = y.shape[1]
    bn.num_batches_tracked += 1
    rate = 1.0 / float(bn.num_batches_tracked) if bn.momentum is None else bn.momentum
    return functional.batch_norm(
        y,
        bn.running_mean[:some],
        bn.running_var[:some],
        bn.weight[:some],
        bn.bias[:some],
        True,
        rate,
        bn.eps,
    )


def narrow_branch(pw1: ConvUnit, dw: ConvUnit, pw2: ConvUnit, x: Tensor, width: float) -> Tensor:
    """Run PW1 -> DW -> PW2 on their first channels, in training mode, with PyTorch's own layers.

    `width` is the share of the channels between PW1 and PW2; convolutions have no groups.
    """
    some = slice_channels(pw1.layer.out_channels, width)
    y = functional.conv2d(x, pw1.conv.weight[:some])
    y = functional.relu(_normalise(pw1.bn, y))
    window, layer = dw.conv.weight[:some], dw.layer
    top, bottom, left, right = layer.padding
    y = functional.pad(y, (left, right, top, bottom))
    y = functional.conv2d(y, window, None, layer.stride_h, 0, 1, some)
    y = functional.relu(_normalise(dw.bn, y))
    return pw2.bn(functional.conv2d(y, pw2.conv.weight[:, :some]))  # type: ignore[no-any-return,misc]
