"""Images to run a network on.

A folder of pictures, an array, or a data set's own files, and what was done to them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import WorkloadError
from archonsim.export.datasets import load_dataset
from archonsim.trace.tensors import Floats
from archonsim.user_files import check_regular

#: Data sets, and what a folder with one of them holds, in torchvision's layout or packed.
_DATASETS = {
    "cifar10": ("cifar-10-batches-py", "test_batch", "cifar10_labels.npz"),
    "cifar100": ("cifar-100-python", "cifar100_labels.npz"),
}
#: Pixels of the largest picture that is read (own decision): decoded, it takes 300 MB.
LARGEST_PICTURE = 100_000_000
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm", ".tif", ".tiff")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """What is done to pixels before a network sees them, in this order.

    Pixels of 8 bits become 0..1 first.

    Attributes
    ----------
    resize : (height, width) or None
        Bilinear; pictures only.
    mean, std : tuple of float
        One for all channels, or one for each; in units of the scaled pixels.
    """

    resize: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not all(np.isfinite((*self.mean, *self.std))) or any(one <= 0 for one in self.std):
            raise WorkloadError(
                f"std is {_list(self.std)}, mean is {_list(self.mean)}; they must be numbers, std"
                " greater than 0"
            )
        if self.resize is not None and min(self.resize) < 1:
            raise WorkloadError(
                f"resize is {self.resize[0]}x{self.resize[1]}; it must be at least 1x1"
            )

    def apply(self, pixels: NDArray[np.generic]) -> Floats:
        """Return ``(N, C, H, W) float32``."""
        channels = pixels.shape[1]
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, channels):
                raise WorkloadError(
                    f"{name} has {len(getattr(self, name))} numbers; the images have {channels}"
                    " channels"
                )
        scaled = (
            pixels.astype(np.float32) / np.float32(255)
            if pixels.dtype == np.uint8
            else pixels.astype(np.float32)
        )
        mean, std = (
            np.array(one, np.float32).reshape(1, -1, 1, 1) for one in (self.mean, self.std)
        )
        return np.ascontiguousarray((scaled - mean) / std)

    def describe(self, scaled: bool) -> str:
        """Say it in words."""
        steps = ["bilinear resize to {}x{}".format(*self.resize)] if self.resize else []
        steps += ["pixels / 255"] if scaled else []
        if self.mean != (0.0,) or self.std != (1.0,):
            steps.append(f"minus mean {_list(self.mean)}, divided by std {_list(self.std)}")
        return "; ".join(steps) or "none"


def _list(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """Images as a network takes them, and where they come from.

    Attributes
    ----------
    pixels : (N, C, H, W) float32
    indices : tuple of int
        Their numbers within the split, the folder's sorted files, or the array.
    dataset, split, preprocessing : str
        No paths.
    """

    pixels: Floats
    indices: tuple[int, ...]
    dataset: str
    split: str = ""
    preprocessing: str = ""

    def __len__(self) -> int:
        return len(self.pixels)

    def part(self, start: int, stop: int) -> Images:
        """Return some of them."""
        return Images(
            pixels=self.pixels[start:stop],
            indices=self.indices[start:stop],
            dataset=self.dataset,
            split=self.split,
            preprocessing=self.preprocessing,
        )


def number_ranges(numbers: Sequence[int]) -> str:
    """Write ``0,1,2,5`` as ``"0-2,5"``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def as_images(pixels: NDArray[np.generic], dataset: str = "array") -> Images:
    """Take an array ``(N, C, H, W)`` as it is.

    Raises
    ------
    WorkloadError
        It has another shape, or holds a value that is not finite.
    """
    if pixels.ndim != 4 or pixels.dtype.kind not in "fiu":
        raise WorkloadError(
            f"{dataset}: images are an array of shape {pixels.shape} and type {pixels.dtype}; it"
            " must be (N, C, H, W) numbers"
        )
    floats = np.ascontiguousarray(pixels, np.float32)
    if not np.isfinite(floats).all():
        place = tuple(int(axis[0]) for axis in np.nonzero(~np.isfinite(floats)))
        raise WorkloadError(f"{dataset}: pixel at {place} is {floats[place]}; all must be finite")
    return Images(pixels=floats, indices=tuple(range(len(floats))), dataset=dataset)


def load_images(source: Path, first: int, count: int, preprocessing: Preprocessing) -> Images:
    """Read `count` images from number `first` on.

    Parameters
    ----------
    source : Path
        A ``.npy`` file of ``(N, C, H, W)``, a folder of pictures (subfolders included, sorted by
        path; torchvision's ImageFolder is one), or a folder with CIFAR in torchvision's layout or
        packed, of which the test split is read.

    Raises
    ------
    WorkloadError
        There are none, too few, or of several sizes.
    """
    known = next(
        (
            name
            for name, files in _DATASETS.items()
            if any((source / one).exists() for one in files)
        ),
        "",
    )
    if source.suffix == ".npy":
        pixels, split = _read_npy(source), ""
        _check_count(source, len(pixels), first, count)
        pixels = pixels[first : first + count]
        if preprocessing.resize is not None:
            raise WorkloadError(f"{source}: --resize is for pictures; an array is taken as it is")
    elif known:
        whole, split = load_dataset(known, "test", source)[0], "test"
        _check_count(source, len(whole), first, count)
        pixels = _resized(whole[first : first + count], preprocessing)
    else:
        pixels, split = _read_pictures(source, first, count, preprocessing.resize), ""
    dataset = known or source.resolve().name  # also of the folder "."
    ready = as_images(preprocessing.apply(pixels), dataset)
    return Images(
        pixels=ready.pixels,
        indices=tuple(range(first, first + count)),
        dataset=dataset,
        split=split,
        preprocessing=preprocessing.describe(pixels.dtype == np.uint8),
    )


def read_labels(path: Path) -> NDArray[np.int64]:
    """Read the classes of images: a ``.npy`` of whole numbers, or a text with one a line.

    Raises
    ------
    WorkloadError
        It is missing, or holds something else.
    """
    check_regular(path, WorkloadError, "labels are a file")
    try:
        if path.suffix == ".npy":
            found = np.load(path, allow_pickle=False)
        else:
            found = np.array([int(line) for line in path.read_text("utf-8").split()], np.int64)
    except (ValueError, OSError, EOFError) as error:
        raise WorkloadError(
            f"{path}: not labels: a .npy of whole numbers, or a text with one a line ({error})"
        ) from error
    if found.ndim != 1 or found.dtype.kind not in "iu" or not len(found):
        raise WorkloadError(
            f"{path}: shape is {found.shape}, type {found.dtype}; it must be (N,) whole numbers"
        )
    labels: NDArray[np.int64] = found.astype(np.int64)
    return labels


def _check_count(source: Path, there: int, first: int, count: int) -> None:
    if first + count > there:
        raise WorkloadError(
            f"{source}: holds {there} images; {count} from number {first} on were asked for"
        )


def _read_npy(source: Path) -> NDArray[np.generic]:
    if not source.is_file():
        raise WorkloadError(f"{source}: no such file")
    try:
        array: NDArray[np.generic] = np.load(source, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise WorkloadError(f"{source}: not an array that numpy.save wrote: {error}") from error
    if array.ndim != 4 or array.dtype.kind not in "fiu":
        raise WorkloadError(
            f"{source}: shape is {array.shape}, type {array.dtype}; it must be (N, C, H, W) numbers"
        )
    return array


def _resized(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    if preprocessing.resize is None:
        return pixels
    from PIL import Image

    height, width = preprocessing.resize
    pictures = (Image.fromarray(one.transpose(1, 2, 0)) for one in pixels)
    return np.stack(
        [np.asarray(one.resize((width, height), Image.Resampling.BILINEAR)) for one in pictures]
    ).transpose(0, 3, 1, 2)


def _read_pictures(
    source: Path, first: int, count: int, resize: tuple[int, int] | None
) -> NDArray[np.uint8]:
    if not source.is_dir():
        raise WorkloadError(
            f"{source}: no such folder; --images takes a folder of pictures, a .npy file, or a"
            " folder with CIFAR"
        )
    files = sorted(path for path in source.rglob("*") if path.suffix.lower() in _SUFFIXES)
    _check_count(source, len(files), first, count)
    chosen = files[first : first + count]
    pictures = [_read_picture(path, resize) for path in chosen]
    for path, picture in zip(chosen, pictures, strict=True):
        if picture.shape != pictures[0].shape:
            sizes = ["{1}x{2}".format(*one.shape) for one in (picture, pictures[0])]
            raise WorkloadError(
                f"{path}: is {sizes[0]} pixels, {chosen[0].name} {sizes[1]}; make them equal with"
                " --resize HxW"
            )
    return np.stack(pictures)


def _read_picture(path: Path, resize: tuple[int, int] | None) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes, which are checked here, and of odd metadata
        return _decoded(path, resize)


def _decoded(path: Path, resize: tuple[int, int] | None) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    check_regular(path, WorkloadError, "a picture is a file")
    try:
        with Image.open(path) as picture:
            _check_picture(path, picture.size, picture.mode)
            colours = picture.convert("RGB")
            if resize is not None:
                colours = colours.resize((resize[1], resize[0]), Image.Resampling.BILINEAR)
            return np.asarray(colours).transpose(2, 0, 1)
    except Image.DecompressionBombError as error:
        raise WorkloadError(
            f"{path}: has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; pictures of up to"
            f" {LARGEST_PICTURE:,} are read"
        ) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError) as error:
        reason = " ".join(f"{error}".split()) or type(error).__name__
        raise WorkloadError(f"{path}: not a picture that Pillow reads: {reason}") from error


def _check_picture(path: Path, size: tuple[int, int], mode: str) -> None:
    """Refuse a picture that needs too much memory or would lose its values, before decoding."""
    width, height = size
    if width * height > LARGEST_PICTURE:
        raise WorkloadError(
            f"{path}: is {height}x{width}, {height * width:,} pixels; pictures of up to"
            f" {LARGEST_PICTURE:,} are read"
        )
    if mode == "F" or mode.startswith("I"):
        raise WorkloadError(
            f"{path}: has pixels of more than 8 bits (mode {mode}); write it with 8 bits, or pass"
            " the values as .npy"
        )
