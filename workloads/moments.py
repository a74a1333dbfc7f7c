"""Least squares of one number on another, channel by channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Regression:
    """Least squares of a target on one regressor, per channel, from chunks."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: Tensor | None = None

    def add(self, regressor: Tensor, target: Tensor) -> None:
        """Take a chunk ``(n, C, H, W)`` of both."""
        u, v = regressor.transpose(0, 1).flatten(1), target.transpose(0, 1).flatten(1)
        moments = torch.stack(
            [u.sum(1), v.sum(1), (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)]
        ).double()
        self.sums = moments if self.sums is None else self.sums + moments
        self.count += u.shape[1]

    def moments(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the mean and variance of regressor and target, and their covariance."""
        assert self.sums is not None
        u, v, uu, uv, vv = self.sums / self.count
        return u, (uu - u * u).clamp(min=0), v, (vv - v * v).clamp(min=0), uv - u * v

    def explained(self) -> float:
        """Share of the target's variance that the regression explains, over all channels."""
        _, var_u, _, var_v, covariance = self.moments()
        return float((covariance**2 / (var_u + 1e-12)).sum() / var_v.sum().clamp(min=1e-12))

    def write(self, bn: nn.BatchNorm2d, gain: Tensor | float) -> None:
        """Make `bn`, applied to ``gain * regressor``, the regression line."""
        mean, var, target, _, covariance = self.moments()
        slope = torch.where(var > 1e-9, covariance / var.clamp(min=1e-12), torch.zeros_like(var))
        gain = torch.as_tensor(gain, dtype=torch.float64, device=mean.device)
        assert bn.running_mean is not None
        assert bn.running_var is not None
        bn.running_mean.copy_(mean * gain)
        bn.running_var.copy_(var * gain * gain)
        bn.weight.copy_(
            torch.where(gain > 0, slope / gain.clamp(min=1e-12), 0.0)
            * torch.sqrt(var * gain * gain + bn.eps)
        )
        bn.bias.copy_(target)
