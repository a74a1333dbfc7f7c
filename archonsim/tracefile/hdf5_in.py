"""Typed, checked access to a workload file.

Whatever is wrong comes out as one line that names the file and the place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from archonsim.errors import UserError, WorkloadError
from archonsim.user_files import check_regular

Choice = TypeVar("Choice", bound=str)
#: A dataset of more bytes than this must hold at least one byte for so many (own decision): gzip
#: makes 1000 zeros one byte, and pruned weights take a tenth of their size.
FREE_BYTES, MOST_COMPRESSED = 64 * 2**20, 100
#: What the HDF5 library says of a file that another process has open, by its mark or by its lock.
_IN_USE = ("already open for write", "unable to lock file")


@contextmanager
def open_file(path: Path) -> Iterator[Node]:
    """Open a file for reading and name it in every error that comes out of the block.

    The HDF5 library reports damage as almost any built-in exception, so all of them are turned into
    :class:`~archonsim.errors.WorkloadError` here.
    """
    _check_is_hdf5(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield Node(file, "")
    except WorkloadError as error:
        raise WorkloadError(f"{path}: {error}") from error.__cause__
    except UserError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if any(sign in str(error) for sign in _IN_USE):
            raise WorkloadError(
                f"{path}: is open for writing in another process: close it there and try again"
                " (a mark that a killed process left is removed by `h5clear -s`)"
            ) from error
        raise WorkloadError(f"{path}: damaged: {reason}; export it again") from error


def _check_is_hdf5(path: Path) -> None:
    if not path.exists():
        raise WorkloadError(f"{path}: no such file")
    check_regular(path, WorkloadError, "a workload is an HDF5 file")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise WorkloadError(f"{path}: cannot be read: {error.strerror or error}") from error
    if start != b"\x89HDF\r\n\x1a\n":
        raise WorkloadError(f"{path}: is not an HDF5 file; `archonsim export` writes workloads")


class Node:
    """A group of the file with typed getters."""

    def __init__(self, h5: h5py.Group | h5py.Dataset, where: str) -> None:
        self._h5, self._where = h5, where

    def error(self, what: str) -> WorkloadError:
        """Return an error about this node."""
        return WorkloadError(f"{self._where}: {what}" if self._where else what)

    def __contains__(self, name: str) -> bool:
        return name in self._h5

    def has(self, attribute: str) -> bool:
        """Whether an attribute is there."""
        return attribute in self._h5.attrs

    def group(self, name: str) -> Node:
        """Return a group within this one."""
        node = self._h5.get(name)
        if not isinstance(node, h5py.Group):
            raise self.error(f"group {name!r} is missing or damaged")
        return Node(node, f"{self._where}/{name}".lstrip("/"))

    def dataset(self, name: str, shape: tuple[int, ...], types: tuple[str, ...]) -> Dataset:
        """Return a dataset of the given shape and one of the given types (numpy names)."""
        node = self._h5.get(name)
        if not isinstance(node, h5py.Dataset):
            raise self.error(f"dataset {name!r} is missing or damaged")
        if node.shape != shape:
            raise self.error(f"{name} has shape {node.shape}; it must be {shape}")
        if node.dtype.name not in types:
            raise self.error(f"{name} has type {node.dtype}; it must be {' or '.join(types)}")
        return Dataset(node, f"{self._where}/{name}".lstrip("/"))

    def dataset_bytes(self) -> dict[str, int]:
        """Return the bytes that each dataset below takes in the file.

        One of two links to a dataset counts.
        """
        sizes: dict[str, int] = {}

        def visit(name: str, node: h5py.Group | h5py.Dataset) -> None:
            if isinstance(node, h5py.Dataset):
                sizes[name] = int(node.id.get_storage_size())

        self._h5.visititems(visit)
        return sizes

    def _attribute(self, name: str) -> NDArray[np.generic]:
        if name not in self._h5.attrs:
            raise self.error(f"attribute {name!r} is missing")
        return np.asarray(self._h5.attrs[name])

    def integer(self, name: str) -> int:
        """Return an integer attribute."""
        value = self._attribute(name)
        if value.ndim or not np.issubdtype(value.dtype, np.integer):
            raise self.error(f"{name} is {value.tolist()!r}; it must be an integer")
        return int(value)

    def integers(self, name: str, count: int) -> tuple[int, ...]:
        """Return an attribute of `count` integers."""
        value = self._attribute(name)
        if value.shape != (count,) or not np.issubdtype(value.dtype, np.integer):
            raise self.error(f"{name} is {value.tolist()!r}; it must be {count} integers")
        return tuple(int(one) for one in value)

    def number(self, name: str) -> float:
        """Return a numeric attribute."""
        value = self._attribute(name)
        if value.ndim or not np.issubdtype(value.dtype, np.number) or np.iscomplexobj(value):
            raise self.error(f"{name} is {value.tolist()!r}; it must be a number")
        return float(value)

    def boolean(self, name: str) -> bool:
        """Return a boolean attribute."""
        value = self._attribute(name)
        if value.ndim or value.dtype != np.bool_:
            raise self.error(f"{name} is {value.tolist()!r}; it must be true or false")
        return bool(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return an attribute that is a list of texts."""
        value = self._attribute(name)
        if value.ndim != 1:
            raise self.error(f"{name} is {value.tolist()!r}; it must be a list of texts")
        return tuple(self._decoded(name, one) for one in value.tolist())

    def text(self, name: str) -> str:
        """Return a text attribute."""
        return self._decoded(name, self._attribute(name).tolist())

    def _decoded(self, name: str, value: object) -> str:
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if not isinstance(value, str):
            raise self.error(f"{name} is {value!r}; it must be text")
        return value

    def choice(self, name: str, allowed: tuple[Choice, ...]) -> Choice:
        """Return a text attribute that must be one of the given ones."""
        value = self.text(name)
        if value not in allowed:
            raise self.error(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
        return value


class Dataset(Node):
    """A dataset whose shape and type have been checked."""

    def raw(self, image: int | None = None) -> NDArray[np.generic]:
        """Read as stored: all of it, or one image.

        Raises
        ------
        WorkloadError
            The file holds far less than it declares, so that reading would fill memory with
            nothing.
        """
        whole, stored = int(self._h5.nbytes), int(self._h5.id.get_storage_size())
        size = whole if image is None else whole // max(1, self._h5.shape[0])
        if size > FREE_BYTES and size > MOST_COMPRESSED * stored:
            raise self.error(
                f"declares {size} bytes to read and holds {stored}; no network's weights or masks"
                " compress so well"
            )
        return np.asarray(self._h5[...] if image is None else self._h5[image])

    def floats(self, image: int | None = None) -> NDArray[np.float32]:
        """Read as float32: all of it, or one image."""
        return self.raw(image).astype(np.float32)

    def bits(self, image: int) -> NDArray[np.uint8]:
        """Read one image of packed bits."""
        return self.raw(image).astype(np.uint8)

    def ternary(self) -> NDArray[np.int8]:
        """Read ternary weights."""
        return self.raw().astype(np.int8)
