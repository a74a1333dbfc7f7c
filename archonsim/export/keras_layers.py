"""Keras's layers as steps: what each computes, channels last in the file and first here."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from archonsim.export import arrays
from archonsim.export.keras_file import KerasLayer
from archonsim.network.layer import Padding
from archonsim.trace.tensors import Floats

if TYPE_CHECKING:
    from archonsim.export.keras_graph import Translation

Pair = tuple[int, int]
Shape = tuple[int, ...]
#: Layers that do nothing where nothing is trained.
_NOTHING: Final = (
    "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout",
    "ActivityRegularization",
)  # fmt: skip


def _two(value: Any) -> Pair:
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def _window(
    net: Translation, one: KerasLayer, size: Pair, kernel: Pair, stride: Pair, dilation: Pair
) -> tuple[Padding, Pair]:
    """Return a window's padding, and the size of what it makes."""
    word = str(one.config.get("padding", "valid"))
    beyond = max((k - 1) * d - s for k, d, s in zip(kernel, dilation, size, strict=True))
    if word not in ("same", "valid") or min(*kernel, *stride, *dilation) < 1:
        raise net.refused(one, f"its padding is {word!r}, its window {kernel}, stride {stride}")
    if beyond > arrays.BEYOND:
        raise net.refused(
            one, f"its window {kernel} reaches {beyond} pixels beyond a map of {size}"
        )
    padding = arrays.padding_of(word, size, kernel, stride, dilation)
    made = arrays.out_size(size, kernel, stride, padding, dilation)
    if min(made) < 1:
        raise net.refused(one, f"its window {kernel} does not fit a map of {size}")
    return padding, made


def _weights(net: Translation, one: KerasLayer, *ranks: int) -> list[Floats]:
    """Return kernels of given ranks, and a bias of zeros where there is none."""
    found = list(one.weights)
    biased = bool(one.config.get("use_bias", True))
    if [weight.ndim for weight in found] != [*ranks, *([1] if biased else [])]:
        raise net.refused(one, f"its weights are {[weight.shape for weight in found]}")
    return found if biased else [*found, np.zeros(0, np.float32)]


def _convolve(
    net: Translation,
    one: KerasLayer,
    weight: Floats,
    bias: Floats,
    part: str = "",
    *,
    plain: bool = False,
) -> None:
    """Append a convolution with weights (O, C/G, R, S); a plain one has stride 1, no padding."""
    shape = net.part(one)
    channels, size = shape[1], (shape[2], shape[3])
    out, each, kernel = weight.shape[0], weight.shape[1], (weight.shape[2], weight.shape[3])
    if each < 1 or channels % each or out % (channels // each) or bias.size not in (0, out):
        raise net.refused(one, f"its weights are {weight.shape}, its map has {channels} channels")
    stride = (1, 1) if plain else _two(one.config.get("strides", 1))
    dilation = (1, 1) if plain else _two(one.config.get("dilation_rate", 1))
    padding, made = (
        ((0, 0, 0, 0), size) if plain else _window(net, one, size, kernel, stride, dilation)
    )
    run = partial(arrays.convolve, stride=stride, padding=padding, dilation=dilation)
    window = {
        "stride": stride, "padding": padding, "dilation": dilation, "groups": channels // each,
    }  # fmt: skip
    macs = weight.size * made[0] * made[1]
    net.emit(
        one, "conv2d", (1, out, *made), *_summed(run, weight, bias, window), part=part, macs=macs
    )


def _summed(
    run: Callable[..., Floats], weight: Floats, bias: Floats, window: dict[str, Any]
) -> tuple[Callable[[Floats], Floats], dict[str, Any]]:
    """Return what computes a convolution and its bias, if any, and the arguments that say it."""

    def compute(x: Floats) -> Floats:
        sums = run(x, weight)
        return sums + bias[None, :, None, None] if bias.size else sums

    return compute, {"weight": weight, "bias": bias if bias.size else None} | window


def _conv(net: Translation, one: KerasLayer) -> None:
    weight, bias = _weights(net, one, 4)
    net.map(one)
    _convolve(net, one, np.ascontiguousarray(weight.transpose(3, 2, 0, 1)), bias)


def _transposed(net: Translation, one: KerasLayer) -> None:
    """Append a transposed convolution, whose kernel is (R, S, O, C)."""
    stored, bias = _weights(net, one, 4)
    net.map(one)
    shape = net.part(one)
    weight = np.ascontiguousarray(stored.transpose(3, 2, 0, 1))
    channels, out, *taps = weight.shape
    kernel, size = (taps[0], taps[1]), (shape[2], shape[3])
    stride = _two(one.config.get("strides", 1))
    word, wider = str(one.config.get("padding", "valid")), one.config.get("output_padding")
    if channels != shape[1] or bias.size not in (0, out):
        raise net.refused(one, f"its weights are {stored.shape}, its map has {shape[1]} channels")
    if _two(one.config.get("dilation_rate", 1)) != (1, 1) or wider is not None:
        raise net.refused(one, f"it has a dilation, or an output_padding ({wider})")
    if word not in ("same", "valid") or min(*kernel, *stride) < 1:
        raise net.refused(one, f"its padding is {word!r}, its window {kernel}, stride {stride}")
    rows, columns = (
        n * s + (max(k - s, 0) if word == "valid" else 0)
        for n, k, s in zip(size, kernel, stride, strict=True)
    )
    before = arrays.transposed_cut(word, size, kernel, stride, (rows, columns))
    run = partial(arrays.transposed, stride=stride, before=before, out=(rows, columns))
    window = {"stride": stride, "padding": (before[0], 0, before[1], 0)}
    made = (1, out, rows, columns)
    macs = weight.size * size[0] * size[1]
    net.emit(one, "conv_transpose2d", made, *_summed(run, weight, bias, window), macs=macs)


def _by_channel(weight: Floats) -> Floats:
    """Return depthwise weights (R, S, C, M) as (C * M, 1, R, S)."""
    height, width, channels, many = weight.shape
    return np.ascontiguousarray(
        weight.transpose(2, 3, 0, 1).reshape(channels * many, 1, height, width)
    )


def _depthwise(net: Translation, one: KerasLayer) -> None:
    weight, bias = _weights(net, one, 4)
    net.map(one)
    _convolve(net, one, _by_channel(weight), bias)


def _separable(net: Translation, one: KerasLayer) -> None:
    depthwise, pointwise, bias = _weights(net, one, 4, 4)
    net.map(one)
    _convolve(net, one, _by_channel(depthwise), np.zeros(0, np.float32), "depthwise")
    _convolve(net, one, np.ascontiguousarray(pointwise.transpose(3, 2, 0, 1)), bias, plain=True)


def _dense(net: Translation, one: KerasLayer) -> None:
    weight, bias = _weights(net, one, 2)
    shape = net.shape(one)
    if len(shape) == 4 and shape[2:] == (1, 1):  # a map of one pixel stays one
        _convolve(net, one, np.ascontiguousarray(weight.T)[:, :, None, None], bias, plain=True)
        return
    if shape != (1, weight.shape[0]) or bias.size not in (0, weight.shape[1]):
        raise net.refused(one, f"its weights are {weight.shape}, and it reads {shape}")
    rows = np.ascontiguousarray(weight.T)
    offset = bias if bias.size else np.zeros(len(rows), np.float32)

    def compute(x: Floats) -> Floats:
        made: Floats = x @ rows.T + offset
        return made

    arguments = {"weight": rows, "bias": bias if bias.size else None}
    net.emit(one, "linear", (1, len(rows)), compute, arguments, macs=weight.size)


def _norm(net: Translation, one: KerasLayer) -> None:
    shape, given = net.shape(one), list(one.weights)
    axis = one.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) else axis
    if axis not in (-1, 3 if len(shape) == 4 else 1):
        raise net.refused(one, f"its axis is {axis}; it must be that of the channels, the last")
    gain = given.pop(0) if one.config.get("scale", True) else np.ones(shape[1], np.float32)
    shift = given.pop(0) if one.config.get("center", True) else np.zeros(shape[1], np.float32)
    mean, var = given
    if any(one_.shape != (shape[1],) for one_ in (gain, shift, mean, var)) or (var < 0).any():
        raise net.refused(one, f"its weights do not fit {shape[1]} channels, or a variance is < 0")
    eps = float(one.config.get("epsilon", 1e-3))
    scale = gain / np.sqrt(var + np.float32(eps))
    sides = (1, -1, *(1,) * (len(shape) - 2))
    factor, offset = scale.reshape(sides), (shift - mean * scale).reshape(sides)
    arguments = {
        "weight": gain, "bias": shift, "running_mean": mean, "running_var": var, "eps": eps,
    }  # fmt: skip
    net.emit(one, "batchnorm2d", shape, lambda x: x * factor + offset, arguments)


def _relu(net: Translation, one: KerasLayer) -> None:
    slope = one.config.get("negative_slope", 0) or 0
    if one.config.get("threshold") or slope:
        raise net.refused(one, f"its slope is {slope}, its threshold not 0")
    most = one.config.get("max_value")
    net.limits(one, None if most is None else float(most))


def _leaky(net: Translation, one: KerasLayer) -> None:
    slope = np.float32(one.config.get("negative_slope", one.config.get("alpha", 0.3)))
    shape = net.shape(one)
    run = partial(_leaking, slope=slope)
    net.emit(one, "leaky_relu", shape, run, {"negative_slope": float(slope)})


def _leaking(x: Floats, slope: np.float32) -> Floats:
    return np.where(x > 0, x, x * slope)


def _activation(net: Translation, one: KerasLayer) -> None:
    shape = net.shape(one)
    name = "softmax" if one.kind == "Softmax" else net.function(one)
    if name == "linear":
        net.emit(one, "identity", shape, lambda x: x)
    else:
        net.activate(one, name, one.inputs[0])


def _identity(net: Translation, one: KerasLayer) -> None:
    net.emit(one, "identity", net.shape(one), lambda x: x)


def _pad(net: Translation, one: KerasLayer) -> None:
    channels, size = net.map(one)
    given = one.config["padding"]
    rows, columns = (given, given) if isinstance(given, int) else given
    (top, bottom), (left, right) = _two(rows), _two(columns)
    if min(top, bottom, left, right) < 0:
        raise net.refused(one, f"its padding is {given}")
    pads = ((0, 0), (0, 0), (top, bottom), (left, right))
    shape = (1, channels, size[0] + top + bottom, size[1] + left + right)
    arguments = {"pad": [left, right, top, bottom]}
    net.emit(one, "pad", shape, partial(np.pad, pad_width=pads), arguments)


def _pool(net: Translation, one: KerasLayer) -> None:
    channels, size = net.map(one)
    kernel = _two(one.config["pool_size"])
    stride = _two(one.config.get("strides") or kernel)
    padding, made = _window(net, one, size, kernel, stride, (1, 1))
    largest = one.kind == "MaxPooling2D"
    run = partial(
        arrays.largest if largest else arrays.average, kernel=kernel, stride=stride, padding=padding
    )
    arguments = {"kernel_size": kernel, "stride": stride, "padding": padding}
    macs = math.prod((channels, *made, *kernel))
    operator = "maxpool2d" if largest else "avgpool2d"
    net.emit(one, operator, (1, channels, *made), run, arguments, macs=macs)


def _global(net: Translation, one: KerasLayer) -> None:
    channels, size = net.map(one)
    shape = (1, channels, 1, 1) if one.config.get("keepdims") else (1, channels)
    if one.kind == "GlobalMaxPooling2D":
        if not one.config.get("keepdims"):
            raise net.refused(one, "it drops its axes; set keepdims")
        arguments = {"kernel_size": size, "stride": size, "padding": 0}
        net.emit(one, "maxpool2d", shape, lambda x: x.max(axis=(2, 3), keepdims=True), arguments)
        return

    def mean(x: Floats) -> Floats:
        made: Floats = x.mean(axis=(2, 3), dtype=np.float32).reshape(shape)
        return made

    net.emit(one, "mean", shape, mean, {"dim": [2, 3]})


def _reshape(net: Translation, one: KerasLayer) -> None:
    """Flatten, or make another shape, in Keras's order: channels are last."""
    before = net.shape(one)
    count = math.prod(before)
    stored = (
        [count] if one.kind == "Flatten" else [int(size) for size in one.config["target_shape"]]
    )
    known = math.prod(size for size in stored if size != -1)
    stored = [count // max(1, known) if size == -1 else size for size in stored]
    if math.prod(stored) != count or min(stored, default=1) < 1:
        raise net.refused(one, f"it makes {stored} of {before}")
    shape = (1, stored[2], *stored[:2]) if len(stored) == 3 else (1, *stored)

    def moved(x: Floats) -> Floats:
        last = x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
        made = last.reshape(1, *stored)
        return np.ascontiguousarray(made.transpose(0, 3, 1, 2) if len(stored) == 3 else made)

    net.emit(one, "reshape", shape, moved)


_JOINS: Final[dict[str, tuple[str, Callable[[Any, Any], Any]]]] = {
    "Add": ("add", np.add), "Multiply": ("mul", np.multiply), "Subtract": ("sub", np.subtract),
}  # fmt: skip


def _join(net: Translation, one: KerasLayer) -> None:
    operator, function = _JOINS[one.kind]
    shape = np.broadcast_shapes(*net.shapes(one))

    def compute(*values: Floats) -> Floats:
        total = values[0]
        for value in values[1:]:
            total = function(total, value)
        return total

    net.emit(one, operator, tuple(shape), compute)


def _concatenate(net: Translation, one: KerasLayer) -> None:
    shapes = net.shapes(one)
    rank = len(shapes[0])
    axis = int(one.config.get("axis", -1)) % rank
    axis = (0, 2, 3, 1)[axis] if rank == 4 else axis
    others = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(others) != 1 or axis == 0:
        raise net.refused(one, f"it joins {shapes} along axis {axis}")
    shape = list(shapes[0])
    shape[axis] = sum(each[axis] for each in shapes)
    net.emit(one, "concat", tuple(shape), partial(_joined, axis=axis), {"dim": axis})


def _joined(*values: Floats, axis: int) -> Floats:
    return np.concatenate(values, axis)


def _enlarge(net: Translation, one: KerasLayer) -> None:
    channels, size = net.map(one)
    times = _two(one.config.get("size", 2))
    made = (size[0] * times[0], size[1] * times[1])
    words = {"nearest": arrays.nearest, "bilinear": arrays.bilinear}
    run = words[str(one.config.get("interpolation", "nearest"))]
    half = run is arrays.bilinear
    net.emit(one, "resize", (1, channels, *made), partial(run, size=made, half_pixel=half))


def _affine(net: Translation, one: KerasLayer) -> None:
    """Append a constant factor and offset as two steps."""
    shape = net.shape(one)
    sides = (1, -1, *(1,) * (len(shape) - 2))
    if one.kind == "Rescaling":
        given = [one.config.get("scale", 1.0), one.config.get("offset", 0.0)]
        factor, offset = (np.asarray(each, np.float32).reshape(-1) for each in given)
    else:
        # Adapted to images, it stores both as weights; else its configuration gives them.
        given = list(one.weights[:2]) or [one.config.get("mean"), one.config.get("variance")]
        if len(given) != 2 or any(each is None for each in given):
            raise net.refused(one, "it has neither weights nor a mean and a variance given")
        mean, var = (np.asarray(each, np.float32).reshape(-1) for each in given)
        factor = np.reciprocal(np.maximum(np.sqrt(var), np.float32(1e-7)))
        offset = -mean * factor
    if any(each.size not in (1, shape[1]) for each in (factor, offset)):
        raise net.refused(one, f"it has {factor.size} factors for {shape[1]} channels")
    scale, shift = factor.reshape(sides), offset.reshape(sides)
    net.emit(one, "mul", shape, lambda x: x * scale, {"other": scale}, part="scale")
    net.emit(one, "add", shape, lambda x: x + shift, {"other": shift})


MAKERS: Final[dict[str, Callable[[Translation, KerasLayer], None]]] = {
    "Conv2D": _conv, "Conv2DTranspose": _transposed, "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable, "Dense": _dense, "BatchNormalization": _norm,
    "Activation": _activation, "Softmax": _activation, "ReLU": _relu, "LeakyReLU": _leaky,
    "ZeroPadding2D": _pad, "MaxPooling2D": _pool, "AveragePooling2D": _pool,
    "GlobalAveragePooling2D": _global, "GlobalMaxPooling2D": _global, "Flatten": _reshape,
    "Reshape": _reshape, "Add": _join, "Multiply": _join, "Subtract": _join,
    "Concatenate": _concatenate, "UpSampling2D": _enlarge, "Rescaling": _affine,
    "Normalization": _affine, **dict.fromkeys(_NOTHING, _identity),
}  # fmt: skip
