"""Values of a parameter as they are written: lists, ranges, texts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from archonsim.errors import SpecError
from archonsim.spec.load import parse_value

#: ``a..b`` or ``a..b..step`` of whole or decimal numbers.
_RANGE = re.compile(
    r"(?P<first>-?\d[\d._]*?)\.\.(?P<last>-?\d[\d._]*?)(?:\.\.(?P<step>-?\d[\d._]*))?"
)

#: What stands between commas: an array, a quoted text, or anything else.
_PART = re.compile(r"\s*(\[[^\]]*\]|\"[^\"]*\"|'[^']*'|[^,]*)\s*(?:,|$)")

#: Longest range (own decision): a longer one is a slip of the finger.
MOST_VALUES = 100_000

FORMS = "values separated by commas, or a range such as 2..12 or 0.5..2..0.5"


def parse_values(key: str, text: str) -> tuple[Any, ...]:
    """Read ``4,8,16``, ``2..12``, ``8..64..8`` or ``layer,channel``; lists and ranges can be mixed.

    Raises
    ------
    SpecError
        There is no value, or a range is empty.
    """
    values: list[Any] = []
    for part in _split(text):
        if not part:
            raise SpecError(f"--param {key}={text}: a value is missing; write {FORMS}")
        values += _range(key, part) if _RANGE.fullmatch(part) else [parse_value(part)]
    return check_values(key, values)


def check_values(key: str, values: list[Any]) -> tuple[Any, ...]:
    """Refuse no value at all, one value twice, and what is no number."""
    if not values:
        raise SpecError(f"--param {key}: no value; write {FORMS}")
    seen: set[Any] = set()
    for value in values:
        if isinstance(value, float) and not math.isfinite(value):
            raise SpecError(f"--param {key} is {value}; it must be a finite number")
        if isinstance(value, dict) or _holds_nested(value):
            raise SpecError(
                f"--param {key}: {value!r} is a table; a value is a number, a text, true or false,"
                " or a list of such"
            )
        one = tuple(value) if isinstance(value, list) else value
        if one in seen:
            raise SpecError(
                f"--param {key}: {value!r} is there twice; each value makes points of its own, so"
                " name it once"
            )
        seen.add(one)
    return tuple(values)


def _holds_nested(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(
        isinstance(one, list | tuple | dict) for one in value
    )


def plain(value: Any) -> Any:
    """Return a value as it stands in a table: a number, a text.

    ``true`` and lists as they are written.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(str(plain(one)) for one in value) + "]"
    return value


def _split(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:  # something behind a closing bracket or quote
            yield text[at:]
            return
        yield match[1].strip()
        at = match.end()
    if not text or text.endswith(","):
        yield ""


def _range(key: str, text: str) -> list[Any]:
    """List a range, both ends included, exactly: decimal numbers take no rounding errors along."""
    match = _RANGE.fullmatch(text)
    assert match is not None
    try:
        first, last, step = (Decimal(match[name] or "1") for name in ("first", "last", "step"))
    except InvalidOperation as error:
        raise SpecError(f"--param {key}={text}: not a range of numbers; write {FORMS}") from error
    if step == 0 or (last - first) / step < 0:
        raise SpecError(
            f"--param {key}={text}: the range is empty; it must lead from the first number to the"
            " last"
        )
    whole = all(one == one.to_integral_value() for one in (first, step))
    count = int((last - first) / step) + 1
    if count > MOST_VALUES:
        raise SpecError(
            f"--param {key}={text}: {count} values; at most {MOST_VALUES} of one parameter, so take"
            " a larger step"
        )
    return [int(first + at * step) if whole else float(first + at * step) for at in range(count)]
