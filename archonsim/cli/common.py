"""What several commands share.

Their help texts, writing a result, printing it in one of three formats.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from archonsim.cli.console import PlainConsole
from archonsim.cli.progress import stderr
from archonsim.result.files import write_result
from archonsim.visible import visible

PLAIN_HELP = (
    "Store masks as they are: any HDF5 tool can decode them, and the file is several times as"
    " large."
)
WORKLOAD_HELP = (
    "A workload file (.h5), a network table (.toml), a SCALE-Sim topology (.csv), or a network"
    " known by name; all but the first are shapes only."
)


class Format(StrEnum):
    """How a result is printed."""

    table = "table"
    json = "json"
    csv = "csv"


Form = Annotated[Format, typer.Option("--format", "-f", help="What to print.")]


def table_width() -> int:
    """Characters of a line: the terminal's, or 200 in a pipe, where nothing need be folded."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 200


def show(render: RenderableType) -> None:
    """Print for people: coloured on a terminal, plain in a pipe."""
    PlainConsole(width=table_width()).print(render)


def say_written(paths: Iterable[Path]) -> None:
    """Say where results are."""
    stderr.print(f"wrote {', '.join(map(str, paths))}", style="dim")


def save(folder: Path, name: str, json: str, csv: str) -> None:
    """Write a result into a folder, as JSON and as CSV, and say where it is."""
    say_written(write_result(folder, name, json, csv))


def emit(
    form: Format,
    table: Callable[[], RenderableType | str],
    json: Callable[[], str],
    csv: Callable[[], str],
) -> None:
    """Print a result in the format asked for; a plain text is printed as it is, never folded."""
    if form is Format.table:
        shown = table()
        if isinstance(shown, str):
            sys.stdout.write(f"{visible(shown)}\n")
        else:
            show(shown)
    else:
        sys.stdout.write((json if form is Format.json else csv)())
