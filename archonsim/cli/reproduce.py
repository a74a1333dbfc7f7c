"""``archonsim reproduce``: published and simulated figures, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import Form, Format, emit, say_written
from archonsim.cli.progress import StepProgress
from archonsim.errors import UserError
from archonsim.reproduce.cell import Reproduction
from archonsim.reproduce.date21 import reproduce_date21
from archonsim.reproduce.eyerissv2 import reproduce_eyerissv2
from archonsim.reproduce.ics21 import reproduce_ics21
from archonsim.reproduce.real import real_headline
from archonsim.result.files import to_json, write_bytes
from archonsim.result.report import Report
from archonsim.runs.run import Run
from archonsim.show.terminal.real_text import render_real
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


def _execute(run: Run) -> Report:
    """Carry a run out, showing progress."""
    with StepProgress(f"{run.machine.name} on {run.workload.name}", run.steps) as progress:
        return run.execute(progress.step)


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
    real: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help=(
                "Of ics21: the headline alone, stepped on trained networks' own masks: all images"
                " of mobilenetv2mod_c10.h5 and mobilenetv2_c10-pruned.h5 in FOLDER."
            ),
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="With --real: folder for headline.json, .csv, .png and .pdf.",
        ),
    ] = None,
    form: Form = Format.table,
) -> None:
    """Compute a paper's published figures and print both, known defects of the source marked.

    Exit code 0 if every figure is exact or a listed defect, 1 otherwise. With --real, the headline
    on real masks: how it differs from the published one, step by step.
    """
    if real is not None:
        if paper is not Paper.ics21:
            raise UserError(f"--real is {real}; it is for ics21, not for {paper}")
        if brief or data is not None:
            raise UserError(f"--real is {real}; it goes with neither --brief nor --data")
        headline = real_headline(real, _execute)
        if output is not None:
            from archonsim.show.figures.headline import plot_headline  # matplotlib takes a second

            path = output / "headline.json"
            write_bytes(path, to_json(headline.to_dict()).encode())
            say_written([path, *plot_headline(headline).write(output, "headline")])
        emit(
            form,
            lambda: render_real(headline),
            lambda: to_json(headline.to_dict()),
            headline.to_csv,
        )
        raise typer.Exit(0)
    if output is not None:
        raise UserError(f"--output is {output}; it goes with --real, --format with all papers")
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
