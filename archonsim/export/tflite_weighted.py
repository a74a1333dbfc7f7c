"""Convolutions and linear layers of ``.tflite`` files as steps, real and of 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from archonsim.export import arrays
from archonsim.export.grids import Factor, Grid, Whole
from archonsim.export.tflite_file import Operator, Tensor
from archonsim.network.layer import Padding
from archonsim.trace.tensors import Floats

if TYPE_CHECKING:
    from archonsim.export.tflite_graph import Translation

Pair = tuple[int, int]


def ours(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape (N, H, W, C) of a file's map as (N, C, H, W); others as they are."""
    if len(shape) != 4:
        return tuple(shape)
    count, height, width, channels = shape
    return count, channels, height, width


def window_of(
    net: Translation, one: Operator, x: Tensor, kernel: Pair, out: int
) -> tuple[Pair, Pair, Padding]:
    """Return stride, dilation and padding of a window that makes `out` channels of a map.

    Raises
    ------
    WorkloadError
        It does not make the map that the file declares, or reaches far beyond the map.
    """
    given = one.options
    stride = (int(given["StrideH"]), int(given["StrideW"]))
    dilation = (int(given.get("DilationHFactor", 1)), int(given.get("DilationWFactor", 1)))
    size = (x.shape[1], x.shape[2])
    beyond = [
        (taps - 1) * gap - pixels for taps, gap, pixels in zip(kernel, dilation, size, strict=True)
    ]
    if min(*stride, *dilation, *kernel, *size) < 1 or max(beyond) > arrays.BEYOND:
        raise net.refused(
            one, f"a window of {kernel}, stride {stride}, dilation {dilation} on a map of {size}"
        )
    padding = arrays.padding_of(given["padding"], size, kernel, stride, dilation)
    made = arrays.out_size(size, kernel, stride, padding, dilation)
    net.fits(one, (1, out, *made))
    net.weighs(one, kernel[0] * kernel[1] * out * made[0] * made[1])
    return stride, dilation, padding


def _bias(net: Translation, one: Operator, out: int, place: int = 2) -> Tensor | None:
    bias = net.constant(one, place, "fi")
    if bias is not None and bias.shape != (out,):
        raise net.refused(one, f"bias has shape {bias.shape}; it must be ({out},)")
    return bias


def _real_bias(bias: Tensor | None, scales: np.ndarray[Any, Any] | None, out: int) -> Floats:
    if bias is None or bias.data is None:
        return np.zeros(out, np.float32)
    if scales is None:
        return bias.real()
    made: Floats = (bias.data.astype(np.float64) * scales).astype(np.float32)
    return made


def _sum_scales(x: Grid, weight: Tensor, out: int, *, single: bool) -> np.ndarray[Any, Any]:
    """Return what one step of each channel's sum is worth.

    The runtime multiplies the scales as float32 numbers where there is one for all channels.
    """
    if single:
        product = np.float64(np.float32(x.scale) * weight.scales[0])
        return np.full(out, product)
    return np.broadcast_to(np.float64(x.scale) * weight.scales.astype(np.float64), (out,))


def convolution(net: Translation, one: Operator, *, depthwise: bool) -> None:
    """Append a convolution's steps."""
    x, source = net.map(one)
    stored = net.constant(one, 1, "fiu")
    if stored is None or stored.data is None or len(stored.shape) != 4 or len(x.shape) != 4:
        raise net.refused(one, "it must convolve a map with a constant (O, H, W, I)")
    order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
    out, each, *kernel = (stored.shape[axis] for axis in order)
    channels, window = x.shape[3], (kernel[0], kernel[1])
    groups = channels if depthwise else channels // max(1, each)
    if min(stored.shape) < 1 or groups * each != channels or out % max(1, groups):
        raise net.refused(one, f"its weights are {stored.shape}, its map has {channels} channels")
    stride, dilation, padding = window_of(net, one, x, window, out)
    net.weighs(one, stored.data.size * one.outputs[0].shape[1] * one.outputs[0].shape[2])
    run = partial(arrays.convolve, stride=stride, padding=padding, dilation=dilation)
    said = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    _emit(net, one, "conv2d", (x, source), _bias(net, one, out), (order, run), said)


def transposed(net: Translation, one: Operator) -> None:
    """Append a transposed convolution's steps; it reads its output's shape, weights, the map."""
    x, source = net.map(one, 2)
    stored = net.constant(one, 1, "fiu")
    if stored is None or stored.data is None or len(stored.shape) != 4 or len(x.shape) != 4:
        raise net.refused(one, "it must spread a map by a constant (O, H, W, I)")
    out, *taps, channels = stored.shape
    kernel, size = (taps[0], taps[1]), (x.shape[1], x.shape[2])
    stride = (int(one.options["StrideH"]), int(one.options["StrideW"]))
    asked = net.numbers(one, 0)
    if min(*stored.shape, *size, *stride) < 1 or channels != x.shape[3] or len(asked) != 4:
        raise net.refused(one, f"its weights are {stored.shape}, its map has {x.shape[3]} channels")
    made = (asked[1], asked[2])
    net.fits(one, (asked[0], asked[3], *made))
    net.fits(one, (1, out, *made))
    word = one.options["padding"]
    # What the window of an ordinary convolution would make of the output is the map.
    if min(made) < 1 or size != arrays.out_size(
        made, kernel, stride, arrays.padding_of(word, made, kernel, stride, (1, 1)), (1, 1)
    ):
        raise net.refused(one, f"a window of {kernel}, stride {stride} makes no {made} of {size}")
    before = arrays.transposed_cut(word, size, kernel, stride, made)
    net.weighs(one, stored.data.size * size[0] * size[1])
    run = partial(arrays.transposed, stride=stride, before=before, out=made)
    said = {"stride": stride, "padding": (before[0], 0, before[1], 0)}
    bias = _bias(net, one, out, 3)
    _emit(net, one, "conv_transpose2d", (x, source), bias, ((3, 0, 1, 2), run), said)


def _emit(
    net: Translation,
    one: Operator,
    kind: str,
    read: tuple[Tensor, str],
    bias: Tensor | None,
    how: tuple[tuple[int, ...], Callable[..., np.ndarray[Any, Any]]],
    said: dict[str, Any],
) -> None:
    """Append a convolution's steps.

    Parameters
    ----------
    read : (tensor, value)
        The map.
    how : (order, function)
        Axes of the stored weights in our order, and what computes sums of a map and such weights.
    said : dict
        Arguments of the window.
    """
    (x, source), (order, run), stored = read, how, one.inputs[1]
    assert stored is not None
    out = stored.shape[order[1 if kind == "conv_transpose2d" else 0]]
    net.counts(stored, bias)
    grids = net.grids(one, x, stored, one.outputs[0], weights=1)
    scales = None if grids is None else _sum_scales(grids[0], stored, out, single=x.type == "uint8")
    weight = np.ascontiguousarray(stored.real().transpose(order))
    offset = _real_bias(bias, scales, out)

    def real(x: Floats) -> Floats:
        made: Floats = run(x, weight) + offset[None, :, None, None]
        return made

    arguments = {"weight": weight, "bias": offset if bias is not None else None} | said
    if grids is None or scales is None:
        net.emit(one, kind, [source], real, arguments)
        return
    into, onto = grids
    terms = np.ascontiguousarray(stored.whole().transpose(order)).astype(np.float64)
    start = _whole_bias(bias, out)[None, :, None, None]
    factor = Factor.of(scales / onto.scale)

    def whole(x: Floats) -> Whole:
        total = run(into.steps(x).astype(np.float64), terms).astype(np.int64) + start
        return factor.times(total, axis=1) + onto.zero

    net.emit(one, kind, [source], real, arguments, whole)


def _whole_bias(bias: Tensor | None, out: int) -> Whole:
    if bias is None or bias.data is None:
        return np.zeros(out, np.int64)
    return bias.data.astype(np.int64)


def fully_connected(net: Translation, one: Operator) -> None:
    """Append a linear layer's steps."""
    x, source = net.map(one)
    stored = net.constant(one, 1, "fiu")
    if stored is None or stored.data is None or len(stored.shape) != 2:
        raise net.refused(one, "its weights must be a constant (O, I)")
    out, terms = stored.shape
    if int(np.prod(x.shape)) != terms or int(np.prod(one.outputs[0].shape)) != out:
        raise net.refused(
            one, f"it makes {one.outputs[0].shape} of {x.shape}; it takes one vector an image"
        )
    bias = _bias(net, one, out)
    net.counts(stored, bias)
    net.weighs(one, out * terms)
    grids = net.grids(one, x, stored, one.outputs[0], weights=1)
    scales = (
        None
        if grids is None
        else _sum_scales(grids[0], stored, out, single=stored.scales.size == 1)
    )
    weight, offset = stored.real(), _real_bias(bias, scales, out)
    shape = ours(one.outputs[0].shape)
    if len(x.shape) == 4:
        source = net.flat(one, source, terms)

    def real(x: Floats) -> Floats:
        made: Floats = x.reshape(1, -1) @ weight.T + offset
        return made.reshape(shape)

    arguments = {"weight": weight, "bias": offset if bias is not None else None}
    if grids is None or scales is None:
        net.emit(one, "linear", [source], real, arguments)
        return
    into, onto = grids
    whole_weight = stored.whole().astype(np.float64)
    start, factor = _whole_bias(bias, out), Factor.of(scales / onto.scale)

    def whole(x: Floats) -> Whole:
        total = into.steps(x).reshape(1, -1).astype(np.float64) @ whole_weight.T
        return (factor.times(total.astype(np.int64) + start, axis=1) + onto.zero).reshape(shape)

    net.emit(one, "linear", [source], real, arguments, whole)
