"""Accuracy on a split, and the running statistics that evaluation needs."""

from __future__ import annotations

import torch

from archonsim.zoo.network import Network
from workloads.data import Split, augment
from workloads.recipe import Recipe
from workloads.team import Team


@torch.no_grad()
def accuracy(
    network: Network,
    split: Split,
    batch: int = 100,
    limit: int | None = None,
    resolution: int | None = None,
    team: Team = Team(),  # noqa: B008 - frozen
) -> float:
    """Return the share of images that `network` classifies correctly, in evaluation mode.

    `limit` takes the first images alone; the processes of `team` share them.
    """
    network.eval()
    count = len(split) if limit is None else min(limit, len(split))
    right = 0
    for start in range(team.rank * batch, count, team.size * batch):
        at = slice(start, min(start + batch, count))
        right += int((network(split.batch(at, resolution)).argmax(1) == split.labels[at]).sum())
    return team.total(right) / count


@torch.no_grad()
def estimate_statistics(
    network: Network, split: Split, recipe: Recipe, resolution: int | None = None, batch: int = 64
) -> None:
    """Replace all running statistics by plain averages over some training images, at full width.

    Training on slices of channels leaves statistics that fit no network in particular.
    """
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    for start in range(0, recipe.statistics_images, batch):
        at = torch.arange(start, min(start + batch, recipe.statistics_images)) * 37 % len(split)
        network(augment(split.batch(at, resolution), recipe.pad, recipe.flip, recipe.one_shift))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
