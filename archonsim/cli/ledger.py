"""``archonsim ledger``: what predictors got wrong, and what it cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import Format, emit, save
from archonsim.cli.options import REQUIRED, scenario_options
from archonsim.cli.progress import StepProgress
from archonsim.explain.ledger import keep_ledger
from archonsim.result.files import to_json
from archonsim.result.ledger import MASKS
from archonsim.runs.scenario import Scenario
from archonsim.show.terminal.ledger_text import render_ledger


@scenario_options(
    without=["fidelity", "masks", "seed", "energy"],
    workload=(
        Annotated[
            str,
            typer.Option(
                "--workload", "-w", help="A workload file (.h5) with predicted and true masks."
            ),
        ],
        REQUIRED,
    ),
    arch=(
        Annotated[
            str, typer.Option("--arch", "-a", help="Architecture that errors cost cycles on.")
        ],
        "archon",
    ),
)
def ledger(
    scenario: Scenario,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for ledger.json and ledger.csv.")
    ] = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format", "-f", help="What to print; csv has one row for each ReLU of each block."
        ),
    ] = Format.table,
) -> None:
    """Count mispredictions of the ReLU predictors and what they cost.

    Hits, false alarms and misses, the additions and cycles they cost, and the values they pass.

    Costs are differences of runs: false alarms are taken away first, then misses restored, ReLU by
    ReLU.
    """
    asked = scenario.prepare()
    with StepProgress(f"ledger of {asked.workload.name}", asked.steps * len(MASKS)) as progress:
        book = keep_ledger(
            asked.workload, asked.machine, asked.spec, images=asked.images, on_step=progress.step
        )
    if output is not None:
        save(output, "ledger", to_json(book.to_dict()), book.to_csv())
    emit(form, lambda: render_ledger(book), lambda: to_json(book.to_dict()), book.to_csv)
