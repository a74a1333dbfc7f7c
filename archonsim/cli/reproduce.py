"""``archonsim reproduce``: published and simulated figures, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from archonsim.cli.common import Form, Format, emit
from archonsim.reproduce.cell import Reproduction
from archonsim.reproduce.date21 import reproduce_date21
from archonsim.reproduce.ics21 import reproduce_ics21
from archonsim.result.files import to_json
from archonsim.show.terminal.reproduce_text import render_reproduction


class Paper(StrEnum):
    """Whose figures."""

    ics21 = "ics21"
    date21 = "date21"


PAPERS: dict[Paper, Callable[[], Reproduction]] = {
    Paper.ics21: reproduce_ics21,
    Paper.date21: reproduce_date21,
}


def reproduce_command(
    paper: Annotated[
        Paper, typer.Argument(help="ics21: ARCHON and its baselines; date21: FuSeConv.")
    ],
    brief: Annotated[
        bool,
        typer.Option(
            "--brief", help="In the table, leave out layers and phases that nothing is wrong with."
        ),
    ] = False,
    form: Form = Format.table,
) -> None:
    """Compute a paper's published figures and print both, known defects of the source marked.

    Exit code 0 if every figure is exact or a listed defect, 1 otherwise.
    """
    found = PAPERS[paper]()
    emit(
        form,
        lambda: render_reproduction(found, brief=brief),
        lambda: to_json(found.to_dict()),
        found.to_csv,
    )
    raise typer.Exit(0 if found.ok else 1)
