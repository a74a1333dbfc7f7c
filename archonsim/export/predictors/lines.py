"""Least squares: the affine map of each channel from what a predictor sums to real sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from archonsim.trace.tensors import Floats


class Moments:
    """Sums for the regression of a target on one regressor, per channel."""

    def __init__(self, channels: int) -> None:
        self._sums = np.zeros((5, channels))
        self._count = 0

    def add(self, regressor: Floats, target: Floats) -> None:
        """Take in an image's sums and targets, (O, P, Q) each."""
        u, v = (one.reshape(len(one), -1).astype(np.float64) for one in (regressor, target))
        self._sums += [u.sum(1), v.sum(1), (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)]
        self._count += u.shape[1]

    def explained(self) -> float:
        """Share of the target's variance that the regression explains, over all channels."""
        u, v, uu, uv, vv = self._sums / self._count
        return float(
            ((uv - u * v) ** 2 / (uu - u * u + 1e-12)).sum() / max(float((vv - v * v).sum()), 1e-12)
        )

    def line(self) -> tuple[Floats, Floats]:
        """Return slope and intercept of each channel.

        A regressor that never changes says nothing.
        """
        u, v, uu, uv, _ = self._sums / self._count
        variance = uu - u * u
        slope = np.where(variance > 1e-9, (uv - u * v) / np.maximum(variance, 1e-9), 0.0)
        return slope.astype(np.float32), (v - slope * u).astype(np.float32)


def regress(
    channels: int,
    sums: Callable[[Floats], Floats],
    inputs: Iterable[Floats],
    targets: Iterable[Floats],
) -> Moments:
    """Regress targets on what `sums` makes of inputs."""
    moments = Moments(channels)
    for x, target in zip(inputs, targets, strict=True):
        moments.add(sums(x), target)
    return moments
