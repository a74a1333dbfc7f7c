"""What several commands share: finding a workload, printing in one of three formats."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, RenderableType

from archonsim.errors import MaskError, SpecError
from archonsim.spec.load import known_keys
from archonsim.workload.check import check_weights
from archonsim.workload.networks import network
from archonsim.workload.reader import open_workload
from archonsim.workload.scalesim_csv import read_topology
from archonsim.workload.workload import Workload

PLAIN_HELP = "Store masks as they are: any HDF5 tool can decode them, and the file is several times as large."
WORKLOAD_HELP = "A workload file (.h5), a SCALE-Sim topology (.csv), or a network known by name; the latter two are shapes only."


#: Sets of rules by which energy is counted.
ENERGY_RULES = ("consistent", "ics21")
ENERGY_HELP = "Energy: ics21 as published (ideal fidelity), or a technology file FILE.toml; see docs/energy.md."


class Format(StrEnum):
    """How a result is printed."""

    table = "table"
    json = "json"
    csv = "csv"


def find_workload(text: str) -> Workload:
    """Open a file, or look a network up by name: what has a suffix, a folder or exists is a file.

    A file's weights are read and checked; its masks are when they are asked for.
    """
    path = Path(text)
    if path.suffix == ".csv":
        return read_topology(path)
    if path.suffix or len(path.parts) > 1 or path.exists():
        work = open_workload(path)
        if work.trace is not None:
            check_weights(work, work.trace)
        return work
    return network(text)


def parse_images(text: str) -> list[int] | None:
    """Read ``all`` (None), ``0``, ``0,2`` or ``0-3``.

    Raises
    ------
    MaskError
        The text is none of these.
    """
    if text == "all":
        return None
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if match is None:
            raise MaskError(f"--images is {text!r}; it must be all, or numbers such as 0 or 0,2-3")
        first = int(match[1])
        numbers += range(first, int(match[2] or first) + 1)
    if not numbers:
        raise MaskError(f"--images is {text!r}, which holds no image; it must be all, or numbers such as 0 or 0,2-3")
    return list(dict.fromkeys(numbers))


def energy_overrides(energy: str | None, spec_type: Any, *, needed: bool = True) -> list[str]:
    """Turn ``--energy`` into overrides of a machine's description.

    Parameters
    ----------
    energy : str or None
    spec_type : type
    needed : bool
        Whether a machine without such a key is a fault; otherwise it runs as ever.

    Raises
    ------
    SpecError
        It is neither a set of rules nor a file, or the machine has no such rules.
    """
    if energy is None:
        return []
    if energy.endswith(".toml"):
        key = "technology"
    elif energy in ENERGY_RULES:
        key = "energy_rules"
    else:
        raise SpecError(f"--energy is {energy!r}; it must be {' or '.join(ENERGY_RULES)}, or a technology file that ends in .toml")
    if key not in known_keys(spec_type):
        if not needed:
            return []
        raise SpecError(f"--energy {energy}: this architecture's description has no key {key}")
    return [f"{key}={energy}"]


def table_width() -> int:
    """Characters of a line: the terminal's, or 200 in a pipe, where nothing need be folded."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 200


def show(render: RenderableType) -> None:
    """Print for people: coloured on a terminal, plain in a pipe."""
    Console(width=table_width(), highlight=False).print(render)


def emit(form: Format, table: Callable[[], RenderableType], json: Callable[[], str], csv: Callable[[], str]) -> None:
    """Print a result in the format asked for."""
    if form is Format.table:
        show(table())
    else:
        typer.echo((json if form is Format.json else csv)(), nl=False)
