"""Keys of a description that count only while another key has certain values.

A description declares them as a class variable ``needs``: key, then the key that governs it, both
as written inside that description, and the values with which it counts. A description may also have
``means_nothing``: key, and the value that says what the machine does while the key does not count,
so that it may be given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

#: Key to (governing key, values with which the key counts).
Needs = Mapping[str, tuple[str, tuple[object, ...]]]


@dataclasses.dataclass(frozen=True, slots=True)
class Idle:
    """A key that has no effect in one description.

    Attributes
    ----------
    key, governor : str
        Dotted keys.
    value : object
        What the governor is.
    counts_with : tuple
        What it would have to be.
    harmless : object
        Value of the key that contradicts nothing; None if there is none.
    """

    key: str
    governor: str
    value: object
    counts_with: tuple[object, ...]
    harmless: object = None

    def __str__(self) -> str:
        wanted = " or ".join(f"{self.governor}={_plain(one)}" for one in self.counts_with)
        return (
            f"{self.key} has no effect while {self.governor} is {_plain(self.value)}; it counts"
            f" with {wanted}"
        )


def idle_keys(spec: Any) -> dict[str, Idle]:
    """Return all keys of a description that have no effect in it."""
    return {one.key: one for one in _idle(spec, "")}


def _idle(part: Any, prefix: str) -> Iterator[Idle]:
    needs: Needs = getattr(part, "needs", {})
    for key, (governor, values) in needs.items():
        value = _value(part, governor)
        if value not in values:
            harmless = getattr(part, "means_nothing", {}).get(key)
            yield Idle(prefix + key, prefix + governor, value, values, harmless)
    for field in dataclasses.fields(part):
        inner = getattr(part, field.name)
        if dataclasses.is_dataclass(inner):
            yield from _idle(inner, f"{prefix}{field.name}.")


def _value(part: Any, key: str) -> object:
    for name in key.split("."):
        part = getattr(part, name)
    return part


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
