"""How sure a speedup is that was measured on some images: a seeded percentile bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Resamples and seed, stated wherever an interval is (own decision).
RESAMPLES, SEED = 10_000, 2021
COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A speedup and its bootstrap interval.

    Attributes
    ----------
    value : float
        Mean time of the base over mean time of the machine.
    low, high : float
        Where the middle 95 % of the resampled values lie.
    images : int
    """

    value: float
    low: float
    high: float
    images: int


def speedup_interval(base: NDArray[np.float64], mine: NDArray[np.float64]) -> Interval:
    """Resample images with replacement, pairs kept together.

    Take quantiles of the ratio of mean times.

    The percentile method (Efron 1979): 10 000 resamples, numpy's PCG64 with a fixed seed, so that
    equal times give equal intervals. It says how much the choice of images matters, nothing on how
    well a model describes a machine.

    Parameters
    ----------
    base, mine : (N,) float64
        Times of the same images in the same order.
    """
    drawn = np.random.default_rng(SEED).integers(0, len(mine), (RESAMPLES, len(mine)))
    ratios = base[drawn].sum(axis=1) / mine[drawn].sum(axis=1)
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(ratios, (tail, 1 - tail))
    return Interval(float(base.sum() / mine.sum()), float(low), float(high), len(mine))
