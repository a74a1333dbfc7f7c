"""Blocks of a network with something in them that does not fuse."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from archonsim.network.block import Block
from archonsim.network.workload import Item
from archonsim.zoo.bottleneck import Bottleneck
from archonsim.zoo.unit import layer_module


class Compound(nn.Module):
    """A run of layers with shortcuts, or a bottleneck and what follows it.

    Squeeze and excitation, sum.

    An average over the map opens a side branch that ends in a product; a pool starts from the
    block's input and ends in a concatenation; a sum adds the block's input.

    Attributes
    ----------
    core : Bottleneck or None
    """

    def __init__(self, items: Sequence[Item], predicted: bool) -> None:
        super().__init__()
        self.core = (
            Bottleneck(items[0], predicted and items[0].predicted)
            if isinstance(items[0], Block)
            else None
        )
        self.parts = nn.ModuleDict()
        for item in items:
            if not isinstance(item, Block):
                self.parts[item.name.split(".")[1]] = layer_module(item)

    def after(self, y: Tensor, x: Tensor) -> Tensor:
        """Run what stands behind the core, given its output `y` and the block's input `x`."""
        side = x
        for part in self.parts.values():
            kind = part.layer.kind  # type: ignore[union-attr]
            if kind in ("avgpool", "pool"):
                side = part(y if kind == "avgpool" else x)
            elif kind == "fc":
                side = part(side)
            elif kind == "add":
                y = part(y, x)
            else:
                y = part(y, side) if kind in ("multiply", "concat") else part(y)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        return self.after(x if self.core is None else self.core(x), x)
