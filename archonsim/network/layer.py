"""A layer's shape: what is computed, free of any machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from archonsim.errors import WorkloadError

Kind = Literal["conv", "depthwise", "fc", "shuffle", "avgpool", "pool", "add", "multiply", "concat"]
Activation = Literal["none", "relu", "relu6", "hswish", "sigmoid", "hsigmoid"]
Padding = tuple[int, int, int, int]

#: Kinds that multiply, i.e. that a machine spends time on.
COMPUTE_KINDS: frozenset[str] = frozenset({"conv", "depthwise", "fc"})


#: No dimension of a layer reaches this.
SIZE_LIMIT = 2**31
#: Nor do its multiplications, so that every count of a run stays within 64 bits.
MACS_LIMIT = 2**50


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zero padding (before, after) along one axis for ``ceil(size / stride)`` output pixels.

    The odd pixel goes behind, as in TensorFlow, with which the networks of ICS'21 were trained.
    """
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of a network.

    Attributes
    ----------
    name : str
        Unique within its workload, e.g. ``"b1.pw1"``.
    kind : {"conv", "depthwise", "fc", "shuffle", "avgpool", "pool", "add", "multiply", "concat"}
        ``conv`` covers 1x1 and grouped convolutions, ``avgpool`` is global, ``pool`` has a window.
        ``add`` (residual sum), ``multiply`` (by one factor for each channel) and ``concat`` are
        given by the map that they make.
    role : str
        What the layer is for: ``head_conv``, ``pw1``, ``dw``, ``pw2``, ``tail_pw``, ``fc``, ...
    in_channels, out_channels : int
    in_h, in_w : int
        Size of the input map, in pixels.
    kernel_h, kernel_w, stride_h, stride_w : int
    padding : (top, bottom, left, right)
        Zero pixels around the input map.
    groups : int
        Groups of a convolution, or of a channel shuffle.
    activation : {"none", "relu", "relu6", "hswish", "sigmoid", "hsigmoid"}
        Applied after the batch normalisation.
    batchnorm, bias : bool
    sparsity : (N, M) or None
        N of every M consecutive weights of a filter may be non-zero, as SCALE-Sim 3's column
        ``N:M`` states; ``(1, 1)`` states a dense layer. None: the shape does not state it.
    """

    name: str
    kind: Kind
    role: str
    in_channels: int
    out_channels: int
    in_h: int = 1
    in_w: int = 1
    kernel_h: int = 1
    kernel_w: int = 1
    stride_h: int = 1
    stride_w: int = 1
    padding: Padding = (0, 0, 0, 0)
    groups: int = 1
    activation: Activation = "none"
    batchnorm: bool = False
    bias: bool = False
    sparsity: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for field in (
            "in_channels",
            "out_channels",
            "in_h",
            "in_w",
            "kernel_h",
            "kernel_w",
            "stride_h",
            "stride_w",
            "groups",
        ):
            value = getattr(self, field)
            if not isinstance(value, int) or value < 1:
                raise WorkloadError(
                    f"layer {self.name!r}: {field} is {value!r}; it must be an integer of at"
                    " least 1"
                )
            if value >= SIZE_LIMIT:
                raise WorkloadError(
                    f"layer {self.name!r}: {field} is 2^31 or more; it must be less"
                )
        if len(self.padding) != 4 or any(not 0 <= pad < SIZE_LIMIT for pad in self.padding):
            raise WorkloadError(
                f"layer {self.name!r}: padding is {self.padding!r}; it must be four numbers of at"
                " least 0"
            )
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise WorkloadError(
                f"layer {self.name!r}: {self.in_channels} -> {self.out_channels} channels do not"
                f" divide into groups = {self.groups}"
            )
        if self.kind == "depthwise" and not self.in_channels == self.out_channels == self.groups:
            raise WorkloadError(
                f"layer {self.name!r}: a depthwise layer has as many groups as channels in and out,"
                f" not {self.in_channels}, {self.out_channels} and groups = {self.groups}"
            )
        if self.sparsity is not None and not 1 <= self.sparsity[0] <= self.sparsity[1]:
            raise WorkloadError(
                f"layer {self.name!r}: sparsity is {self.sparsity}; it must be N of every M"
                " weights, 1 <= N <= M"
            )
        if self.macs >= MACS_LIMIT:
            raise WorkloadError(
                f"layer {self.name!r}: has {self.macs:.1e} multiplications; it must have less than"
                " 2^50"
            )
        if self.out_h < 1 or self.out_w < 1:
            raise WorkloadError(
                f"layer {self.name!r}: a {self.kernel_h}x{self.kernel_w} kernel does not fit the"
                f" padded {self.in_h}x{self.in_w} map"
            )

    @property
    def is_compute(self) -> bool:
        """Whether the layer multiplies (shuffles, pools, sums and the like are not timed)."""
        return self.kind in COMPUTE_KINDS

    @property
    def out_h(self) -> int:
        """Height of the output map, in pixels."""
        if self.kind == "avgpool":
            return 1
        top, bottom, _, _ = self.padding
        return (self.in_h + top + bottom - self.kernel_h) // self.stride_h + 1

    @property
    def out_w(self) -> int:
        """Width of the output map, in pixels."""
        if self.kind == "avgpool":
            return 1
        _, _, left, right = self.padding
        return (self.in_w + left + right - self.kernel_w) // self.stride_w + 1

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(out channels, in channels of a group, kernel height, kernel width).

        All zero without weights.
        """
        if not self.is_compute:
            return (0, 0, 0, 0)
        return (self.out_channels, self.in_channels // self.groups, self.kernel_h, self.kernel_w)

    @property
    def weights(self) -> int:
        """Number of weights, biases and batch normalisation apart."""
        out, per_group, height, width = self.weight_shape
        return out * per_group * height * width

    @property
    def kept_weights(self) -> int:
        """Weights that a stated N:M sparsity leaves.

        A filter's last, shorter run keeps at most N.
        """
        if self.sparsity is None or not self.is_compute:
            return self.weights
        kept, run = self.sparsity
        out, *terms = self.weight_shape
        runs, rest = divmod(math.prod(terms), run)
        return out * (runs * kept + min(rest, kept))

    @property
    def params(self) -> int:
        """Parameters of the layer.

        Weights, biases, and four per channel of a batch normalisation (as Keras counts).
        """
        return self.weights + self.out_channels * self.bias + 4 * self.out_channels * self.batchnorm

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return self.weights * self.out_h * self.out_w
