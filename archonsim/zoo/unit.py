"""One layer of a table as a PyTorch module, batch normalisation as Keras does it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from archonsim.errors import WorkloadError
from archonsim.network.layer import Layer, same_padding

#: Keras defaults, with which the networks of ICS'21 were trained (its momentum 0.99 is torch's
#: 0.01).
BN_EPS, BN_MOMENTUM = 1e-3, 0.01


def to_half(x: Tensor) -> Tensor:
    """Round to what a 16-bit word holds, in float32."""
    return x.to(torch.float16).to(torch.float32)


def activated(x: Tensor, layer: Layer) -> Tensor:
    """Apply a layer's activation."""
    if layer.activation == "none":
        return x
    if layer.activation == "relu":
        return functional.relu(x)
    if layer.activation == "sigmoid":
        return torch.sigmoid(x)
    raise WorkloadError(
        f"layer {layer.name}: activation is {layer.activation!r}; modules exist for none, relu and"
        " sigmoid"
    )


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch normalisation with Keras' defaults."""
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


def folded_norm(bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return scale and shift (C,) of a batch normalisation with its running statistics."""
    if bn.running_mean is None or bn.running_var is None:
        raise ValueError("folding a batch normalisation needs its running statistics")
    scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    return scale, bn.bias - bn.running_mean * scale


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of `groups`.

    ``(groups, C/groups)`` becomes ``(C/groups, groups)``.
    """
    n, channels, height, width = x.shape
    return (
        x.view(n, groups, channels // groups, height, width)
        .transpose(1, 2)
        .reshape(n, channels, height, width)
    )


def _padding(layer: Layer) -> tuple[tuple[int, int], tuple[int, int, int, int] | None]:
    """Return what the convolution pads itself, and what must be padded before it.

    None: nothing.
    """
    top, bottom, left, right = layer.padding
    if top == bottom and left == right:
        return (top, left), None
    return (0, 0), (left, right, top, bottom)


class ConvUnit(nn.Module):
    """A convolution of any kind with its batch normalisation and its ReLU."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        inner, self.outer = _padding(layer)
        self.layer = layer
        self.conv = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            (layer.kernel_h, layer.kernel_w),
            (layer.stride_h, layer.stride_w),
            inner,
            groups=layer.groups,
            bias=layer.bias,
        )
        self.bn = batch_norm(layer.out_channels) if layer.batchnorm else None
        # he_normal everywhere: Keras' glorot_uniform gives depthwise kernels a variance below the
        # epsilon of the normalisation.
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def convolve(self, x: Tensor) -> Tensor:
        """Convolution alone."""
        return self.conv(x if self.outer is None else functional.pad(x, self.outer))  # type: ignore[no-any-return]

    def preactivation(self, x: Tensor) -> Tensor:
        """Convolution and batch normalisation, before the ReLU."""
        y = self.convolve(x)
        return y if self.bn is None else self.bn(y)

    def forward(self, x: Tensor) -> Tensor:
        """Run the whole layer."""
        return activated(self.preactivation(x), self.layer)


class Shuffle(nn.Module):
    """A channel shuffle that stands alone."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Interleave the channels."""
        return channel_shuffle(x, self.layer.groups)


class GlobalAverage(nn.Module):
    """Mean over all pixels."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Average each channel."""
        return x.mean((2, 3), keepdim=True)


class Dense(nn.Module):
    """A fully connected layer on the flattened map."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        self.conv = nn.Linear(layer.in_channels, layer.out_channels, bias=layer.bias)
        self.bn = None
        nn.init.xavier_uniform_(self.conv.weight)
        if layer.bias:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by the weights and apply the activation."""
        return activated(self.conv(torch.flatten(x, 1)), self.layer)


def average_pool(x: Tensor, stride: tuple[int, int]) -> Tensor:
    """Average 3x3 windows with 'same' padding.

    Pixels outside the map do not count, as in TensorFlow.
    """
    outer = [
        pad
        for size, step in zip(x.shape[:1:-1], stride[::-1], strict=True)
        for pad in same_padding(size, 3, step)
    ]
    inside = functional.pad(torch.ones_like(x[:1, :1]), outer)
    total, count = (functional.avg_pool2d(y, 3, stride) for y in (functional.pad(x, outer), inside))
    return total / count


class Pool(nn.Module):
    """An average over windows."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        if (layer.kernel_h, layer.kernel_w) != (3, 3):
            raise WorkloadError(
                f"layer {layer.name}: pools {layer.kernel_h}x{layer.kernel_w} windows; it must"
                " be 3x3"
            )
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Average each window."""
        return average_pool(x, (self.layer.stride_h, self.layer.stride_w))


class Join(nn.Module):
    """Two maps become one: their sum, their product by channel, or both behind each other."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Join `other`, which may hold one number a channel, to `x`, and apply the activation."""
        if self.layer.kind == "concat":
            y = torch.cat([x, other], 1)
        else:
            y = x + other if self.layer.kind == "add" else x * other.view(len(x), -1, 1, 1)
        return activated(y, self.layer)


#: Layers with weights.
Unit = ConvUnit | Dense


def layer_module(layer: Layer) -> nn.Module:
    """Return the module of one layer."""
    makers: dict[str, type[nn.Module]] = {
        "shuffle": Shuffle,
        "avgpool": GlobalAverage,
        "fc": Dense,
        "pool": Pool,
        **dict.fromkeys(("add", "multiply", "concat"), Join),
    }
    return makers.get(layer.kind, ConvUnit)(layer)
