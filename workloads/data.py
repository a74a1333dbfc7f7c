"""Data sets in memory: CIFAR-10 in two layouts, and scikit-learn's handwritten digits."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from archonsim.errors import WorkloadError

Bytes = NDArray[np.uint8]

#: Mean and deviation of a pixel, one pair for all channels: CIFAR-10's as ICS'21 used them, the digits' of their 0..16.
NORMALISATION = {"cifar10": (120.70756512369792, 64.1500758911213), "digits": (4.884, 6.016)}
#: Share of the digits held out for testing, and the seed of the split.
DIGITS_TEST, DIGITS_SEED = 0.25, 2021


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
        if resolution is not None and resolution != x.shape[-1]:
            x = functional.interpolate(x, size=(resolution, resolution), mode="area")
        return x


def augment(x: Tensor, pad: int, flip: bool) -> Tensor:
    """Flip half of the images and move each by up to `pad` pixels, zeros coming in."""
    n, _, height, width = x.shape
    if flip:
        x = torch.where(torch.rand(n, 1, 1, 1, device=x.device) < 0.5, x.flip(3), x)
    if not pad:
        return x
    padded = functional.pad(x, (pad, pad, pad, pad))
    rows = torch.randint(0, 2 * pad + 1, (n, 1), device=x.device) + torch.arange(height, device=x.device)
    columns = torch.randint(0, 2 * pad + 1, (n, 1), device=x.device) + torch.arange(width, device=x.device)
    picked = padded[torch.arange(n, device=x.device)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2).contiguous()


def _packed_cifar(root: Path, split: str) -> tuple[Bytes, NDArray[np.int64]]:
    """Read strips of lossless WebP in zips (``cifar10_train_00.zip``, ...) and ``cifar10_labels.npz``."""
    from PIL import Image

    with np.load(root / "cifar10_labels.npz") as archive:
        labels = archive[f"{split}_labels"].astype(np.int64)
    strips = []
    for part in sorted(root.glob(f"cifar10_{split}_[0-9][0-9].zip")):
        with zipfile.ZipFile(part) as archive_zip:
            for member in sorted(archive_zip.namelist()):
                with Image.open(io.BytesIO(archive_zip.read(member))) as strip:
                    strips.append(np.asarray(strip.convert("RGB")).reshape(-1, 32, 32, 3))
    images = np.concatenate(strips) if strips else np.empty((0, 32, 32, 3), np.uint8)
    return images.transpose(0, 3, 1, 2), labels


def _torchvision_cifar(root: Path, split: str) -> tuple[Bytes, NDArray[np.int64]]:
    """Read the pickled batches of the original archive (torchvision's ``cifar-10-batches-py``)."""
    names = [f"data_batch_{i}" for i in range(1, 6)] if split == "train" else ["test_batch"]
    images, labels = [], []
    for name in names:
        with (root / name).open("rb") as file:
            batch = pickle.load(file, encoding="bytes")
        images.append(np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32))
        labels.append(np.asarray(batch[b"labels"], np.int64))
    return np.concatenate(images), np.concatenate(labels)


def load_cifar10(root: Path, split: str) -> Split:
    """Read CIFAR-10 from a folder in either layout.

    Raises
    ------
    WorkloadError
        The folder holds neither, or a part is missing.
    """
    batches = root / "cifar-10-batches-py"
    if batches.is_dir() or (root / "test_batch").is_file():
        images, labels = _torchvision_cifar(batches if batches.is_dir() else root, split)
    elif (root / "cifar10_labels.npz").is_file():
        images, labels = _packed_cifar(root, split)
    else:
        raise WorkloadError(f"{root}: no CIFAR-10 here; expected cifar-10-batches-py/ (torchvision) or cifar10_labels.npz with its zips")
    if len(images) != len(labels):
        raise WorkloadError(f"{root}: {len(images)} {split} images for {len(labels)} labels; is a part missing?")
    return Split(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels), *NORMALISATION["cifar10"])


def load_digits(split: str) -> Split:
    """Return scikit-learn's 1797 real handwritten digits of 8x8 pixels; a quarter, stratified, is the test split."""
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = sklearn_digits(return_X_y=True)
    train, test = train_test_split(np.arange(len(labels)), test_size=DIGITS_TEST, random_state=DIGITS_SEED, stratify=labels)
    chosen = train if split == "train" else test
    images = pixels[chosen].astype(np.uint8).reshape(-1, 1, 8, 8)
    return Split(torch.from_numpy(images), torch.from_numpy(labels[chosen].astype(np.int64)), *NORMALISATION["digits"])


def load(dataset: str, split: str, root: Path | None) -> Split:
    """Return the ``train`` or ``test`` split of a data set."""
    if dataset == "digits":
        return load_digits(split)
    if dataset != "cifar10":
        raise WorkloadError(f"data set {dataset!r} has no loader; known: cifar10, digits")
    if root is None:
        raise WorkloadError("CIFAR-10 needs --data DIR: a folder with cifar-10-batches-py/ or the packed files")
    return load_cifar10(root, split)
