"""Start modified MobileNetV2 from torchvision's MobileNetV2, although their shapes differ.

Own decision, for machines on which a training from random weights would take days. Eleven of the
modified network's fifteen blocks begin as blocks of torchvision's, in the first of their 864
channels between PW1 and PW2 (of which torchvision's blocks have fewer: 32 to 384). Where a modified
block puts out fewer channels (40 for 64, 80 for 96), it puts out the principal components, and the
blocks behind read those. The other four blocks have a shortcut, and begin as nothing but that. All
other channels begin at random, with a small weight in PW2, so that no channel is another's copy.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from archonsim.errors import WorkloadError
from archonsim.network.layer import Layer
from archonsim.zoo.bottleneck import Bottleneck
from archonsim.zoo.network import Network
from archonsim.zoo.unit import BN_EPS, ConvUnit

#: The block of torchvision's (``features.N``) that a block begins as.
BLOCKS = {
    "b0": 1, "b1": 2, "b2": 3, "b4": 4, "b5": 5, "b6": 6, "b8": 7, "b9": 8, "b10": 9, "b11": 10,
    "b14": 11,
}  # fmt: skip
#: Training images that statistics and principal components are taken from.
IMAGES = 128
#: Weights of new channels in PW2, in standard deviations of the others (own decision).
NEW = 0.2


@dataclass(frozen=True, slots=True)
class _Source:
    """One of torchvision's blocks: kernels and normalisations of its layers, in order."""

    kernels: tuple[Tensor, ...]
    scales: tuple[Tensor, ...]
    shifts: tuple[Tensor, ...]

    @property
    def outs(self) -> int:
        """Output channels."""
        return int(self.kernels[-1].shape[0])

    @staticmethod
    def of(state: dict[str, Tensor], number: int) -> _Source:
        """Take a block from a state under torchvision's names.

        Raises
        ------
        WorkloadError
            Some of it is missing.
        """
        base = f"features.{number}.conv"
        pairs = [(f"{base}.0.0", f"{base}.0.1")]
        if f"{base}.3.weight" in state:
            pairs += [(f"{base}.1.0", f"{base}.1.1"), (f"{base}.2", f"{base}.3")]
        else:
            pairs += [(f"{base}.1", f"{base}.2")]
        for name in (f"{one}.weight" for pair in pairs for one in pair):
            if name not in state:
                raise WorkloadError(f"no {name}; it must be torchvision's MobileNetV2")
        return _Source(
            tuple(state[f"{conv}.weight"] for conv, _ in pairs),
            tuple(state[f"{norm}.weight"] for _, norm in pairs),
            tuple(state[f"{norm}.bias"] for _, norm in pairs),
        )


def _normalised(y: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return functional.batch_norm(y, None, None, scale, shift, training=True, eps=BN_EPS)


def _keep(unit: ConvUnit, y: Tensor, scale: Tensor, shift: Tensor) -> None:
    """Give the first channels of a normalisation its statistics, slope and offset."""
    assert unit.bn is not None
    assert unit.bn.running_mean is not None
    assert unit.bn.running_var is not None
    some = y.shape[1]
    unit.bn.running_mean[:some] = y.mean((0, 2, 3))
    unit.bn.running_var[:some] = y.var((0, 2, 3), unbiased=False)
    unit.bn.weight[:some] = scale
    unit.bn.bias[:some] = shift


def _maps(source: _Source, x: Tensor, layer: Layer) -> tuple[Tensor | None, Tensor]:
    """Return what PW1 and DW of one of torchvision's blocks make, before their normalisations.

    Its first block has no PW1. Stride and padding are those of `layer`, our DW.
    """
    first, y = None, x
    if len(source.kernels) == 3:
        first = functional.conv2d(x, source.kernels[0])
        y = functional.relu(_normalised(first, source.scales[0], source.shifts[0]))
    top, bottom, left, right = layer.padding
    y = functional.pad(y, (left, right, top, bottom))
    return first, functional.conv2d(y, source.kernels[-2], None, layer.stride_h, 0, 1, y.shape[1])


def _activated(source: _Source, second: Tensor) -> Tensor:
    return functional.relu(_normalised(second, source.scales[-2], source.shifts[-2]))


def _take_in(block: Bottleneck, source: _Source, x: Tensor) -> Tensor:
    """Write PW1 and DW; return the second activation of the channels that got weights."""
    first, second = _maps(source, x, block.dw.layer)
    if first is None:  # the input passes
        block.pw1.conv.weight[: x.shape[1]] = torch.eye(x.shape[1])[:, :, None, None]
        deviation = (x.var((0, 2, 3), unbiased=False) + BN_EPS).sqrt()
        _keep(block.pw1, x, deviation, x.mean((0, 2, 3)))
    else:
        block.pw1.conv.weight[: first.shape[1]] = source.kernels[0]
        _keep(block.pw1, first, source.scales[0], source.shifts[0])
    block.dw.conv.weight[: second.shape[1]] = source.kernels[-2]
    _keep(block.dw, second, source.scales[-2], source.shifts[-2])
    return _activated(source, second)


def _read_from(source: _Source, basis: Tensor | None) -> _Source:
    """Let a block read components instead of channels."""
    if basis is None or len(source.kernels) < 3:
        return source
    first = source.kernels[0].flatten(1) @ basis.T
    return _Source((first[:, :, None, None], *source.kernels[1:]), source.scales, source.shifts)


def _components(maps: list[Tensor], count: int) -> Tensor:
    """Return the first principal components of some maps' channels, ``(count, channels)``."""
    total = torch.zeros(maps[0].shape[1], maps[0].shape[1], dtype=torch.float64)
    for one in maps:
        rows = one.transpose(0, 1).flatten(1).double()
        rows = rows - rows.mean(1, keepdim=True)
        covariance = rows @ rows.T / rows.shape[1]
        total += covariance / covariance.trace()
    _, vectors = torch.linalg.eigh(total)
    largest: Tensor = vectors[:, -count:].flip(1).T.float()
    return largest


def _put_out(block: Bottleneck, source: _Source, y: Tensor, basis: Tensor | None) -> Tensor:
    """Write PW2, which puts out components of torchvision's channels; return its output."""
    made = functional.conv2d(y, source.kernels[-1])
    deviation = (made.var((0, 2, 3), unbiased=False) + BN_EPS).sqrt()
    kernel = source.kernels[-1].flatten(1) * (source.scales[-1] / deviation)[:, None]
    shift = source.shifts[-1]
    if basis is not None:
        kernel, shift = basis @ kernel, basis @ shift
    weight, some = block.pw2.conv.weight, y.shape[1]
    weight.normal_(std=NEW * float(kernel.std()))
    weight[:, :some] = kernel[:, :, None, None]
    out = functional.conv2d(y, kernel[:, :, None, None])
    scale = (out.var((0, 2, 3), unbiased=False) + BN_EPS).sqrt()
    _keep(block.pw2, out, scale, shift)
    return _normalised(out, scale, shift)


def _stream(layers: list[Layer], sources: list[_Source], x: Tensor) -> list[Tensor]:
    """Return torchvision's maps behind a block and the ones after it that keep the shape."""
    maps: list[Tensor] = []
    for layer, source in zip(layers, sources, strict=True):
        y = _activated(source, _maps(source, x, layer)[1])
        y = _normalised(
            functional.conv2d(y, source.kernels[-1]), source.scales[-1], source.shifts[-1]
        )
        x = x + y if maps else y
        maps.append(x)
    return maps


def transfer(network: Network, state: dict[str, Tensor], x: Tensor) -> None:
    """Write the blocks of modified MobileNetV2.

    Parameters
    ----------
    network : Network
    state : dict of str to tensor
        torchvision's ``mobilenet_v2``.
    x : (N, 32, H, W) float32
        What the head makes of some training images.
    """
    blocks = {block.block.name: block for block in network.bottlenecks()}
    names = list(blocks)
    basis: Tensor | None = None
    for name, block in blocks.items():
        if name not in BLOCKS:
            assert block.pw2.bn is not None
            block.pw2.bn.weight.zero_()
            continue
        source, wanted = _Source.of(state, BLOCKS[name]), block.block.out_channels
        outs, reads = source.outs, basis
        source = _read_from(source, reads)
        if block.block.residual == "none":
            basis = None
            if outs != wanted:
                behind = [one for one in names[names.index(name) + 1 :] if one in BLOCKS]
                following = {one: _Source.of(state, BLOCKS[one]) for one in behind}
                same = {one: source for one, source in following.items() if source.outs == outs}
                layers = [blocks[one].dw.layer for one in (name, *same)]
                basis = _components(_stream(layers, [source, *same.values()], x), wanted)
        y = _put_out(block, source, _take_in(block, source, x), basis)
        x = x + y if block.block.residual == "add" else y
