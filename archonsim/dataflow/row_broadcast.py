"""FuSe layers on a systolic array with one weight broadcast wire a row, in three conventions.

Source: FuSeConv (DATE'21).

A 1xK (or Kx1) depthwise layer is a bundle of lines: channels x map rows (or columns). A line
occupies an array row, a position of it a PE; inputs move in along the row, then the K taps are
broadcast. X x Y is the array, s the stride. All other layers run as on the plain array, output
stationary, T + r + c - 1 cycles a fold.

``public``
    The authors' public model: ``ceil(ceil(C n / X) (Y + K) ceil(len / Y) / s)`` with n input lines
    of a channel and `len` padded input positions. Exact for every row of its tables.
``paper``
    Their older script, behind the published speedups: output sizes by true division (112.5 for a
    stride of 2), a layer's sum cut to an integer (a channel's, when depthwise); `len` is the
    unpadded number of lines.
``corrected``
    Ours, what the stepped array does (``pe/row_broadcast_reference.py``)::

        ceil(C n_out / X) * (Y + K) * ceil(((outputs - 1) s + 1) / Y)

    Deviations from ``public``: (1) folds are whole: the last division by s, which makes half a
    fold, is gone; (2) strides are real: only the n_out lines that make outputs run, and a line
    spans the positions from its first to its last output (those between are computed and dropped
    where s > 1, since inputs move one PE a cycle); (3) the K - 1 inputs that neighbouring pieces of
    a line share are sent to both: Y + K - 1 inputs enter in the Y + K cycles of a piece, so that a
    piece makes Y outputs, and a line is cut by outputs where the public model cuts it by padded
    inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Literal

from archonsim.dataflow.systolic import Gemm, layer_cycles, least_cycles
from archonsim.network.layer import Layer

FuseTiming = Literal["public", "paper", "corrected"]


def is_line(layer: Layer) -> bool:
    """Whether a layer is a 1xK or Kx1 depthwise convolution, i.e. runs on the broadcast wires."""
    return layer.kind == "depthwise" and (layer.kernel_h == 1) != (layer.kernel_w == 1)


@dataclass(frozen=True, slots=True)
class LineFolds:
    """How a 1xK or Kx1 layer is cut into folds.

    Lines over the rows, pieces of a line over the columns.

    Attributes
    ----------
    count : int
        Lines of all channels.
    row_folds, pieces : int
        Folds along the rows, and pieces of a line.
    """

    count: int
    row_folds: int
    pieces: int

    @property
    def folds(self) -> int:
        """All folds of the layer."""
        return self.row_folds * self.pieces


def line_folds(layer: Layer, rows: int, cols: int, timing: FuseTiming) -> LineFolds:
    """Cut a 1xK or Kx1 layer into folds."""
    top, bottom, left, right = layer.padding
    if layer.kernel_h == 1:
        lines, length, stride = layer.in_h, layer.in_w + left + right, layer.stride_w
        out_lines, outputs = layer.out_h, layer.out_w
    else:
        lines, length, stride = layer.in_w, layer.in_h + top + bottom, layer.stride_h
        out_lines, outputs = layer.out_w, layer.out_h
    if timing == "paper":
        length = lines
    elif timing == "corrected":
        lines, length = out_lines, (outputs - 1) * stride + 1
    count = layer.out_channels * lines
    return LineFolds(count, -(-count // rows), -(-length // cols))


def _line_cycles(layer: Layer, rows: int, cols: int, timing: FuseTiming) -> int:
    """Cycles of a 1xK or Kx1 layer on the broadcast wires."""
    taps = layer.kernel_h * layer.kernel_w
    work = line_folds(layer, rows, cols, timing).folds * (cols + taps)
    stride = layer.stride_w if layer.kernel_h == 1 else layer.stride_h
    return work if timing == "corrected" else -(-work // stride)


def _half_pixel_cycles(layer: Layer, rows: int, cols: int) -> int:
    """Cycles of a matrix product in the older script, whose output sizes are not whole numbers."""
    top, bottom, left, right = layer.padding
    tall = Fraction(layer.in_h + top + bottom - layer.kernel_h + layer.stride_h, layer.stride_h)
    wide = Fraction(layer.in_w + left + right - layer.kernel_w + layer.stride_w, layer.stride_w)
    gemm = Gemm.of(layer)
    pixels = tall * wide
    total = Fraction(0)
    whole_r, rest_r = floor(pixels / rows), pixels - rows * floor(pixels / rows)
    whole_c, rest_c = divmod(gemm.filters, cols)
    for r, row_count in ((Fraction(rows), whole_r), (rest_r, ceil(rest_r > 0))):
        for c, col_count in ((cols, whole_c), (rest_c, ceil(rest_c > 0))):
            total += row_count * col_count * (gemm.terms + r + c - 1)
    return gemm.groups * floor(total)


def fuse_cycles(layer: Layer, rows: int, cols: int, timing: FuseTiming = "public") -> int:
    """Compute cycles of any layer on the array with broadcast wires, at least its work."""
    least = least_cycles(layer, rows, cols)
    if is_line(layer):
        return max(least, _line_cycles(layer, rows, cols, timing))
    if timing == "paper":
        return max(least, _half_pixel_cycles(layer, rows, cols))
    return layer_cycles(layer, rows, cols, "os", "fuseconv")
