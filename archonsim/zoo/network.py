"""Networks as PyTorch modules, built from the same tables as the shape-only workloads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from archonsim.errors import WorkloadError
from archonsim.network.block import Block
from archonsim.network.networks import network as table_network
from archonsim.network.workload import Flavour, Item, Workload
from archonsim.zoo.bottleneck import Bottleneck
from archonsim.zoo.compound import Compound
from archonsim.zoo.unit import layer_module
from archonsim.zoo.unit import to_half as to_half

FLAVOURS: tuple[Flavour, ...] = ("vanilla", "pruned", "pred")


@torch.no_grad()
def round_weights(network: nn.Module) -> None:
    """Round the weights of all layers to 16-bit words, in place.

    What a machine of 16-bit words multiplies by.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.copy_(to_half(module.weight))


def _groups(workload: Workload) -> list[tuple[str, list[Item]]]:
    """Items by the module that they become: those of one block together, the others alone."""

    def owner(item: Item) -> str:
        return item.name.split(".")[0]

    return [(name, list(items)) for name, items in itertools.groupby(workload.items, owner)]


def core(module: nn.Module) -> Bottleneck | None:
    """Return the bottleneck that an item of a network is, or holds."""
    if isinstance(module, Compound):
        return module.core
    return module if isinstance(module, Bottleneck) else None


def after_core(module: nn.Module, y: Tensor, x: Tensor) -> Tensor:
    """Run what an item has behind its bottleneck, whose output is `y`; `x` is the item's input."""
    return module.after(y, x) if isinstance(module, Compound) else y


class Network(nn.Module):
    """A workload's items in order.

    Attributes
    ----------
    workload : Workload
        The table that the network was built from.
    """

    def __init__(self, workload: Workload, flavour: Flavour) -> None:
        super().__init__()
        if flavour not in FLAVOURS:
            raise WorkloadError(
                f"network {workload.name}: flavour is {flavour!r}; it must be one of"
                f" {', '.join(FLAVOURS)}"
            )
        self.workload, self.flavour = workload, flavour
        predicted = flavour == "pred"
        self.items = nn.ModuleDict()
        for name, group in _groups(workload):
            first = group[0]
            if len(group) > 1:
                self.items[name] = Compound(group, predicted)
            elif isinstance(first, Block):
                self.items[name] = Bottleneck(first, predicted and first.predicted)
            else:
                self.items[name] = layer_module(first)

    def bottlenecks(self) -> Iterator[Bottleneck]:
        """All blocks that could fuse, in order."""
        return (block for block in map(core, self.items.values()) if block is not None)

    def use_half_words(self) -> None:
        """Round maps to 16 bits where they enter and leave blocks, from now on."""
        for block in self.bottlenecks():
            block.half_words = True

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images ``(N, C, H, W)``, normalised."""
        for module in self.items.values():
            x = module(x)
        return x


def build(name: str, flavour: Flavour = "vanilla") -> Network:
    """Return a registered network, randomly initialised."""
    return Network(table_network(name), flavour)
