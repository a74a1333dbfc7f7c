"""``archonsim reproduce``: published and simulated figures, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import Form, Format, emit
from archonsim.errors import UserError
from archonsim.reproduce.cell import Reproduction
from archonsim.reproduce.date21 import reproduce_date21
from archonsim.reproduce.eyerissv2 import reproduce_eyerissv2
from archonsim.reproduce.ics21 import reproduce_ics21
from archonsim.result.files import to_json
from archonsim.show.terminal.reproduce_text import render_reproduction


class Paper(StrEnum):
    """Whose figures."""

    ics21 = "ics21"
    date21 = "date21"
    eyerissv2 = "eyerissv2"


PAPERS: dict[Paper, Callable[[], Reproduction]] = {
    Paper.ics21: reproduce_ics21,
    Paper.date21: reproduce_date21,
    Paper.eyerissv2: reproduce_eyerissv2,
}


def reproduce_command(
    paper: Annotated[
        Paper,
        typer.Argument(
            help=(
                "ics21: ARCHON and its baselines; date21: FuSeConv; eyerissv2: a PE on real masks."
            )
        ),
    ],
    brief: Annotated[
        bool,
        typer.Option(
            "--brief", help="In the table, leave out layers and phases that nothing is wrong with."
        ),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Of eyerissv2: a folder with other layers, in cycles.csv and masks.npz.",
        ),
    ] = None,
    form: Form = Format.table,
) -> None:
    """Compute a paper's published figures and print both, known defects of the source marked.

    Exit code 0 if every figure is exact or a listed defect, 1 otherwise.
    """
    if data is not None and paper is not Paper.eyerissv2:
        raise UserError(f"--data is {data}; it is for eyerissv2, not for {paper}")
    found = PAPERS[paper]() if data is None else reproduce_eyerissv2(data)
    emit(
        form,
        lambda: render_reproduction(found, brief=brief),
        lambda: to_json(found.to_dict()),
        found.to_csv,
    )
    raise typer.Exit(0 if found.ok else 1)
