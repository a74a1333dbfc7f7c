"""Images of the data sets that the known networks were trained on, from files that the user brings."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import WorkloadError

Bytes = NDArray[np.uint8]
Labels = NDArray[np.int64]

#: Mean and deviation of a pixel, one pair for all channels: CIFAR-10's as ICS'21 used them, the digits' of their 0..16.
NORMALISATION = {"cifar10": (120.70756512369792, 64.1500758911213), "digits": (4.884, 6.016)}
#: Share of the digits held out for testing, and the seed of the split.
DIGITS_TEST, DIGITS_SEED = 0.25, 2021


def _packed_cifar(root: Path, split: str) -> tuple[Bytes, Labels]:
    """Read strips of lossless WebP in zips (``cifar10_train_00.zip``, ...) and ``cifar10_labels.npz``."""
    from PIL import Image

    with np.load(root / "cifar10_labels.npz") as archive:
        labels = archive[f"{split}_labels"].astype(np.int64)
    strips = []
    for part in sorted(root.glob(f"cifar10_{split}_[0-9][0-9].zip")):
        with zipfile.ZipFile(part) as members:
            for member in sorted(members.namelist()):
                with Image.open(io.BytesIO(members.read(member))) as strip:
                    strips.append(np.asarray(strip.convert("RGB")).reshape(-1, 32, 32, 3))
    images = np.concatenate(strips) if strips else np.empty((0, 32, 32, 3), np.uint8)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels


def _torchvision_cifar(root: Path, split: str) -> tuple[Bytes, Labels]:
    """Read the pickled batches of the original archive (torchvision's ``cifar-10-batches-py``)."""
    names = [f"data_batch_{i}" for i in range(1, 6)] if split == "train" else ["test_batch"]
    images, labels = [], []
    for name in names:
        path = root / name
        if not path.is_file():
            raise WorkloadError(f"{path}: no such file; CIFAR-10's {split} split needs {', '.join(names)}")
        with path.open("rb") as file:
            batch = pickle.load(file, encoding="bytes")
        images.append(np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32))
        labels.append(np.asarray(batch[b"labels"], np.int64))
    return np.concatenate(images), np.concatenate(labels)


def load_cifar10(root: Path, split: str) -> tuple[Bytes, Labels]:
    """Read CIFAR-10 from a folder in either layout: images ``(N, 3, 32, 32)`` and labels ``(N,)``.

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
        raise WorkloadError(
            f"{root}: no CIFAR-10 here; expected cifar-10-batches-py/ (torchvision) or cifar10_labels.npz with its zips"
        )
    if len(images) != len(labels):
        raise WorkloadError(f"{root}: {len(images)} {split} images for {len(labels)} labels; is a part missing?")
    return images, labels


def load_digits(split: str) -> tuple[Bytes, Labels]:
    """Return scikit-learn's 1797 real handwritten digits, ``(N, 1, 8, 8)``; a quarter, stratified, is the test split."""
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = sklearn_digits(return_X_y=True)
    train, test = train_test_split(np.arange(len(labels)), test_size=DIGITS_TEST, random_state=DIGITS_SEED, stratify=labels)
    chosen = train if split == "train" else test
    return pixels[chosen].astype(np.uint8).reshape(-1, 1, 8, 8), labels[chosen].astype(np.int64)


def load_dataset(dataset: str, split: str, root: Path | None) -> tuple[Bytes, Labels]:
    """Return the ``train`` or ``test`` split of a data set: images ``(N, C, H, W) uint8`` and labels ``(N,) int64``.

    Parameters
    ----------
    root : Path or None
        Folder with the data set's files; the digits need none.
    """
    if dataset == "digits":
        return load_digits(split)
    if dataset != "cifar10":
        raise WorkloadError(f"data set {dataset!r} has no reader; known: {', '.join(sorted(NORMALISATION))}")
    if root is None:
        raise WorkloadError("cifar10 needs a folder with cifar-10-batches-py/ (torchvision) or the packed files")
    return load_cifar10(root, split)
