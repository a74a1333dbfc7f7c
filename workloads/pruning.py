"""Gradual magnitude pruning with a cubic schedule (recipe of ICS'21, section 3)."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from archonsim.zoo.network import Network
from archonsim.zoo.unit import ConvUnit
from workloads.recipe import Phase
from workloads.schedule import Schedule

#: Steps between two choices of the weights to prune, where the ramp is a share of the steps.
PRUNE_EVERY = 10
#: Layers outside of blocks that are pruned as well.
TAIL_ROLES = frozenset({"tail_pw"})


def prunable(
    network: Network, pointwise: float, depthwise: float, dense: Collection[str] = ()
) -> Iterator[tuple[ConvUnit, float]]:
    """Yield the layers to prune and the final share of zeros of each.

    All of the blocks, and the tail's 1x1 convolution.

    `dense` names blocks and roles that are left out.
    """
    shares = {
        "pw1": pointwise,
        "dw": depthwise,
        "pw2": pointwise,
        **dict.fromkeys(TAIL_ROLES, pointwise),
    }
    for module in network.modules():
        if isinstance(module, ConvUnit) and module.layer.role in shares:
            block = module.layer.name.split(".")[0]
            if block not in dense and module.layer.role not in dense:
                yield module, shares[module.layer.role]


def sparsity_at(progress: float, final: float) -> float:
    """Share of zeros after `progress` (0..1) of the ramp: cubic, steep at first."""
    return final * (1 - (1 - min(progress, 1.0)) ** 3)


def magnitude_mask(unit: ConvUnit, sparsity: float) -> Tensor:
    """Return the weights to keep, exactly ``max(round(n * (1 - sparsity)), 1)`` of each slice.

    A grouped 1x1 convolution is pruned group by group, a depthwise kernel as a whole.
    """
    weight = unit.conv.weight.detach()
    slices = 1 if unit.layer.kind == "depthwise" else unit.layer.groups
    return keep_largest(weight.abs().reshape(slices, -1), sparsity).view_as(weight)


def keep_largest(score: Tensor, sparsity: float) -> Tensor:
    """Return which entries of each slice ``score[i]`` to keep.

    It keeps exactly ``max(round(n * (1 - sparsity)), 1)``.
    """
    flat = score.reshape(len(score), -1)
    keep = max(round(flat.shape[1] * (1 - sparsity)), 1)
    mask = torch.zeros_like(flat, dtype=torch.bool)
    mask.scatter_(1, flat.topk(keep, dim=1).indices, True)
    return mask.view_as(score)


def prune(phase: Phase, pruner: Pruner, step: int, schedule: Schedule) -> None:
    """Prune after a step, `step` steps of the phase being done.

    Tighter while the ramp lasts, then as it is.
    """
    epoch = (step - 1) // schedule.epoch_steps
    if epoch < phase.ramp_epochs:
        pruner.tighten(epoch / phase.ramp_epochs)
    elif (
        not phase.ramp_epochs
        and schedule.progress(step - PRUNE_EVERY) < phase.ramp
        and step % PRUNE_EVERY == 0
    ):
        pruner.tighten(schedule.progress(step) / phase.ramp)
    else:
        pruner.apply()


class Pruner:
    """Holds the masks of one network and imposes them."""

    def __init__(
        self, network: Network, pointwise: float, depthwise: float, dense: Collection[str] = ()
    ) -> None:
        self._targets = list(prunable(network, pointwise, depthwise, dense))
        # A network that was pruned before (resumed training) starts from the zeros that it has.
        self._masks = [unit.conv.weight.detach() != 0 for unit, _ in self._targets]

    def tighten(self, progress: float) -> None:
        """Choose the weights to keep anew, at this point of the ramp."""
        self._masks = [
            magnitude_mask(unit, sparsity_at(progress, final)) for unit, final in self._targets
        ]
        self.apply()

    @torch.no_grad()
    def apply(self) -> None:
        """Set the pruned weights to zero again."""
        for (unit, _), mask in zip(self._targets, self._masks, strict=True):
            unit.conv.weight.mul_(mask)
