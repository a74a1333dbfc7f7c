"""Mapping files: TOML or JSON, one entry a layer or shape.

::

    source = "where they come from"

    [[mapping]]
    layer = "b1.pw1"     # a layer by name, or any layer with these
    shape = [1, 16, 96, 32, 32, 1, 1, 1, 1]  # N C M P Q R S, horizontal and vertical stride

    [mapping.levels]
    dram = ["Q8"]
    glb = ["P32", "M2x", "Q4x"]
    array = ["M2y", "C4y"]
    weight_spad = ["C4"]
    psum_spad = ["M24"]
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from archonsim.dataflow.mapper import LEVELS, constraint_broken
from archonsim.dataflow.mapping import Mapping
from archonsim.dataflow.problem import Problem
from archonsim.errors import SpecError
from archonsim.spec.load import read_toml
from archonsim.user_files import read_user_text

#: Mapping files that the package ships.
SHIPPED = ("ics21",)


@dataclass(frozen=True, slots=True)
class MappingBook:
    """Mappings of one file.

    Attributes
    ----------
    where : str
        File, for error messages.
    by_layer : dict of layer name to Mapping
    by_shape : dict of problem key to Mapping
    """

    where: str
    by_layer: dict[str, Mapping]
    by_shape: dict[tuple[int, ...], Mapping]

    def find(self, layer: str, problem: Problem) -> Mapping:
        """Return the mapping of a layer: by its name, else by its shape.

        Raises
        ------
        SpecError
            There is none, or it does not cover the layer, or it breaks a constraint of the machine.
        """
        mapping = self.by_layer.get(layer) or self.by_shape.get(problem.key)
        if mapping is None:
            shape = ", ".join(map(str, problem.key))
            raise SpecError(
                f"{self.where}: no mapping for layer {layer!r} of shape [{shape}]; add one, or use"
                " --set mapping=search"
            )
        where = f"{self.where}: layer {layer}"
        mapping.check_covers(problem, where)
        if broken := constraint_broken(mapping, problem):
            raise SpecError(f"{where}: {broken}")
        return mapping


def _entry(entry: Any, where: str, book: MappingBook) -> None:
    if not isinstance(entry, dict) or not set(entry) <= {"layer", "shape", "levels", "source"}:
        raise SpecError(
            f"{where}: an entry has the keys layer or shape, levels, and maybe source; found"
            f" {entry!r}"
        )
    if ("layer" in entry) == ("shape" in entry):
        raise SpecError(f"{where}: give either layer or shape")
    if "levels" not in entry:
        raise SpecError(f"{where}: levels is missing")
    mapping = Mapping.parse(entry["levels"], LEVELS, where)
    if "layer" in entry:
        book.by_layer[str(entry["layer"])] = mapping
        return
    shape = entry["shape"]
    if (
        not isinstance(shape, list)
        or len(shape) != 9
        or not all(isinstance(one, int) and one > 0 for one in shape)
    ):
        raise SpecError(
            f"{where}: shape is {shape!r}; it must be the nine numbers N, C, M, P, Q, R, S and the"
            " two strides"
        )
    book.by_shape.setdefault(tuple(shape), mapping)


def parse_book(tree: Any, where: str) -> MappingBook:
    """Turn a file's content into mappings.

    Raises
    ------
    SpecError
        Something is malformed: the message says which entry, level and loop.
    """
    entries = tree.get("mapping") if isinstance(tree, dict) else None
    if not isinstance(entries, list) or not entries:
        raise SpecError(
            f"{where}: a mapping file is a list of entries called mapping ([[mapping]] in TOML)"
        )
    book = MappingBook(where, {}, {})
    for number, entry in enumerate(entries, start=1):
        _entry(entry, f"{where}: mapping {number}", book)
    return book


@cache
def open_book(name: str) -> MappingBook:
    """Return a shipped mapping file by name, or read one (``.toml`` or ``.json``).

    Raises
    ------
    SpecError
        It does not exist or is malformed.
    """
    if name in SHIPPED:
        text = (resources.files("archonsim") / "data" / "mappings" / f"{name}.toml").read_text(
            "utf-8"
        )
        return parse_book(tomllib.loads(text), f"mapping {name}")
    return parse_book(read_mapping_file(name, SHIPPED), name)


def read_mapping_file(name: str, shipped: Sequence[str] = ()) -> Any:
    """Read a mapping file's content (``.toml`` or ``.json``).

    Parameters
    ----------
    name : str
    shipped : sequence of str
        What else, beside ``search``, could have been given in its place.

    Raises
    ------
    SpecError
        It does not exist, or is no file of such a form.
    """
    path = Path(name)
    if path.suffix == ".toml":
        return read_toml(path)
    if path.suffix != ".json":
        raise SpecError(
            f"mapping is {name!r}; it must be {', '.join(('search', *shipped))}, or a file that"
            " ends in .toml or .json"
        )
    text = read_user_text(path, SpecError, "a mapping is a TOML or JSON file")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise SpecError(f"{name}: not a JSON file: nested too deeply") from error
    except ValueError as error:
        raise SpecError(f"{name}: not a JSON file: {str(error).partition(';')[0]}") from error
