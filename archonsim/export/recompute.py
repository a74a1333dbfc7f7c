"""What a layer makes of its input by what is stored of it, computed apart from the framework.

A second way to each value: sums over windows by numpy, from the layer's shape, weights, scale and
shift alone. :mod:`~archonsim.export.self_check` compares it with what the network made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from archonsim.network.layer import Layer
from archonsim.trace.algebra import shuffle
from archonsim.trace.tensors import Floats, LayerTensors


def weighted(layer: Layer, tensors: LayerTensors, x: Floats) -> tuple[Floats, float]:
    """Return ``scale * conv(x) + shift`` of a layer with weights.

    Parameters
    ----------
    x : (C, H, W) float32, or (C,) of a linear layer

    Returns
    -------
    y : (O, P, Q) float32
    magnitude : float
        Largest sum of the magnitudes that any value of `y` adds up: rounding errors are in
        proportion to it, however small the sum itself is.
    """
    x = np.ascontiguousarray(x).reshape(layer.in_channels, layer.in_h, layer.in_w)
    scale, shift = (one[:, None, None] for one in (tensors.scale, tensors.shift))
    y = scale * _sums(layer, tensors.weight, x) + shift
    sizes = np.abs(scale) * _sums(layer, np.abs(tensors.weight), np.abs(x)) + np.abs(shift)
    return y, float(sizes.max(initial=0.0))


def _sums(layer: Layer, weight: Floats, x: Floats) -> Floats:
    """Convolve ``x : (C, H, W)``, one tap of the window after the other."""
    groups, pixels = layer.groups, layer.out_h * layer.out_w
    weight = weight.reshape(groups, layer.out_channels // groups, -1, *layer.weight_shape[2:])
    total = np.zeros((groups, layer.out_channels // groups, pixels), np.float32)
    for r, s, patch in taps(layer, x, 0.0):
        total += weight[..., r, s] @ patch.reshape(groups, -1, pixels)
    return total.reshape(layer.out_channels, layer.out_h, layer.out_w)


def taps(layer: Layer, x: Floats, fill: float) -> Sequence[tuple[int, int, Floats]]:
    """Return for each tap of a window what it meets of ``x : (C, H, W)``, (C, P, Q)."""
    top, bottom, left, right = layer.padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)), constant_values=fill)
    rows, columns = (layer.out_h - 1) * layer.stride_h + 1, (layer.out_w - 1) * layer.stride_w + 1
    return [
        (r, s, padded[:, r : r + rows : layer.stride_h, s : s + columns : layer.stride_w])
        for r, s in np.ndindex(layer.kernel_h, layer.kernel_w)
    ]


def activated(y: Floats, activation: str) -> Floats:
    """Apply an activation that a layer can name."""
    if activation == "relu":
        positive: Floats = np.maximum(y, 0)
        return positive
    if activation == "relu6":
        limited: Floats = np.minimum(np.maximum(y, 0), 6)
        return limited
    if activation == "sigmoid":
        share: Floats = np.reciprocal(1 + np.exp(-y.clip(-80, 80)))
        return share
    if activation in ("hsigmoid", "hswish"):
        gate = np.divide(np.clip(y + 3, 0, 6), 6, dtype=np.float32)
        return gate if activation == "hsigmoid" else np.multiply(y, gate)
    return y


def pooled(layer: Layer, x: Floats, *, largest: bool, inner: Sequence[int]) -> list[Floats]:
    """Return what a pooling may make of ``x : (C, H, W)``: a layer stores its windows alone.

    Parameters
    ----------
    largest : bool
        A maximum; else averages, over whole windows, over their pixels within the map, and over
        those within the map and its padding.
    inner : (top, bottom, left, right)
        Padding that the network itself asks for. The layer's may reach farther, as the last window
        does of a pooling that rounds up.
    """
    if largest:
        return [np.max([patch for _, _, patch in taps(layer, x, -np.inf)], axis=0)]
    total = np.sum([patch for _, _, patch in taps(layer, x, 0.0)], axis=0, dtype=np.float32)
    inside = np.ones((1, *x.shape[1:]), np.float32)
    (top, bottom, left, right), (_, below, _, beside) = inner, layer.padding
    counted = np.pad(inside, ((0, 0), (top, bottom), (left, right)), constant_values=1)
    behind = ((0, 0), (0, below - bottom), (0, beside - right))
    counts: list[NDArray[np.floating]] = [
        np.sum([patch for _, _, patch in taps(layer, inside, 0.0)], axis=0),
        np.sum(
            [patch for _, _, patch in taps(_unpadded(layer), np.pad(counted, behind), 0.0)], axis=0
        ),
        np.array(layer.kernel_h * layer.kernel_w, np.float32),
    ]
    return [(total / np.maximum(count, 1)).astype(np.float32) for count in counts]


def _unpadded(layer: Layer) -> Layer:
    top, bottom, left, right = layer.padding
    height, width = layer.in_h + top + bottom, layer.in_w + left + right
    return replace(layer, in_h=height, in_w=width, padding=(0, 0, 0, 0))


def joined_maps(layer: Layer, values: Sequence[Floats]) -> tuple[Floats, float]:
    """Return what a layer without weights makes of inputs, each ``(1, ...)``, and its magnitude.

    Sums and products broadcast as the frameworks do. An average is over all pixels.
    """
    first = values[0]
    largest = max(float(np.abs(one).max(initial=0.0)) for one in values)
    if layer.kind == "concat":
        return np.concatenate(values, axis=1), largest
    if layer.kind == "shuffle":
        return shuffle(first[0], layer.groups)[None], largest
    if layer.kind == "avgpool":
        return first.mean(axis=(2, 3), dtype=np.float64).astype(np.float32), largest
    total = first
    for one in values[1:]:
        total = total + one if layer.kind == "add" else total * one
    if layer.kind == "add":
        return total, float(
            np.abs(np.stack(np.broadcast_arrays(*values))).sum(axis=0).max(initial=0)
        )
    return total, float(np.abs(total).max(initial=0.0))
