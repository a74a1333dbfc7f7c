"""Machines by name: entry points of the group ``archonsim.machines``."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from archonsim.errors import SpecError, nearest
from archonsim.machines.check import check_machine
from archonsim.machines.protocol import Fusing, Machine
from archonsim.plugins import MACHINES, load_plugin, plugin_names
from archonsim.spec.load import Overrides, override_pairs, resolve
from archonsim.vocabulary.vocabulary import COMMON, Vocabulary


def words_of(machine: Machine) -> Vocabulary:
    """Return the words that a machine may use: the common ones, and its own."""
    return COMMON | getattr(machine, "vocabulary", Vocabulary())


def machine_names() -> list[str]:
    """Return the names of all registered machines, sorted."""
    return plugin_names(MACHINES)


def machine(name: str) -> Machine:
    """Return a registered machine.

    Raises
    ------
    SpecError
        No machine of that name is registered, or its plug-in does not load, or is no machine.
    """
    if name not in machine_names():
        raise SpecError(f"unknown architecture {name!r}{nearest(name, machine_names())}")
    return _loaded(name)


def fusing_names() -> list[str]:
    """Return the names of registered machines that fuse blocks, as far as they load."""
    found = []
    for name in machine_names():
        with contextlib.suppress(SpecError):
            found += [name] if isinstance(machine(name), Fusing) else []
    return found


@cache
def _loaded(name: str) -> Machine:
    return check_machine(name, load_plugin(MACHINES, name))


def machine_spec(
    found: Machine,
    config: Path | None = None,
    overrides: Overrides = (),
    *,
    varied: Collection[str] = (),
) -> Any:
    """Resolve a machine's description: preset < file < overrides; `varied` as in `resolve`.

    Raises
    ------
    SpecError
        A key is unknown, or a value wrong.
    """
    spec: Any = resolve(
        found.spec_type, tomllib.loads(found.preset), config, overrides, varied=varied
    )
    words = words_of(found)
    kinds = [one.name for one in words.kinds if one.moves]
    for kind in spec.dram.free:
        if kind not in kinds:
            given = override_pairs(overrides)
            where = "--set " if "dram.free" in given else f"{config}: " if config else ""
            raise SpecError(
                f"{where}dram.free is {list(spec.dram.free)!r}; {kind!r} is no kind of data of"
                f" {found.name!r}{nearest(kind, kinds)}"
            )
    return spec
