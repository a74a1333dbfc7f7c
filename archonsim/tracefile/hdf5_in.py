"""Typed, checked access to a workload file.

Whatever is wrong comes out as one line that names the file and the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5o, h5s
from numpy.typing import NDArray

from archonsim.errors import UserError, WorkloadError
from archonsim.user_files import check_regular

Choice = TypeVar("Choice", bound=str)
Part = TypeVar("Part")
#: A dataset of more bytes than this must hold at least one byte for so many (own decision): gzip
#: makes 1000 zeros one byte, and pruned weights take a tenth of their size.
FREE_BYTES, MOST_COMPRESSED = 64 * 2**20, 100
#: Files up to this size are read whole, once, and stay open in memory (own decision): a network's
#: tensors are hundreds of small datasets, each of them a handful of reads. Larger ones are opened
#: for each part.
WHOLE_BYTES = 64 * 2**20
#: Bytes of parts of one such file that are kept once they are read and checked (own decision).
KEPT_BYTES = 256 * 2**20
#: Files that stay open; one run has one, a comparison of networks a few.
OPEN_FILES = 4
#: What the HDF5 library says of a file that another process has open, by its mark or by its lock.
_IN_USE = ("already open for write", "unable to lock file")


@dataclass(slots=True)
class _Whole:
    """A file in memory, and parts of it.

    Attributes
    ----------
    file : h5py's identifier
    parts : dict
        What has been read and checked, `bytes` in all.
    latest : dict
        Of what there is one of for each image, the latest image and its part.
    nodes : dict of path to Node
        Groups and datasets that have been opened: opening one takes as long as reading a small one.
    """

    file: h5f.FileID
    parts: dict[Hashable, object] = field(default_factory=dict)
    bytes: int = 0
    latest: dict[Hashable, tuple[int, object]] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)


@lru_cache(maxsize=OPEN_FILES)
def _whole(path: Path, identity: tuple[int, ...]) -> _Whole:
    """Read a file; one that has been changed since has another identity.

    It is opened as it lies, too: only so does the HDF5 library say what is wrong with it, and
    respect the locks and marks of processes that write.
    """
    with h5py.File(path, "r", locking=False):
        return _Whole(h5f.open_file_image(path.read_bytes()))


@contextmanager
def _opened(path: Path) -> Iterator[_Whole]:
    status = path.stat()
    if status.st_size <= WHOLE_BYTES:
        yield _whole(
            path.absolute(),
            (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size),
        )
    else:
        with h5py.File(path, "r", locking=False) as file:
            yield _Whole(file.id)


@contextmanager
def open_file(path: Path) -> Iterator[Root]:
    """Open a file for reading and name it in every error that comes out of the block.

    The HDF5 library reports damage as almost any built-in exception, so all of them are turned into
    :class:`~archonsim.errors.WorkloadError` here.
    """
    _check_is_hdf5(path)
    try:
        with _opened(path) as whole:
            yield Root(whole)
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

    def __init__(self, h5: h5g.GroupID | h5d.DatasetID, where: str, whole: _Whole) -> None:
        self._h5, self._where, self._whole = h5, where, whole
        self._attributes: dict[str, NDArray[np.generic]] = {}

    def error(self, what: str) -> WorkloadError:
        """Return an error about this node."""
        return WorkloadError(f"{self._where}: {what}" if self._where else what)

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._h5

    def has(self, attribute: str) -> bool:
        """Whether an attribute is there."""
        return bool(h5a.exists(self._h5, attribute.encode()))

    def _within(self, name: str) -> Node | None:
        """Return a group or dataset within this one, opened once; None where there is none."""
        where = f"{self._where}/{name}".lstrip("/")
        if where not in self._whole.nodes:
            try:
                found = h5o.open(self._h5, name.encode())
            except KeyError:
                return None
            if isinstance(found, h5d.DatasetID):
                self._whole.nodes[where] = Dataset(found, where, self._whole)
            elif isinstance(found, h5g.GroupID):
                self._whole.nodes[where] = Node(found, where, self._whole)
            else:
                return None
        return self._whole.nodes[where]

    def group(self, name: str) -> Node:
        """Return a group within this one."""
        node = self._within(name)
        if node is None or isinstance(node, Dataset):
            raise self.error(f"group {name!r} is missing or damaged")
        return node

    def dataset(self, name: str, shape: tuple[int, ...], types: tuple[str, ...]) -> Dataset:
        """Return a dataset of the given shape and one of the given types (numpy names)."""
        node = self._within(name)
        if not isinstance(node, Dataset):
            raise self.error(f"dataset {name!r} is missing or damaged")
        if node.shape != shape:
            raise self.error(f"{name} has shape {node.shape}; it must be {shape}")
        if node.dtype.name not in types:
            raise self.error(f"{name} has type {node.dtype}; it must be {' or '.join(types)}")
        return node

    def dataset_bytes(self) -> dict[str, int]:
        """Return the bytes that each dataset below takes in the file.

        One of two links to a dataset counts.
        """
        sizes: dict[str, int] = {}

        def visit(name: bytes) -> None:
            node = h5o.open(self._h5, name)
            if isinstance(node, h5d.DatasetID):
                sizes[name.decode("utf-8", "replace")] = int(node.get_storage_size())

        h5o.visit(self._h5, visit)
        return sizes

    def _attribute(self, name: str) -> NDArray[np.generic]:
        if name not in self._attributes:
            self._attributes[name] = self._read_attribute(name)
        return self._attributes[name]

    def _read_attribute(self, name: str) -> NDArray[np.generic]:
        try:
            attribute = h5a.open(self._h5, name.encode())
        except KeyError:
            raise self.error(f"attribute {name!r} is missing") from None
        dtype, space = attribute.dtype, attribute.get_space()
        # As no writer of ours makes them:
        if dtype.kind not in "biufcS" or space.get_simple_extent_type() == h5s.NULL:
            kind = h5py.Dataset if isinstance(self._h5, h5d.DatasetID) else h5py.Group
            return np.asarray(kind(self._h5).attrs[name])
        value = np.empty(space.shape, dtype)
        attribute.read(value)
        return value

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

    def numbers(self, name: str, count: int) -> tuple[float, ...]:
        """Return an attribute of `count` numbers."""
        value = self._attribute(name)
        if value.shape != (count,) or value.dtype.kind not in "biuf":
            raise self.error(f"{name} is {value.tolist()!r}; it must be {count} numbers")
        return tuple(float(one) for one in value)

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


class Root(Node):
    """The root of a file, with parts of it that have been read and checked."""

    def __init__(self, whole: _Whole) -> None:
        super().__init__(h5g.open(whole.file, b"/"), "", whole)

    def kept(self, key: Hashable, read: Callable[[], Part], size: Callable[[Part], int]) -> Part:
        """Return a part, read unless it has been since the file was opened.

        Parameters
        ----------
        key : hashable
        read : function
            Reads and checks the part.
        size : function of the part
            Its bytes; with too many in all it is not kept.
        """
        whole = self._whole
        if key not in whole.parts:
            part = read()
            if whole.bytes + size(part) > KEPT_BYTES:
                return part
            whole.bytes += size(part)
            whole.parts[key] = part
        return whole.parts[key]  # type: ignore[return-value]

    def of_image(self, key: Hashable, image: int, read: Callable[[], Part]) -> Part:
        """Return an image's part, read unless the latest one under this key was of that image.

        One is kept, however many images a run has: for the next machine, or point of a sweep.
        """
        known = self._whole.latest.get(key)
        if known is None or known[0] != image:
            known = self._whole.latest[key] = image, read()
        return known[1]  # type: ignore[return-value]


class Dataset(Node):
    """A dataset.

    Attributes
    ----------
    shape : tuple of int, or None where it has none
    dtype : numpy's
    """

    def __init__(self, h5: h5d.DatasetID, where: str, whole: _Whole) -> None:
        super().__init__(h5, where, whole)
        self.shape: tuple[int, ...] = h5.shape
        self.dtype: np.dtype[np.generic] = h5.dtype

    def raw(self, image: int | None = None) -> NDArray[np.generic]:
        """Read as stored: all of it, or one image.

        Raises
        ------
        WorkloadError
            The file holds far less than it declares, so that reading would fill memory with
            nothing.
        """
        shape = self.shape if image is None else (1, *self.shape[1:])
        size, stored = math.prod(shape) * self.dtype.itemsize, int(self._h5.get_storage_size())
        if size > FREE_BYTES and size > MOST_COMPRESSED * stored:
            raise self.error(
                f"declares {size} bytes to read and holds {stored}; no network's weights or masks"
                " compress so well"
            )
        values: NDArray[np.generic] = np.empty(shape, self.dtype)
        if image is None:
            self._h5.read(h5s.ALL, h5s.ALL, values)
            return values
        space = self._h5.get_space()
        space.select_hyperslab((image, *(0 for _ in shape[1:])), shape)
        self._h5.read(h5s.create_simple(shape), space, values)
        return values.reshape(shape[1:])

    def floats(self, image: int | None = None) -> NDArray[np.float32]:
        """Read as float32: all of it, or one image."""
        return self.raw(image).astype(np.float32)

    def bits(self, image: int) -> NDArray[np.uint8]:
        """Read one image of packed bits."""
        return self.raw(image).astype(np.uint8)

    def ternary(self) -> NDArray[np.int8]:
        """Read ternary weights."""
        return self.raw().astype(np.int8)
