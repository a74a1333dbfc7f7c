"""From a preset, a TOML file and ``--set`` to a machine's description; every fault is one line."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

from archonsim.errors import SpecError, nearest
from archonsim.spec.effect import idle_keys
from archonsim.user_files import read_user_text

Spec = TypeVar("Spec")
Table = dict[str, Any]

#: Changes of a description: texts such as ``"pe.adders=4"``, or dotted keys with their values.
Overrides = Sequence[str] | Mapping[str, Any]


def known_keys(spec_type: Any, prefix: str = "") -> list[str]:
    """Return all dotted keys of a description, e.g. ``pe.adders``."""
    keys: list[str] = []
    hints = get_type_hints(spec_type)
    for field in dataclasses.fields(spec_type):
        inner = hints[field.name]
        if dataclasses.is_dataclass(inner):
            keys += known_keys(inner, f"{prefix}{field.name}.")
        else:
            keys.append(prefix + field.name)
    return keys


def read_toml(path: Path) -> Table:
    """Read a TOML file.

    Raises
    ------
    SpecError
        The file is missing, not readable or not TOML.
    """
    text = read_user_text(path, SpecError, "a description is a TOML file")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise SpecError(f"{path}: not a TOML file: nested too deeply") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not a TOML file: {error}") from error
    except ValueError as error:  # an integer of more digits than Python reads
        raise SpecError(f"{path}: not a TOML file: {str(error).partition(';')[0]}") from error


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``pe.adders=4`` into key and value; a value that is not TOML is taken as a string.

    Raises
    ------
    SpecError
        There is no ``=``.
    """
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not key or not value:
        raise SpecError(f"--set {text!r}: write KEY=VALUE, for example --set pe.adders=4")
    return key, parse_value(value)


def override_pairs(overrides: Overrides) -> dict[str, Any]:
    """Return changes as dotted keys with their values; of one key given twice, the last counts."""
    return (
        dict(overrides)
        if isinstance(overrides, Mapping)
        else dict(parse_override(text) for text in overrides)
    )


def parse_value(text: str) -> Any:
    """Read a TOML value; what is none is taken as a string."""
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except (RecursionError, ValueError) as error:
        shown = text if len(text) < 40 else f"{text[:40]}..."
        raise SpecError(f"{shown!r} is no value: too many digits, or nested too deeply") from error
    return read["value"] if len(read) == 1 else text  # more where lines follow that are TOML, too


#: Faults of a value that is of the right type, yet makes no possible machine.
_RANGE_FAULTS = (
    "greater_than",
    "greater_than_equal",
    "less_than",
    "less_than_equal",
    "finite_number",
)


@cache
def _whole(spec_type: Any) -> TypeAdapter[Any]:
    """Return what checks a description: its schema is made once, for all parts together."""
    return TypeAdapter(spec_type)


@cache
def _adapter(spec_type: Any, key: str) -> TypeAdapter[Any]:
    """Return what checks the values of a key, made once: a sweep may have 100 000 of them."""
    hint: Any = spec_type
    for part in key.split("."):
        hint = get_type_hints(hint, include_extras=True)[part]
    return TypeAdapter(hint)


def check_type(spec_type: Any, key: str, value: Any, where: str) -> None:
    """Refuse a value that its key's type rules out whatever the machine is.

    Its range is the machine's business.

    Raises
    ------
    SpecError
        Says `where`, the value, and what it must be.
    """
    try:
        _adapter(spec_type, key).validate_python(value)
    except ValidationError as error:
        faults = [fault for fault in error.errors() if fault["type"] not in _RANGE_FAULTS]
        if faults:
            rule = faults[0]["msg"].replace("Input should be", "it must be")
            raise SpecError(f"{where} is {value!r}; {rule}") from error


def _put(table: Table, key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            return
        table = inner
    table[last] = value


def _merge(below: Table, above: Table) -> Table:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = (
            _merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
        )
    return merged


def resolve(
    spec_type: type[Spec],
    preset: Table,
    config: Path | None,
    overrides: Overrides,
    *,
    varied: Collection[str] = (),
) -> Spec:
    """Merge preset < file < overrides and check the result.

    Parameters
    ----------
    spec_type : type
    preset : dict
    config : Path or None
    overrides : Overrides
    varied : collection of dotted keys
        Keys that a sweep varies: what counts only with some of their values may stand beside all.

    Raises
    ------
    SpecError
        Unknown or ill-typed keys, an impossible machine, or a key that has no effect in it: one
        line for each, which names the preset, file or change that the value comes from.
    """
    pairs = override_pairs(overrides)
    known = known_keys(spec_type)
    for key in pairs:
        if key not in known:
            raise SpecError(f"--set {key}: unknown key{nearest(key, known)}")
    over: Table = {}
    for key, value in pairs.items():
        _put(over, key, value)
    file = {} if config is None else read_toml(config)
    sources = _Sources(list(pairs), str(config), [*_keys(file)])
    try:
        whole: TypeAdapter[Spec] = _whole(cast(Any, spec_type))
        spec = whole.validate_python(_merge(_merge(preset, file), over))
    except ValidationError as error:
        raise SpecError("\n".join(_lines(error, sources, known))) from error
    idle = {key: one for key, one in idle_keys(spec).items() if one.governor not in varied}
    lines = [
        f"--set {idle[key]}"
        for key, value in pairs.items()
        if key in idle and value != idle[key].harmless
    ]
    # A file that also says what governs a key is taken as it is: a whole description, as `archs`
    # prints it, may be laid under a change of the governor.
    given, before = dict(flat_items(file)), dict(flat_items(preset))
    lines += [
        f"{config}: {one}"
        for key, one in idle.items()
        if key in given
        and key not in pairs
        and one.governor not in given
        and given[key] != one.harmless
        and given[key] != before.get(key, _default(spec_type, key))
    ]
    if lines:
        raise SpecError("\n".join(lines))
    return spec


def _default(spec_type: Any, key: str) -> object:
    """Return what a key is where no preset says it."""
    *path, last = key.split(".")
    for name in path:
        spec_type = get_type_hints(spec_type)[name]
    return {field.name: field.default for field in dataclasses.fields(spec_type)}[last]


@dataclasses.dataclass(frozen=True, slots=True)
class _Sources:
    """Which keys changes set, and which a file holds; all others are the preset's.

    Attributes
    ----------
    changed : list of str
    file : str
    held : list of str
    """

    changed: list[str]
    file: str
    held: list[str]

    def of_value(self, key: str) -> str:
        """Say where one value stands."""
        if any(_within(key, one) for one in self.changed):
            return f"--set {key}"
        held = any(_within(key, one) or _within(one, key) for one in self.held)
        return f"{self.file if held else 'preset'}: {key}"

    def of_rule(self, part: str, rule: str) -> str:
        """Say where the values stand that break a rule about several keys of one part.

        Those are to blame that the rule names and that the user gave: changes first.
        """
        named = set(re.findall(r"\w+", rule))

        def guilty(keys: Iterable[str]) -> list[str]:
            below = [key for key in keys if not part or _within(key, part)]
            return [key for key in below if key.rpartition(".")[2] in named]

        if changed := guilty(self.changed):
            return " ".join(f"--set {key}" for key in changed)
        source = self.file if guilty(self.held) else "preset"
        return f"{source}: {part}" if part else source


def _within(key: str, part: str) -> bool:
    return key == part or key.startswith(f"{part}.")


def _lines(error: ValidationError, sources: _Sources, known: Sequence[str]) -> list[str]:
    """Turn each fault into one line: where it stands, the value, the rule."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        where = sources.of_value(key)
        if fault["type"] == "unexpected_keyword_argument":
            sections = {known_key.rpartition(".")[0] for known_key in known} - {""}
            lines.append(f"{where}: unknown key{nearest(key, [*known, *sections])}")
        elif fault["type"] == "value_error":
            rule = str(fault["ctx"]["error"])
            at = where if key in known else sources.of_rule(key, rule)
            lines.append(f"{at}: {rule}")
        elif fault["type"] == "missing":
            lines.append(f"{where}: missing; the machine needs it")
        else:
            rule = fault["msg"].replace("Input should be", "it must be")
            lines.append(f"{where} is {fault['input']!r}; {rule}")
    return lines


def to_table(spec: Any) -> Table:
    """Return a description as nested plain data, as it would stand in a TOML file."""
    return dataclasses.asdict(spec)


def _keys(table: Table, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of a nested table's entries, and of tables that have none."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def flat_items(table: Table, prefix: str = "") -> list[tuple[str, Any]]:
    """Return a nested table's entries by dotted key."""
    pairs: list[tuple[str, Any]] = []
    for key, value in table.items():
        pairs += (
            flat_items(value, f"{prefix}{key}.")
            if isinstance(value, dict)
            else [(prefix + key, value)]
        )
    return pairs


#: What TOML escapes beyond what JSON does.
_DELETE = {0x7F: "\\u007F"}


def _toml_text(text: str) -> str:
    """Write a basic string: JSON's escapes are TOML's."""
    return json.dumps(text, ensure_ascii=False).translate(_DELETE)


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_text(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _toml_text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    return str(value)


def to_toml(table: Table, prefix: str = "") -> str:
    """Write nested plain data as TOML, which reads back as the same data."""
    lines, inner = [], []
    for key, value in table.items():
        name = _toml_key(key)
        if isinstance(value, dict):
            inner.append(f"\n[{prefix}{name}]\n{to_toml(value, f'{prefix}{name}.')}")
        elif value is None:
            continue  # TOML has no word for what is not given
        else:
            lines.append(f"{name} = {_toml_value(value)}\n")
    return "".join(lines + inner)
