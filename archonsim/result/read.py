"""Results read back: every file is checked against the type of what it holds.

A file that is no result, or a result that was changed by hand, is refused in one line that
names the file, the field, its value and what would be right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from archonsim.errors import ResultError
from archonsim.user_files import check_regular

Tree = TypeVar("Tree")

#: Largest result file (own decision): a run of FusioNet on 10 000 images takes 400 MB.
MOST_BYTES = 2 << 30
#: Letters of a wrong value that a message shows.
MOST_LETTERS = 60


_ADAPTERS: dict[object, TypeAdapter[Any]] = {}


def _adapter(kind: type[Tree]) -> TypeAdapter[Tree]:
    """Return what checks a type, made when it is first needed."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def read_bytes(path: Path, what: str) -> bytes:
    """Read a whole regular file.

    Parameters
    ----------
    path : Path
    what : str
        What would be right in its place.

    Raises
    ------
    ResultError
        There is no such file, it is none, or it is far too large.
    """
    try:
        size = check_regular(path, ResultError, f"give {what}")
        if size > MOST_BYTES:
            raise ResultError(
                f"{path}: {size} bytes; a result has at most {MOST_BYTES}; give {what}"
            )
        return path.read_bytes()
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}; give {what}") from error


def parse_json(data: bytes, source: str, what: str) -> dict[str, Any]:
    """Return the object that a JSON text holds, without what JSON does not know (NaN, infinities).

    Raises
    ------
    ResultError
        The text is not JSON, or not an object.
    """
    try:
        tree = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else _brief(str(error))
        raise ResultError(f"{source}: not JSON ({reason}); give {what}") from error
    if not isinstance(tree, dict):
        raise ResultError(f"{source}: another kind of file; give {what}")
    return tree


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def check_schema(tree: Mapping[str, Any], schemas: Sequence[int], source: str) -> None:
    """Refuse a form that this version does not read.

    Raises
    ------
    ResultError
        Names the form found, and those that would be right.
    """
    found = tree.get("schema")
    if isinstance(found, bool) or found not in schemas:
        known = " and ".join(map(str, schemas))
        raise ResultError(
            f"{source}: schema is {_brief(repr(found))}, and this version reads {known}; run it"
            " again"
        )


def checked(kind: type[Tree], data: bytes | str, source: str) -> Tree:
    """Read JSON text as the dataclass that it should hold; keys that it does not know are ignored.

    Parameters
    ----------
    kind : type
    data : bytes or str
    source : str
        The file's path, for messages.

    Raises
    ------
    ResultError
        A key is missing, or a value is not what it must be.
    """
    try:
        found = _adapter(kind).validate_json(data, strict=True)
    except ValidationError as error:
        raise ResultError(f"{source}: {_fault(error)}") from error
    except RecursionError as error:
        raise ResultError(f"{source}: nested too deeply") from error
    return found


def from_tree(kind: type[Tree], tree: Mapping[str, Any], source: str) -> Tree:
    """Read plain data, such as ``json.load`` returns them; raises as `checked` does."""
    try:
        text = json.dumps(tree, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultError(f"{source}: not plain data ({_brief(str(error))})") from error
    return checked(kind, text, source)


def _fault(error: ValidationError) -> str:
    """Name the first fault; in a value of several possible types, the fault deepest inside."""
    faults = error.errors(include_url=False)
    first = _where(faults[0]["loc"])
    places = [(one, _where(one["loc"])) for one in faults]
    fault, where = max(
        (pair for pair in reversed(places) if pair[1].startswith(first)),
        key=lambda pair: len(pair[1]),
    )
    if fault["type"] == "missing":
        return f"{where} is missing; the file is damaged, or something else"
    if fault["type"] == "json_invalid":
        return f"not JSON ({_brief(fault['msg'])})"
    rule = fault["msg"].replace("Input should be", "it must be").removeprefix("Value error, ")
    return f"{where or 'the file'} is {_brief(repr(fault['input']))}; {_brief(rule, 200)}"


def _where(location: tuple[int | str, ...]) -> str:
    """Write a place as ``layers[3].stalls.dram``, without the names of alternatives."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not _is_alternative(part):
            text += f".{_brief(part)}" if text else _brief(part)
    return text


def _is_alternative(part: str) -> bool:
    """Whether a part of a place names one of several types that a value may have."""
    return part in ("int", "float", "str", "bool", "none") or part.startswith(
        ("constrained-", "list[", "dict[", "Plain", "nullable", "function-")
    )


def _brief(text: str, letters: int = MOST_LETTERS) -> str:
    """Cut a text to one short line of what can be printed."""
    line = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
    return line if len(line) <= letters else f"{line[: letters - 1]}…"
