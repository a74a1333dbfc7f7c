"""Pickles of numbers, texts and plain containers, read without running anything that a file names.

``pickle.load`` calls whatever function a file names, so a prepared data set could run any program.
Here the only names are those that numpy writes for an array of numbers, and each stands for a
description that is checked before an array is made of it. numpy's own functions are not called:
a prepared description of an array of objects would let them follow forged pointers.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import WorkloadError
from archonsim.user_files import check_regular

#: Types of numbers that arrays may hold, as numpy writes them.
_NUMBERS: Final = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
#: Largest file that is read: the largest of CIFAR has 155 MB.
LARGEST: Final = 1 << 29


class _Forbidden(pickle.UnpicklingError):
    """The file holds something else than numbers, texts and plain containers."""


@dataclass(slots=True)
class _Type:
    """What a file says of an array's type of numbers."""

    code: str
    order: str = "="

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) >= 8):
            raise _Forbidden("an array's type has no description")
        order, parts = _text(state[1]), state[2:5]
        if order not in ("<", ">", "=", "|") or any(one is not None for one in parts):
            raise _Forbidden("an array of records; only arrays of numbers are read")
        self.order = order

    @property
    def numpy(self) -> np.dtype[Any]:
        """The type itself."""
        return np.dtype(self.order + self.code if self.order != "|" else self.code)


def _type(code: object, *_: object) -> _Type:
    name = _text(code)
    if name not in _NUMBERS:
        raise _Forbidden(f"an array of {name!r}; only arrays of numbers are read")
    return _Type(name)


@dataclass(slots=True)
class _Array:
    """An array on its way out of a file."""

    value: NDArray[Any] = field(default_factory=lambda: np.zeros(0, np.uint8))

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) == 5):
            raise _Forbidden("an array has no description")
        _, shape, kind, by_columns, content = state
        self.value = _filled(content, kind, shape, "F" if by_columns else "C")


def _array(*_: object) -> _Array:
    return _Array()


def _array_of_bytes(content: object, kind: object, shape: object, order: object) -> _Array:
    return _Array(_filled(content, kind, shape, _text(order)))


def _filled(content: object, kind: object, shape: object, order: str) -> NDArray[Any]:
    """Return an array of the bytes that the file holds, if they are as many as it says."""
    if not (
        isinstance(kind, _Type)
        and isinstance(content, bytes | bytearray)
        and isinstance(shape, tuple)
        and all(type(size) is int and size >= 0 for size in shape)
        and order in ("C", "F")
    ):
        raise _Forbidden("an array of something else than numbers")
    if math.prod(shape) * kind.numpy.itemsize != len(content):
        raise _Forbidden(f"an array of shape {shape} has {len(content)} bytes")
    flat = np.frombuffer(bytes(content), kind.numpy)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _encoded(text: object, encoding: object = "latin1") -> bytes:
    """Return the bytes that old protocols write as a text of as many characters."""
    if not isinstance(text, str) or _text(encoding) not in ("latin1", "latin-1"):
        raise _Forbidden("bytes that are not written as latin1")
    return text.encode("latin1")


def _no_bytes(*content: object) -> bytes:
    """Return no bytes, which old protocols write as a call."""
    if content:
        raise _Forbidden("bytes that are made of something else")
    return b""


def _text(value: object) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


@dataclass(frozen=True, slots=True)
class _Named:
    """What stands for a name: it can be called, and a file cannot put anything into it."""

    make: Callable[..., object]

    def __call__(self, *arguments: object) -> object:
        return self.make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise _Forbidden("it changes what it names")


_KNOWN: Final = {
    "_reconstruct": _Named(_array),
    "_frombuffer": _Named(_array_of_bytes),
    "dtype": _Named(_type),
    "ndarray": _Named(_array),
}
_BYTES: Final = {
    ("_codecs", "encode"): _Named(_encoded),
    ("builtins", "bytes"): _Named(_no_bytes),
    ("__builtin__", "bytes"): _Named(_no_bytes),
}
_NUMPY: Final = (
    "numpy",
    "numpy.core.multiarray",
    "numpy._core.multiarray",
    "numpy.core.numeric",
    "numpy._core.numeric",
)


class _Reader(pickle._Unpickler):
    """The reader in Python: the one in C allocates whatever number of entries a file claims."""

    def find_class(self, module: str, name: str) -> object:
        """Return what stands for a name; all but numpy's arrays are refused."""
        if module in _NUMPY and name in _KNOWN:
            return _KNOWN[name]
        if (module, name) in _BYTES:
            return _BYTES[module, name]
        raise _Forbidden(
            f"it names {module}.{name}; only numbers, texts, plain containers and numpy arrays are"
            " read"
        )


def load_plain(path: Path) -> object:
    """Read a pickle of numbers, texts, plain containers and numeric arrays.

    Texts of Python 2 become bytes.

    Raises
    ------
    WorkloadError
        The file holds anything else, is damaged, or has more than `LARGEST` bytes.
    """
    try:
        if (size := check_regular(path, WorkloadError, "a pickle is a file")) > LARGEST:
            raise WorkloadError(f"{path}: has {size} bytes; pickles of up to {LARGEST} are read")
        with path.open("rb") as file:
            return _plain(_Reader(file, encoding="bytes").load())
    except WorkloadError:
        raise
    except Exception as error:  # a damaged pickle raises almost anything
        reason = " ".join(f"{error}".split()) or type(error).__name__
        raise WorkloadError(f"{path}: not a pickle of plain data: {reason}") from error


def _plain(value: object) -> object:
    """Put arrays in the place of what stands for them, one level deep: CIFAR is one dictionary."""
    if isinstance(value, dict):
        return {name: one.value if isinstance(one, _Array) else one for name, one in value.items()}
    return value.value if isinstance(value, _Array) else value
