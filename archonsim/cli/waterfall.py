"""``archonsim waterfall``: one owner for every cycle."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import Format, emit, save
from archonsim.cli.options import scenario_options
from archonsim.cli.results import explained
from archonsim.result.files import to_json
from archonsim.runs.scenario import Scenario
from archonsim.show.terminal.waterfall_text import render_waterfall


class Grain(StrEnum):
    """What one waterfall is about."""

    network = "network"
    layer = "layer"
    phase = "phase"


@scenario_options(without=["fidelity", "energy"])
def waterfall(
    scenario: Scenario,
    by: Annotated[
        Grain,
        typer.Option(help="Show the network owner by owner, or a line for each layer or phase."),
    ] = Grain.network,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for waterfall.json and waterfall.csv."),
    ] = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            "-f",
            help="What to print; csv has one row for each owner, of whatever --by says.",
        ),
    ] = Format.table,
) -> None:
    """Say which cycles were lost to what.

    From the work that must be done to the cycles taken, one owner for each.

    The array's losses are counted; what memory costs is the difference of runs in which less and
    less of it is free.
    """
    fall = explained(scenario.prepare())
    if output is not None:
        save(output, "waterfall", to_json(fall.to_dict()), fall.to_csv("phase"))
    emit(
        form,
        lambda: render_waterfall(fall, by.value),
        lambda: to_json(fall.to_dict()),
        lambda: fall.to_csv(by.value),
    )
