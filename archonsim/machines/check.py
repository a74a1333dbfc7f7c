"""Whether what a plug-in registers is a machine: asked once, when it is loaded.

A plug-in is written elsewhere, for another version perhaps: what it lacks is said in one line here,
and not in a traceback of the command that first needs it.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

from archonsim.errors import SpecError
from archonsim.machines.protocol import Fusing, Machine
from archonsim.spec.load import resolve
from archonsim.spec.parts import DramSpec
from archonsim.vocabulary.vocabulary import Vocabulary

_TEXTS = ("name", "summary", "preset")
_LISTS = ("includes", "excludes", "ideal_includes", "ideal_excludes")

#: Methods, and the names of what they are called with, in order.
_METHODS = {
    "ideal": ("workload", "spec"),
    "prepare": ("workload", "spec"),
    "resources": ("spec",),
    "steps": ("workload",),
}

_FUSING = {
    "estimate_fused": ("block", "spec", "densities"),
    "estimate_plain": ("workload", "block", "spec"),
}


def check_machine(name: str, found: Any) -> Machine:
    """Return what is registered as `name`, if it is a machine.

    Raises
    ------
    SpecError
        One line that names the plug-in and what it lacks.
    """
    try:
        _check_members(name, found)
        _check_vocabulary(found)
        _check_preset(found)
    except SpecError as error:
        raise SpecError(f"architecture {name!r}: {error}") from error
    machine: Machine = found
    return machine


def _check_members(name: str, found: Any) -> None:
    if isinstance(found, type):
        raise SpecError(
            f"the entry point is the class {found.__name__}; it must be an object of it"
        )
    missing = [one for one in (*_TEXTS, "spec_type", *_LISTS, *_METHODS) if not hasattr(found, one)]
    if missing:
        raise SpecError(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    for one in _TEXTS:
        if not isinstance(value := getattr(found, one), str):
            raise SpecError(f"{one} is {value!r}; it must be a text")
    if found.name != name:
        raise SpecError(f"name is {found.name!r}; it must be the name that it is registered as")
    for one in _LISTS:
        value = getattr(found, one)
        if not isinstance(value, tuple) or not all(isinstance(line, str) for line in value):
            raise SpecError(f"{one} is {value!r}; it must be a tuple of texts")
    if not (isinstance(found.spec_type, type) and dataclasses.is_dataclass(found.spec_type)):
        raise SpecError(f"spec_type is {found.spec_type!r}; it must be a dataclass")
    wanted = _METHODS | (_FUSING if isinstance(found, Fusing) else {})
    for one, parameters in wanted.items():
        check_call(one, getattr(found, one), parameters)


def check_call(name: str, method: Any, parameters: tuple[str, ...]) -> None:
    """Refuse what cannot be called with so many arguments by place."""
    if not callable(method):
        raise SpecError(f"{name} is {method!r}; it must be a method")
    try:
        signature(method).bind(*parameters)
    except TypeError as error:
        raise SpecError(
            f"{name} takes {signature(method)}; it must take ({', '.join(parameters)})"
        ) from error
    except ValueError:  # a callable without a signature: found out when it is called
        return


def takes_observer(run: Callable[..., Any]) -> bool:
    """Whether a simulation's `run` can be watched."""
    parameters = signature(run).parameters.values()
    return any(one.name == "observer" or one.kind is Parameter.VAR_KEYWORD for one in parameters)


def _check_vocabulary(found: Any) -> None:
    words = getattr(found, "vocabulary", Vocabulary())
    if not isinstance(words, Vocabulary):
        raise SpecError(f"vocabulary is {words!r}; it must be a Vocabulary")
    words.check()


def _check_preset(found: Any) -> None:
    try:
        table = tomllib.loads(found.preset)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"preset is no TOML: {error}") from error
    try:
        spec: Any = resolve(found.spec_type, table, None, ())
    except SpecError as error:
        raise SpecError(f"preset: {error}") from error
    clock = getattr(spec, "clock_mhz", None)
    if isinstance(clock, bool) or not isinstance(clock, int | float):
        raise SpecError(f"the description's clock_mhz is {clock!r}; it must be a number of MHz")
    if not isinstance(getattr(spec, "dram", None), DramSpec):
        raise SpecError(
            f"the description's dram is {getattr(spec, 'dram', None)!r}; it must be a DramSpec"
        )


def array_of(spec: Any) -> tuple[int, int] | None:
    """Return rows and columns of a description's PEs; None without ``pe.rows`` and ``pe.cols``."""
    array = getattr(spec, "pe", None)
    rows, cols = getattr(array, "rows", None), getattr(array, "cols", None)
    return (rows, cols) if isinstance(rows, int) and isinstance(cols, int) else None
