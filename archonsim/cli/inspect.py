"""``archonsim inspect``: what a workload file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import Format, emit
from archonsim.cli.forecast import DryRun, Memory, told
from archonsim.cli.progress import StepProgress
from archonsim.result.files import rows_to_csv, to_json
from archonsim.result.inspect import RATES, Inspection, inspect_workload
from archonsim.runs.forecast import forecast_inspect, parse_memory
from archonsim.show.terminal.inspect_text import render_inspection
from archonsim.tracefile.check import read_images, validate
from archonsim.tracefile.find import choose_images, find_workload, parse_images


def inspect(
    workload: Annotated[
        str, typer.Argument(help="A workload file (.h5), or a network known by name (shapes only).")
    ],
    images: Annotated[
        str | None,
        typer.Option(
            help="Images whose masks are decoded and counted: all, or numbers such as 0 or 0,2-3."
        ),
    ] = None,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep", help="Decode and check everything, and count the masks of all images."
        ),
    ] = False,
    dry_run: DryRun = False,
    memory: Memory = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format", "-f", help="What to print; csv has one row for each ReLU of each block."
        ),
    ] = Format.table,
) -> None:
    """Check a workload and show what it holds.

    Shapes, weights, accuracy, provenance, digest; with --deep or --images also densities of masks,
    predictor hits and misses.
    """
    work = find_workload(workload)
    asked = images is not None or deep
    chosen = parse_images("all" if images is None else images)
    numbers = choose_images(work, chosen) if work.images and asked else []
    if told(forecast_inspect(work, len(numbers), parse_memory(memory)), form, dry_run=dry_run):
        return
    with StepProgress(
        f"inspect {work.name}", len(numbers) * sum(1 for _ in work.blocks())
    ) as progress:
        if work.trace is None:
            validate(work)
        elif deep:
            rest = set(range(work.images)) - set(numbers)
            read_images(work, work.trace, sorted(rest))
        file = Path(workload) if work.digest else None
        inspection = inspect_workload(
            work, file=file, images=numbers, on_step=lambda: progress.step("")
        )
    emit(
        form,
        lambda: render_inspection(inspection),
        lambda: to_json(inspection.to_dict()),
        lambda: _csv(inspection),
    )


def _csv(inspection: Inspection) -> str:
    rows = [
        {"block": block.name, "relu": number} | {rate: getattr(relu, rate) for rate in RATES}
        for block in inspection.blocks
        for number, relu in enumerate((block.relu1, block.relu2), 1)
        if relu is not None
    ]
    return rows_to_csv(rows, ["block", "relu", *RATES])
