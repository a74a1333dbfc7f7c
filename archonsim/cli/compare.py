"""``archonsim compare``: workloads on several architectures, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import Form, Format, emit, save
from archonsim.cli.forecast import DryRun, Memory, told
from archonsim.cli.options import comparison_options
from archonsim.cli.progress import StepProgress
from archonsim.errors import SpecError
from archonsim.result.files import to_json
from archonsim.runs.comparison import ComparisonScenario
from archonsim.runs.forecast import apply_budget, forecast_runs, parse_memory
from archonsim.show.terminal.compare_text import render_comparison


@comparison_options()
def compare(
    asked: ComparisonScenario,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for compare.json, with each row's whole result, and compare.csv.",
        ),
    ] = None,
    dry_run: DryRun = False,
    memory: Memory = None,
    form: Form = Format.table,
) -> None:
    """Run workloads on several architectures.

    Cycles, time, speedups, PEs, buffers and area in one table.
    """
    budget, ready = parse_memory(memory), asked.prepare()
    if told(forecast_runs("compare", ready.runs, budget), form, dry_run=dry_run):
        return
    apply_budget(budget)
    with StepProgress("compare", ready.steps) as progress:
        comparison = ready.execute(progress.step)
    if output is not None:
        save(output, "compare", to_json(comparison.to_dict(runs=True)), comparison.to_csv())
    emit(
        form,
        lambda: render_comparison(comparison),
        lambda: to_json(comparison.to_dict()),
        comparison.to_csv,
    )
    if all(row.cycles is None for row in comparison.rows):
        raise SpecError(
            f"none of {len(comparison.rows)} runs is possible; the first:"
            f" {comparison.rows[0].reason}"
        )
