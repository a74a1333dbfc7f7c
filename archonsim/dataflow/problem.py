"""A convolution as seven nested loops: what a mapping cuts up, free of any machine.

Dimension names are those of the field: N images, C input and M output channels, P and Q output
columns and rows, R and S filter columns and rows. Input column ``P * stride_w + R`` and row ``Q *
stride_h + S`` meet output (P, Q).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from archonsim.network.layer import Layer

DIMENSIONS = ("N", "C", "M", "P", "Q", "R", "S")
KINDS = ("weight", "input", "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One group of a convolution.

    Attributes
    ----------
    n, c, m, p, q, r, s : int
        Loop bounds; a depthwise layer is C = 1 with all channels as M, as ICS'21 runs it.
    stride_w, stride_h : int
    groups : int
        How often the machine runs the problem, one group after the other.
    input_maps : int
        Input maps behind the one that the loops see: the channels of a depthwise layer, else 1.
    """

    n: int = 1
    c: int = 1
    m: int = 1
    p: int = 1
    q: int = 1
    r: int = 1
    s: int = 1
    stride_w: int = 1
    stride_h: int = 1
    groups: int = 1
    input_maps: int = 1

    @classmethod
    def of(cls, layer: Layer) -> Problem:
        """Return what a compute layer asks of the array."""
        depthwise = layer.kind == "depthwise"
        return cls(
            c=1 if depthwise else layer.in_channels // layer.groups,
            m=layer.out_channels if depthwise else layer.out_channels // layer.groups,
            p=layer.out_w,
            q=layer.out_h,
            r=layer.kernel_w,
            s=layer.kernel_h,
            stride_w=layer.stride_w,
            stride_h=layer.stride_h,
            groups=1 if depthwise else layer.groups,
            input_maps=layer.in_channels if depthwise else 1,
        )

    @property
    def bounds(self) -> tuple[int, ...]:
        """Bounds in the order of `DIMENSIONS`."""
        return (self.n, self.c, self.m, self.p, self.q, self.r, self.s)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one group."""
        return math.prod(self.bounds)

    @property
    def key(self) -> tuple[int, ...]:
        """What decides a mapping: bounds and strides."""
        return (*self.bounds, self.stride_w, self.stride_h)
