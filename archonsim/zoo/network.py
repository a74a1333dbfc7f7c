"""Networks as PyTorch modules, built from the same tables as the shape-only workloads."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from archonsim.errors import WorkloadError
from archonsim.workload.block import Block
from archonsim.workload.networks import network as table_network
from archonsim.workload.workload import Flavour, Workload
from archonsim.zoo.bottleneck import Bottleneck
from archonsim.zoo.unit import layer_module

FLAVOURS: tuple[Flavour, ...] = ("vanilla", "pruned", "pred")


def to_half(x: Tensor) -> Tensor:
    """Round to what a 16-bit word holds, in float32."""
    return x.to(torch.float16).to(torch.float32)


@torch.no_grad()
def round_weights(network: nn.Module) -> None:
    """Round the weights of all layers to 16-bit words, in place: what a machine of 16-bit words multiplies by."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.copy_(to_half(module.weight))


class Network(nn.Module):
    """A workload's items in order.

    Attributes
    ----------
    workload : Workload
        The table that the network was built from.
    half_words : bool
        Round maps to 16 bits where they pass between blocks, as a machine of 16-bit words stores them.
    """

    def __init__(self, workload: Workload, flavour: Flavour) -> None:
        super().__init__()
        if flavour not in FLAVOURS:
            raise WorkloadError(f"network {workload.name}: flavour is {flavour!r}; it must be one of {', '.join(FLAVOURS)}")
        self.workload, self.flavour = workload, flavour
        self.half_words = False
        self.items = nn.ModuleDict()
        for item in workload.items:
            if isinstance(item, Block):
                self.items[item.name] = Bottleneck(item, predicted=flavour == "pred" and item.predicted)
            else:
                self.items[item.name] = layer_module(item)

    def bottlenecks(self) -> Iterator[Bottleneck]:
        """All blocks in order."""
        return (module for module in self.items.values() if isinstance(module, Bottleneck))

    def step(self, module: nn.Module, x: Tensor) -> Tensor:
        """Run one item, with its maps rounded if `half_words` is set and it is a block."""
        if not (self.half_words and isinstance(module, Bottleneck)):
            return module(x)  # type: ignore[no-any-return]
        return to_half(module(to_half(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images ``(N, C, H, W)``, normalised."""
        for module in self.items.values():
            x = self.step(module, x)
        return x


def build(name: str, flavour: Flavour = "vanilla") -> Network:
    """Return a registered network, randomly initialised."""
    return Network(table_network(name), flavour)
