"""Tables that ship with the package and that users may replace with a TOML file of their own."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from archonsim.errors import SpecError, nearest
from archonsim.spec.load import read_toml

Part = TypeVar("Part")


def shipped_names(folder: str) -> list[str]:
    """Names of the tables in ``archonsim/data/<folder>``, sorted."""
    entries = (resources.files("archonsim") / "data" / folder).iterdir()
    return sorted(
        entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml")
    )


def load_shipped(part: type[Part], folder: str, name: str, what: str) -> Part:
    """Return a shipped table by name, or read one from a TOML file (``name`` ends in ``.toml``).

    Parameters
    ----------
    part : pydantic dataclass
    folder : str
        Below ``archonsim/data``.
    name : str
    what : str
        What to call it in errors.

    Raises
    ------
    SpecError
        No such table, or one that is malformed.
    """
    table: dict[str, Any]
    if name.endswith(".toml"):
        table = read_toml(Path(name))
    else:
        names = shipped_names(folder)
        if name not in names:
            raise SpecError(f"unknown {what} {name!r}{nearest(name, names)}")
        table = tomllib.loads(
            (resources.files("archonsim") / "data" / folder / f"{name}.toml").read_text("utf-8")
        )
    try:
        return TypeAdapter(part).validate_python(table)
    except ValidationError as error:
        raise SpecError(f"{what} {name}: {_fault(error)}") from error


def _fault(error: ValidationError) -> str:
    """Say where the first fault stands, its value and the rule."""
    fault = error.errors()[0]
    field = ".".join(map(str, fault["loc"]))
    if fault["type"] == "value_error":
        return ": ".join(filter(None, (field, str(fault["ctx"]["error"]))))
    if fault["type"] == "missing":
        return f"{field} is missing"
    if fault["type"] == "unexpected_keyword_argument":
        return f"{field}: unknown key"
    return f"{field} is {fault['input']!r}; {fault['msg'].replace('Input should be', 'it must be')}"
