"""Images of the data sets that the known networks were trained on, from the user's files."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import WorkloadError
from archonsim.export.calls import first_line
from archonsim.export.plain_pickle import load_plain

if TYPE_CHECKING:
    from PIL import Image

Bytes = NDArray[np.uint8]
Labels = NDArray[np.int64]

#: Mean and deviation of a pixel, one pair for all channels: CIFAR's as ICS'21 used them, the
#: digits' of their 0..16.
NORMALISATION = {
    "cifar10": (120.70756512369792, 64.1500758911213),
    "cifar100": (121.90086, 68.23722),
    "digits": (4.884, 6.016),
}
#: How CIFAR is called, the folder that torchvision unpacks, and the files of its splits.
CIFAR = {
    "cifar10": (
        "CIFAR-10",
        "cifar-10-batches-py",
        {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]},
    ),
    "cifar100": ("CIFAR-100", "cifar-100-python", {"train": ["train"], "test": ["test"]}),
}
#: Share of the digits held out for testing, and the seed of the split.
DIGITS_TEST, DIGITS_SEED = 0.25, 2021


#: Bytes, and pixels, of the largest strip of pictures in a zip (own decision).
LARGEST_STRIP = 1 << 26


def _opened(content: bytes, part: Path) -> Image.Image:
    """Open a picture, its pixels not yet decoded."""
    from PIL import Image

    try:
        return Image.open(io.BytesIO(content))
    except Image.DecompressionBombError as error:
        raise WorkloadError(f"{part}: {first_line(error)}") from error


def _packed_cifar(root: Path, dataset: str, split: str) -> tuple[Bytes, Labels]:
    """Read strips of lossless WebP in zips, and ``cifar10_labels.npz``.

    The zips are called ``cifar10_train_00.zip`` and so on.
    """
    with np.load(root / f"{dataset}_labels.npz") as archive:
        labels = archive[f"{split}_labels"].astype(np.int64)
    strips = []
    for part in sorted(root.glob(f"{dataset}_{split}_[0-9][0-9].zip")):
        with zipfile.ZipFile(part) as members:
            for member in sorted(members.infolist(), key=lambda one: one.filename):
                if member.file_size > LARGEST_STRIP:
                    raise WorkloadError(
                        f"{part}: {member.filename} has {member.file_size} bytes; strips of up to"
                        f" {LARGEST_STRIP} are read"
                    )
                with _opened(members.read(member), part) as strip:
                    if strip.width * strip.height > LARGEST_STRIP:
                        raise WorkloadError(
                            f"{part}: {member.filename} has {strip.height}x{strip.width} pixels;"
                            f" strips of up to {LARGEST_STRIP} are read"
                        )
                    strips.append(np.asarray(strip.convert("RGB")).reshape(-1, 32, 32, 3))
    images = np.concatenate(strips) if strips else np.empty((0, 32, 32, 3), np.uint8)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels


def _torchvision_cifar(root: Path, dataset: str, split: str) -> tuple[Bytes, Labels]:
    """Read the pickled batches of the original archive.

    Torchvision unpacks it to ``cifar-10-batches-py`` or ``cifar-100-python``.
    """
    title, _, files = CIFAR[dataset]
    names = files[split]
    images, labels = [], []
    for name in names:
        path = root / name
        if not path.is_file():
            raise WorkloadError(
                f"{path}: no such file; {title}'s {split} split needs {', '.join(names)}"
            )
        batch = load_plain(path)
        if not isinstance(batch, dict):
            raise WorkloadError(f"{path}: holds {type(batch).__name__}; it must be a dictionary")
        images.append(np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32))
        labels.append(
            np.asarray(batch[b"labels" if dataset == "cifar10" else b"fine_labels"], np.int64)
        )
    return np.concatenate(images), np.concatenate(labels)


def load_cifar(dataset: str, root: Path, split: str) -> tuple[Bytes, Labels]:
    """Read CIFAR-10 or CIFAR-100 from a folder in either layout.

    Images ``(N, 3, 32, 32)`` and labels ``(N,)``.

    Raises
    ------
    WorkloadError
        The folder holds neither, or a part is missing or damaged.
    """
    title = CIFAR[dataset][0]
    try:
        images, labels = _read_cifar(dataset, root, split)
    except (
        zipfile.BadZipFile,
        EOFError,
        KeyError,
        ValueError,
        TypeError,
        OSError,
        zlib.error,
    ) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise WorkloadError(
            f"{root}: the {split} split of {title} cannot be read, its files may be damaged"
            f" ({reason})"
        ) from error
    if len(images) != len(labels):
        raise WorkloadError(
            f"{root}: {len(images)} {split} images for {len(labels)} labels; is a part missing?"
        )
    return images, labels


def _read_cifar(dataset: str, root: Path, split: str) -> tuple[Bytes, Labels]:
    title, inner, files = CIFAR[dataset]
    batches = root / inner
    if batches.is_dir() or (root / files["test"][0]).is_file():
        return _torchvision_cifar(batches if batches.is_dir() else root, dataset, split)
    if (root / f"{dataset}_labels.npz").is_file():
        return _packed_cifar(root, dataset, split)
    raise WorkloadError(
        f"{root}: no {title} here; expected {inner}/ (torchvision) or {dataset}_labels.npz with its"
        " zips"
    )


def load_digits(split: str) -> tuple[Bytes, Labels]:
    """Return scikit-learn's 1797 real handwritten digits, ``(N, 1, 8, 8)``.

    A quarter, stratified, is the test split.
    """
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = sklearn_digits(return_X_y=True)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=DIGITS_TEST, random_state=DIGITS_SEED, stratify=labels
    )
    chosen = train if split == "train" else test
    return pixels[chosen].astype(np.uint8).reshape(-1, 1, 8, 8), labels[chosen].astype(np.int64)


def load_dataset(dataset: str, split: str, root: Path | None) -> tuple[Bytes, Labels]:
    """Return the ``train`` or ``test`` split of a data set.

    Images ``(N, C, H, W) uint8`` and labels ``(N,) int64``.

    Parameters
    ----------
    root : Path or None
        Folder with the data set's files; the digits need none.
    """
    if dataset == "digits":
        return load_digits(split)
    if dataset not in CIFAR:
        raise WorkloadError(
            f"data set {dataset!r} has no reader; known: {', '.join(sorted(NORMALISATION))}"
        )
    if root is None:
        raise WorkloadError(
            f"{dataset} needs a folder with {CIFAR[dataset][1]}/ (torchvision) or the packed files"
        )
    return load_cifar(dataset, root, split)
