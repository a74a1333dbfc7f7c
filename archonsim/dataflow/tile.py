"""Tiles in integers: output pixels of the array at a time, and the input pixels they read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from archonsim.network.layer import Layer


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of output pixels, clipped to the map.

    Attributes
    ----------
    y, x : int
        First output pixel.
    height, width : int
        Output pixels that lie inside the map.
    halo : int
        Input pixels inside the map that the tile's windows touch.
    """

    y: int
    x: int
    height: int
    width: int
    halo: int

    @property
    def pixels(self) -> int:
        """Output pixels of the tile."""
        return self.height * self.width


def _span(first: int, count: int, stride: int, before: int, kernel: int, size: int) -> int:
    """Input pixels along one axis, inside the map, that `count` windows from `first` on touch."""
    begin = first * stride - before
    end = (first + count - 1) * stride - before + kernel
    return max(0, min(end, size) - max(begin, 0))


def output_tiles(layer: Layer, rows: int, cols: int) -> Iterator[Tile]:
    """Cut a layer's output map into tiles of rows x cols pixels, row by row.

    Edge tiles are smaller.
    """
    top, _, left, _ = layer.padding
    for y in range(0, layer.out_h, rows):
        height = min(rows, layer.out_h - y)
        tall = _span(y, height, layer.stride_h, top, layer.kernel_h, layer.in_h)
        for x in range(0, layer.out_w, cols):
            width = min(cols, layer.out_w - x)
            wide = _span(x, width, layer.stride_w, left, layer.kernel_w, layer.in_w)
            yield Tile(y, x, height, width, tall * wide)
