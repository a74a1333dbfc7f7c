"""FuSe lines against rows of PEs that are stepped one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archonsim.dataflow.row_broadcast import fuse_cycles
from archonsim.network.layer import Layer
from archonsim.pe.row_broadcast_reference import step_lines
from tests.examples import examples


def line_layer(
    channels: int, height: int, width: int, kernel: int, stride: int, *, upright: bool
) -> Layer:
    """A 1xK depthwise layer, or a Kx1 one, with half its kernel of padding."""
    pad = kernel // 2
    tall, wide, padding = (
        (kernel, 1, (pad, pad, 0, 0)) if upright else (1, kernel, (0, 0, pad, pad))
    )
    return Layer(
        name="line",
        kind="depthwise",
        role="fuse",
        in_channels=channels,
        out_channels=channels,
        groups=channels,
        in_h=height,
        in_w=width,
        kernel_h=tall,
        kernel_w=wide,
        stride_h=stride,
        stride_w=stride,
        padding=padding,
    )


def convolved(x: np.ndarray, weights: np.ndarray, layer: Layer) -> np.ndarray:
    """The layer's output, straight from the definition."""
    top, bottom, left, right = layer.padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    out = np.zeros((layer.out_channels, layer.out_h, layer.out_w), np.int64)
    for p, q, k in np.ndindex(layer.out_h, layer.out_w, weights.shape[1]):
        dy, dx = (k, 0) if layer.kernel_w == 1 else (0, k)
        out[:, p, q] += padded[:, p * layer.stride_h + dy, q * layer.stride_w + dx] * weights[:, k]
    return out


def stepped(
    x: np.ndarray, weights: np.ndarray, layer: Layer, rows: int, cols: int
) -> tuple[np.ndarray, int]:
    """The layer on stepped rows.

    Only lines that make outputs run, positions between outputs are dropped.
    """
    upright = layer.kernel_w == 1
    if upright:  # a column of the map is a line of the array
        x = x.transpose(0, 2, 1)
    stride, outputs = (layer.stride_h, layer.out_h) if upright else (layer.stride_w, layer.out_w)
    pad = weights.shape[1] // 2
    kept = np.pad(x[:, ::stride], ((0, 0), (0, 0), (pad, pad)))
    channels, count, length = kept.shape
    taps = np.repeat(weights, count, axis=0)
    made, edges = step_lines(kept.reshape(-1, length), taps, (outputs - 1) * stride + 1, rows, cols)
    out = made[:, ::stride].reshape(channels, count, outputs)
    return (out.transpose(0, 2, 1) if upright else out), edges


@examples(300)
@given(
    channels=st.integers(1, 3),
    height=st.integers(3, 9),
    width=st.integers(3, 9),
    kernel=st.sampled_from([3, 5]),
    stride=st.integers(1, 3),
    upright=st.booleans(),
    rows=st.integers(1, 5),
    cols=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_corrected_cycles_are_those_of_stepped_rows(
    channels: int,
    height: int,
    width: int,
    kernel: int,
    stride: int,
    upright: bool,
    rows: int,
    cols: int,
    seed: int,
) -> None:
    layer = line_layer(channels, height, width, kernel, stride, upright=upright)
    rng = np.random.default_rng(seed)
    x, weights = (
        rng.integers(-9, 10, (channels, height, width)),
        rng.integers(-9, 10, (channels, kernel)),
    )
    out, edges = stepped(x, weights, layer, rows, cols)
    assert np.array_equal(out, convolved(x, weights, layer))
    assert fuse_cycles(layer, rows, cols, "corrected") == edges


@examples(200)
@given(
    channels=st.integers(1, 6),
    height=st.integers(3, 20),
    width=st.integers(3, 20),
    kernel=st.sampled_from([3, 5]),
    upright=st.booleans(),
    rows=st.integers(1, 8),
    cols=st.integers(1, 24),
)
def test_public_cycles_differ_by_pieces_of_padding(
    channels: int, height: int, width: int, kernel: int, upright: bool, rows: int, cols: int
) -> None:
    """At a stride of 1 the public model adds the pieces of padded positions."""
    layer = line_layer(channels, height, width, kernel, 1, upright=upright)
    length, lines = (height, width) if upright else (width, height)
    row_folds, fold = -(-channels * lines // rows), cols + kernel
    extra = -(-(length + kernel - 1) // cols) - -(-length // cols)
    assert (
        fuse_cycles(layer, rows, cols, "public") - fuse_cycles(layer, rows, cols, "corrected")
        == extra * row_folds * fold
    )
