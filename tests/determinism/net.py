"""A network for `export --module`."""

from __future__ import annotations

from torch import nn


def make() -> nn.Module:
    """Return a PW-DW-PW block between two layers; weights as PyTorch's seed gives them."""
    import torch

    torch.manual_seed(7)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.ReLU(),
        nn.Conv2d(16, 8, 1),
    ).eval()
