"""From a network that was trained on a slice of its channels to one that uses them all."""

from __future__ import annotations

import torch
from torch import Tensor

from archonsim.zoo.bottleneck import Bottleneck
from archonsim.zoo.fused import fusible, slice_channels
from archonsim.zoo.network import Network


def _sources(block: Bottleneck, width: float) -> Tensor:
    """Return for each wide channel the trained one that it becomes a copy of."""
    channels, groups = block.block.mid_channels, block.block.groups
    each = channels // groups
    some = slice_channels(each, width)
    return (torch.arange(groups)[:, None] * each + torch.arange(each) % some).flatten()


def _blurred(weight: Tensor, noise: float) -> Tensor:
    """Perturb each weight in proportion to itself and its tensor's deviation: copies diverge."""
    return weight * torch.exp(
        noise * torch.randn_like(weight)
    ) + noise * weight.std() * torch.randn_like(weight)


@torch.no_grad()
def widen(network: Network, width: float, noise: float) -> None:
    """Fill the untrained channels between PW1 and PW2 with perturbed copies (Net2WiderNet).

    The trained channels stay as they are.

    Parameters
    ----------
    width : float
        Share of the channels that was trained.
    noise : float
        Relative strength of the perturbation.
    """
    for block in network.bottlenecks():
        if not fusible(block.block):
            continue
        source = _sources(block, width)
        copied = source != torch.arange(len(source))
        for unit in (block.pw1, block.dw):
            assert unit.bn is not None
            for tensor in (unit.bn.weight, unit.bn.bias):
                tensor.copy_(tensor[source])
            unit.conv.weight[copied] = _blurred(unit.conv.weight[source[copied]], noise)
        groups = block.block.groups
        each = block.block.mid_channels // groups
        local, fresh = source.view(groups, each)[0] % each, copied.view(groups, each)[0]
        out = block.pw2.conv.weight
        out[:, fresh] = _blurred(out[:, local[fresh]], noise)
