"""Energy tables: picojoules an access, by level; the shipped ones lie in ``archonsim/data/energies``."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from archonsim.errors import SpecError, nearest
from archonsim.spec.load import read_toml
from archonsim.spec.parts import CONFIG, Count

Picojoules = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class AccessEnergy:
    """One level: energy of one access of a block of words, read or write."""

    access_pj: Picojoules
    block_words: Count


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class EnergyTable:
    """Energies of one machine.

    Attributes
    ----------
    source : str
        Where the figures come from.
    mac_pj : float
        One multiply-accumulate.
    levels : dict of level name to AccessEnergy
    """

    source: str
    mac_pj: Picojoules
    levels: dict[str, AccessEnergy]

    def level(self, name: str) -> AccessEnergy:
        """Return one level's energies.

        Raises
        ------
        SpecError
            The table has no such level.
        """
        if name not in self.levels:
            raise SpecError(f"energy table {self.source!r} has no level {name!r}{nearest(name, self.levels)}")
        return self.levels[name]


def _shipped() -> dict[str, str]:
    folder = resources.files("archonsim") / "data" / "energies"
    files = (entry for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {entry.name.removesuffix(".toml"): entry.read_text("utf-8") for entry in files}


@cache
def load_energies(name: str) -> EnergyTable:
    """Return a shipped energy table by name, or read one from a TOML file (``name`` ends in ``.toml``).

    Raises
    ------
    SpecError
        No such table, or one that is malformed.
    """
    if name.endswith(".toml"):
        table = read_toml(Path(name))
    else:
        shipped = _shipped()
        if name not in shipped:
            raise SpecError(f"unknown energy table {name!r}{nearest(name, shipped)}")
        table = tomllib.loads(shipped[name])
    try:
        return TypeAdapter(EnergyTable).validate_python(table)
    except ValidationError as error:
        fault = error.errors()[0]
        raise SpecError(f"energy table {name}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
