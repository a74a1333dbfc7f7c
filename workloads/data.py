"""Data sets in memory, ready for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from archonsim.export.datasets import NORMALISATION, load_dataset


@dataclass(frozen=True, slots=True)
class Split:
    """Images ``(N, C, H, W) uint8`` and labels ``(N,) int64``, and how to normalise them."""

    images: Tensor
    labels: Tensor
    mean: float
    deviation: float

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Split:
        """Move the split to a device."""
        return Split(self.images.to(device), self.labels.to(device), self.mean, self.deviation)

    def batch(self, index: Tensor | slice, resolution: int | None = None) -> Tensor:
        """Return normalised float images, averaged down to `resolution` pixels if asked for."""
        x = (self.images[index].float() - self.mean) / self.deviation
        return x if resolution is None else shrink(x, resolution)


def shrink(x: Tensor, resolution: int) -> Tensor:
    """Average images down to `resolution` pixels a side."""
    if resolution == x.shape[-1]:
        return x
    return functional.interpolate(x, size=(resolution, resolution), mode="area")


def augment(x: Tensor, pad: int, flip: bool, one_shift: bool = False) -> Tensor:
    """Flip half of the images and move each by up to `pad` pixels, with zeros coming in.

    With `one_shift` all images move alike.
    """
    n, _, height, width = x.shape
    # Drawn on the CPU: a checkpoint then holds the one generator that training depends on.
    if flip:
        x = torch.where((torch.rand(n, 1, 1, 1) < 0.5).to(x.device), x.flip(3), x)
    if not pad:
        return x
    padded = functional.pad(x, (pad, pad, pad, pad))
    moves = torch.randint(0, 2 * pad + 1, (2, 1 if one_shift else n, 1)).expand(2, n, 1)
    rows = (moves[0] + torch.arange(height)).to(x.device)
    columns = (moves[1] + torch.arange(width)).to(x.device)
    picked = padded[
        torch.arange(n, device=x.device)[:, None, None], :, rows[:, :, None], columns[:, None, :]
    ]
    return picked.permute(0, 3, 1, 2).contiguous()


def load(dataset: str, split: str, root: Path | None) -> Split:
    """Return the ``train`` or ``test`` split of a data set, from `root` if it needs files."""
    images, labels = load_dataset(dataset, split, root)
    return Split(torch.from_numpy(images), torch.from_numpy(labels), *NORMALISATION[dataset])
