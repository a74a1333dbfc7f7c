"""A call of an operator, as every frontend hands it over, and what errors of libraries say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text that says something, or its type."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One call of an operator as a frontend found it.

    Attributes
    ----------
    name, label : str
    operator : str
        As the framework calls it.
    inputs : tuple of str
        Values that it reads, constants apart.
    shape : tuple of int
        Of its result.
    arguments : mapping
        Constant arguments: arrays, numbers, tuples; ``padding`` as (top, bottom, left, right), a
        number, a pair or a word; ``pad`` as PyTorch writes it, (before, after) of the last axis
        first.
    unchanged : bool
        Its result was, to the bit, the one value that it reads, in a type no narrower than float32.
    hidden : bool
        It reads values that are no floating-point numbers and depend on the image.
    """

    name: str
    label: str
    operator: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    arguments: Mapping[str, Any]
    unchanged: bool = False
    hidden: bool = False
