"""Operators of neural networks on numpy arrays, for files that no framework here runs.

Maps are ``(1, C, H, W)``, paddings (top, bottom, left, right). Sums are in the arrays' own type:
float32 as the frameworks compute, float64 where integers must stay exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from archonsim.network.layer import Padding, same_padding

Array = NDArray[Any]
Pair = tuple[int, int]
#: Pixels by which a window in a file may be larger than its map (own decision).
BEYOND: Final = 128


def out_size(size: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Pair:
    """Return rows and columns of what a window makes of a map."""
    top, bottom, left, right = padding
    rows = (size[0] + top + bottom - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1
    columns = (size[1] + left + right - (kernel[1] - 1) * dilation[1] - 1) // stride[1] + 1
    return rows, columns


def padding_of(word: str, size: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> Padding:
    """Return the zeros around a map that ``same`` or ``valid`` stand for, as in TensorFlow."""
    if word == "valid":
        return 0, 0, 0, 0
    rows, columns = (
        same_padding(size[axis], (kernel[axis] - 1) * dilation[axis] + 1, stride[axis])
        for axis in (0, 1)
    )
    return (*rows, *columns)


def taps(
    x: Array,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair = (1, 1),
    fill: float = 0.0,
) -> Iterator[tuple[int, int, Array]]:
    """Yield for each place (r, s) of a window the pixels under it, ``(C, P, Q)``."""
    top, bottom, left, right = padding
    rows, columns = out_size((x.shape[2], x.shape[3]), kernel, stride, padding, dilation)
    padded = x[0]
    if any(padding):
        padded = np.pad(
            padded, ((0, 0), (top, bottom), (left, right)), constant_values=x.dtype.type(fill)
        )
    for r, s in np.ndindex(kernel):
        first, start = r * dilation[0], s * dilation[1]
        yield (
            r,
            s,
            padded[
                :,
                first : first + (rows - 1) * stride[0] + 1 : stride[0],
                start : start + (columns - 1) * stride[1] + 1 : stride[1],
            ],
        )


def convolve(
    x: Array, weight: Array, stride: Pair, padding: Padding, dilation: Pair = (1, 1)
) -> Array:
    """Convolve ``(1, C, H, W)`` with ``(O, C/G, R, S)``; G follows from the channels."""
    out, each, *kernel = weight.shape
    groups = x.shape[1] // each
    window = (kernel[0], kernel[1])
    rows, columns = out_size((x.shape[2], x.shape[3]), window, stride, padding, dilation)
    total = np.zeros((groups, out // groups, rows * columns), x.dtype)
    parts = weight.reshape(groups, out // groups, each, *kernel)
    for r, s, patch in taps(x, window, stride, padding, dilation):
        pixels = patch.reshape(groups, each, -1)
        tap = parts[..., r, s]
        total += tap * pixels if each == 1 else tap @ pixels
    return total.reshape(1, out, rows, columns)


def transposed(x: Array, weight: Array, stride: Pair, before: Pair, out: Pair) -> Array:
    """Put each pixel's window of a transposed convolution down, and add where they overlap.

    Parameters
    ----------
    x : (1, C, H, W)
    weight : (C, O, R, S)
    stride, before, out : (rows, columns)
        Pixels that are cut off before the first row and column; those of the output.

    Returns
    -------
    y : (1, O, *out)
    """
    (_, _, height, width), (_, channels, *kernel) = x.shape, weight.shape
    reach = [(n - 1) * s + k for n, s, k in zip((height, width), stride, kernel, strict=True)]
    sizes = [max(r, b + o) for r, b, o in zip(reach, before, out, strict=True)]
    total = np.zeros((channels, *sizes), x.dtype)
    for r, s in np.ndindex(kernel[0], kernel[1]):
        rows = slice(r, r + (height - 1) * stride[0] + 1, stride[0])
        columns = slice(s, s + (width - 1) * stride[1] + 1, stride[1])
        pixels = weight[:, :, r, s].T @ x.reshape(-1, height * width)
        total[:, rows, columns] += pixels.reshape(channels, height, width)
    top, left = before
    return total[None, :, top : top + out[0], left : left + out[1]]


def transposed_cut(word: str, size: Pair, kernel: Pair, stride: Pair, out: Pair) -> Pair:
    """Return the pixels that ``same`` or ``valid`` cut off before an output, as in TensorFlow."""
    if word == "valid":
        return 0, 0
    rows, columns = (
        max((n - 1) * s + k - made, 0) // 2
        for n, k, s, made in zip(size, kernel, stride, out, strict=True)
    )
    return rows, columns


def largest(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> Array:
    """Return the maximum of each window's pixels within the map."""
    patches = taps(x, kernel, stride, padding, fill=-np.inf)
    return _maximum([patch for _, _, patch in patches])[None]


def _maximum(patches: list[Array]) -> Array:
    total = patches[0]
    for patch in patches[1:]:
        total = np.maximum(total, patch)
    return total


def window_sums(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
    """Return each window's sum, and how many of its pixels are within the map ``(1, 1, P, Q)``."""
    total = sum(patch for _, _, patch in taps(x, kernel, stride, padding))
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype)
    count = sum(patch for _, _, patch in taps(ones, kernel, stride, padding))
    return np.asarray(total)[None], np.asarray(count)[None]


def average(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> Array:
    """Return the average of each window's pixels within the map."""
    total, count = window_sums(x, kernel, stride, padding)
    mean: Array = total / count
    return mean


def softmax(x: Array, axis: int = -1) -> Array:
    """Return shares that add up to 1 along an axis."""
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    shares: Array = powers / powers.sum(axis=axis, keepdims=True)
    return shares


def activate(x: Array, kind: str) -> Array:
    """Apply an activation function by name.

    Raises
    ------
    KeyError
        There is none of this name.
    """
    made: Array = ACTIVATIONS[kind](x)
    return made.astype(x.dtype, copy=False)


def _sigmoid(x: Array) -> Array:
    share: Array = 1 / (1 + np.exp(-np.clip(x, -80, 80)))
    return share


ACTIVATIONS: dict[str, Any] = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.minimum(np.maximum(x, 0), 6),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "silu": lambda x: x * _sigmoid(x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softmax": softmax,
}


def nearest(x: Array, size: Pair, *, half_pixel: bool = False, corners: bool = False) -> Array:
    """Enlarge or shrink a map by repeating or leaving out pixels."""
    rows, columns = (
        _nearest_places(x.shape[2 + axis], size[axis], half_pixel, corners) for axis in (0, 1)
    )
    return x[:, :, rows][:, :, :, columns]


def _nearest_places(have: int, want: int, half_pixel: bool, corners: bool) -> NDArray[np.intp]:
    scale = (have - 1) / (want - 1) if corners and want > 1 else have / want
    places = (np.arange(want) + (0.5 if half_pixel else 0.0)) * np.float32(scale)
    whole = np.floor(places + 0.5) if corners else np.floor(places)
    inside: NDArray[np.intp] = np.clip(whole, 0, have - 1).astype(np.intp)
    return inside


def bilinear(x: Array, size: Pair, *, half_pixel: bool = False, corners: bool = False) -> Array:
    """Enlarge or shrink a map, interpolating between four pixels."""
    made = x
    for axis in (2, 3):
        low, high, share = _linear_places(x.shape[axis], size[axis - 2], half_pixel, corners)
        share = share.reshape((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)).astype(x.dtype)
        made = made.take(low, axis) * (1 - share) + made.take(high, axis) * share
    return made


def _linear_places(
    have: int, want: int, half_pixel: bool, corners: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    scale = (have - 1) / (want - 1) if corners and want > 1 else have / want
    places = np.arange(want) * scale
    if half_pixel:
        places = (np.arange(want) + 0.5) * scale - 0.5
    places = np.maximum(places, 0)
    low = np.minimum(np.floor(places), have - 1).astype(np.intp)
    return low, np.minimum(low + 1, have - 1), places - low
