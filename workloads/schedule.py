"""Which images, which learning rate, which resolution at which step of a phase."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from workloads.recipe import Phase, Rate, Stage


@lru_cache(maxsize=2)
def _order(images: int, seed: int, stage: int, epoch: int) -> Tensor:
    """Return the order of an epoch's images; a step needs that of one epoch or two."""
    generator = torch.Generator().manual_seed(hash((seed, stage, epoch)) & 0x7FFFFFFF)
    return torch.randperm(images, generator=generator)


def rate_of(rates: Sequence[Rate], epoch: int) -> float:
    """Learning rate of an epoch, counted from 0, in a schedule of pieces."""
    for piece in rates:
        length = len(piece.values) or piece.epochs
        if length and epoch >= length and piece is not rates[-1]:
            epoch -= length
            continue
        if piece.shape == "values":
            return piece.values[min(epoch, len(piece.values) - 1)]
        left = 1 - min(epoch, piece.period) / piece.period
        fall = left**3 if piece.shape == "cubic" else 0.5 * (1 - math.cos(math.pi * left))
        return piece.end + (piece.start - piece.end) * fall
    raise ValueError("a schedule needs at least one piece")


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps of one phase over a training split of `images` images."""

    phase: Phase
    images: int
    seed: int

    def _steps(self, stage: Stage) -> int:
        if self.phase.rates:
            return int(stage.epochs) * (self.images // stage.batch)
        return round(stage.epochs * self.images / stage.batch)

    @property
    def steps(self) -> int:
        """Number of steps of the phase."""
        return sum(self._steps(stage) for stage in self.phase.stages)

    def stage_at(self, step: int) -> tuple[Stage, int]:
        """Return the stage that `step` belongs to, and the step's number within it."""
        for stage in self.phase.stages:
            if step < self._steps(stage):
                return stage, step
            step -= self._steps(stage)
        raise IndexError(step)

    def progress(self, step: int) -> float:
        """Share of the phase's image presentations that are over, in 0..1."""
        shown, total = 0.0, 0.0
        for stage in self.phase.stages:
            steps = self._steps(stage)
            shown += min(max(step, 0), steps) * stage.batch
            total += steps * stage.batch
            step -= steps
        return shown / total if total else 1.0

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch of the last stage: whole batches."""
        return max(1, self.images // self.phase.stages[-1].batch)

    def rate(self, step: int) -> float:
        """Learning rate: by epoch if the phase lists rates, else linear warm-up, then a cosine."""
        at, phase = self.progress(step), self.phase
        if phase.rates:
            return rate_of(phase.rates, step // self.epoch_steps)
        if at < phase.warmup:
            return phase.peak_rate * (0.05 + 0.95 * at / phase.warmup)
        rest = (at - phase.warmup) / (1 - phase.warmup)
        return phase.final_rate + (phase.peak_rate - phase.final_rate) * 0.5 * (
            1 + math.cos(math.pi * rest)
        )

    def batch_at(self, step: int) -> Tensor:
        """Indices of the images of a step.

        Each epoch of a stage is a permutation that depends on the seed alone.
        """
        stage, local = self.stage_at(step)
        first = local * stage.batch
        epochs = {(first + offset) // self.images for offset in (0, stage.batch - 1)}
        stage_number = self.phase.stages.index(stage)
        orders = {epoch: _order(self.images, self.seed, stage_number, epoch) for epoch in epochs}
        places = range(first, first + stage.batch)
        if len(epochs) == 1:
            start = first % self.images
            return next(iter(orders.values()))[start : start + stage.batch]
        return torch.stack([orders[place // self.images][place % self.images] for place in places])
