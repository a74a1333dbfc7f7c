"""A bottleneck block: three layers that ARCHON runs as one fused convolution."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from archonsim.errors import WorkloadError
from archonsim.network.layer import Layer
from archonsim.network.prediction import TERNARY, Prediction

Order = Literal["pw-dw-pw", "pw-pw-dw"]
Residual = Literal["none", "add", "concat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """PW1 (C -> M) -> ReLU -> DW (K x K, stride s) -> ReLU -> PW2 (M -> O).

    Each layer has a batch normalisation.

    Attributes
    ----------
    index : int
        Number of the block in its network, as the paper counts.
    pw1, dw, pw2 : Layer
        Named by order of execution within their kind; `order` says where the depthwise layer
        stands.
    order : {"pw-dw-pw", "pw-pw-dw"}
        Modified ShuffleNet runs PW1 -> shuffle -> PW2 -> DW.
    residual : {"none", "add", "concat"}
        ``concat``: the input, averaged over 3x3 windows at DW's stride, stands behind the branch's
        channels.
    shuffle : int
        Groups of the channel shuffle; 0 for none. It follows PW2, or PW1 in the order ``pw-pw-dw``.
    predicted : bool
        Whether the block's ReLUs are predicted. A block without predictors runs layer by layer.
    clips : (float, float)
        Upper ends of its two ReLUs, 6 of a ReLU6, where its masks tell which activations are
        clipped; 0 where they do not, since nothing reaches the end or there is none.
    prediction : Prediction
        What predicting takes, as the predictor declares it.
    """

    index: int
    pw1: Layer
    dw: Layer
    pw2: Layer
    order: Order = "pw-dw-pw"
    residual: Residual = "none"
    shuffle: int = 0
    predicted: bool = True
    clips: tuple[float, float] = (0.0, 0.0)
    prediction: Prediction = TERNARY

    def __post_init__(self) -> None:
        layers = self.layers
        for before, after in itertools.pairwise(layers):
            if (before.out_channels, before.out_h, before.out_w) != (
                after.in_channels,
                after.in_h,
                after.in_w,
            ):
                raise WorkloadError(
                    f"block {self.name}: {after.name} takes"
                    f" {after.in_channels}x{after.in_h}x{after.in_w}, but {before.name} makes"
                    f" {before.out_channels}x{before.out_h}x{before.out_w}"
                )
        for pointwise in (self.pw1, self.pw2):
            if (pointwise.kernel_h, pointwise.kernel_w, pointwise.stride_h, pointwise.stride_w) != (
                1,
                1,
                1,
                1,
            ):
                raise WorkloadError(
                    f"block {self.name}: {pointwise.name} is not a 1x1 convolution of stride 1"
                )
        if self.dw.kind != "depthwise":
            raise WorkloadError(
                f"block {self.name}: {self.dw.name} is a {self.dw.kind} layer, not depthwise"
            )
        if self.pw1.groups != self.pw2.groups:
            raise WorkloadError(
                f"block {self.name}: pw1 has {self.pw1.groups} groups, pw2 {self.pw2.groups}; they"
                " must agree"
            )
        if len(self.clips) != 2 or not all(0 <= end < math.inf for end in self.clips):
            raise WorkloadError(
                f"block {self.name}: clips is {list(self.clips)}; it must be two finite numbers,"
                " the upper ends of its ReLUs or 0 (masks of two values)"
            )
        first, last = layers[0], layers[-1]
        if self.residual == "add" and (first.in_channels, first.in_h, first.in_w) != (
            last.out_channels,
            last.out_h,
            last.out_w,
        ):
            raise WorkloadError(
                f"block {self.name}: a residual sum needs input and output of one shape"
            )

    @property
    def name(self) -> str:
        """``"b1"`` for block 1."""
        return f"b{self.index}"

    @property
    def layers(self) -> tuple[Layer, Layer, Layer]:
        """The three layers in order of execution."""
        if self.order == "pw-dw-pw":
            return (self.pw1, self.dw, self.pw2)
        return (self.pw1, self.pw2, self.dw)

    @property
    def groups(self) -> int:
        """Groups of the two 1x1 convolutions (G)."""
        return self.pw1.groups

    @property
    def in_channels(self) -> int:
        """Channels of the block's input (C)."""
        return self.pw1.in_channels

    @property
    def mid_channels(self) -> int:
        """Channels between PW1 and PW2 (M)."""
        return self.pw1.out_channels

    @property
    def out_channels(self) -> int:
        """Channels that the convolution branch makes (O)."""
        return self.layers[-1].out_channels

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the block's input."""
        first = self.layers[0]
        return (first.in_channels, first.in_h, first.in_w)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(O', P, Q) of the block's output.

        With the shortcut's channels where they are concatenated.
        """
        last = self.layers[-1]
        shortcut = self.in_channels if self.residual == "concat" else 0
        return (self.out_channels + shortcut, last.out_h, last.out_w)

    @property
    def taps(self) -> int:
        """Size of the depthwise window (K * K)."""
        return self.dw.kernel_h * self.dw.kernel_w

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the three layers, unfused, one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def planes(self) -> tuple[int, int]:
        """Bits that an activation takes in each of its two masks: two where it may be clipped."""
        first, second = (2 if end else 1 for end in self.clips)
        return first, second

    @property
    def pw2_reads(self) -> tuple[int, ...]:
        """Mid channel that stands at each of PW2's input places.

        A shuffle right before PW2 moves them.
        """
        return _reads(self.mid_channels, max(1, self.shuffle) if self.order == "pw-pw-dw" else 1)

    @property
    def reach(self) -> tuple[tuple[bool, ...], ...]:
        """Whether a group of PW2 depends on a group of PW1, ``[PW2 group][PW1 group]``."""
        return _reach(self.pw2_reads, self.groups)

    @property
    def fused_inputs(self) -> int:
        """Pairs of an output channel and an input channel that it depends on.

        C/G * O without a shuffle between PW1 and PW2.
        """
        return (
            sum(map(sum, self.reach))
            * (self.in_channels // self.groups)
            * (self.out_channels // self.groups)
        )

    @property
    def fused_macs(self) -> int:
        """Multiplications left after fusion, one image.

        K^2 for each output pixel and pair of `fused_inputs`.
        """
        return self.fused_inputs * self.taps * self.layers[-1].out_h * self.layers[-1].out_w


@lru_cache(maxsize=256)
def _reads(mid_channels: int, step: int) -> tuple[int, ...]:
    each = mid_channels // step
    return tuple(place % step * each + place // step for place in range(mid_channels))


@lru_cache(maxsize=256)
def _reach(reads: tuple[int, ...], groups: int) -> tuple[tuple[bool, ...], ...]:
    each = len(reads) // groups
    behind = [{read // each for read in reads[at : at + each]} for at in range(0, len(reads), each)]
    return tuple(tuple(one in found for one in range(groups)) for found in behind)
