"""``archonsim compare``: workloads on several architectures, side by side."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import ENERGY_HELP, WORKLOAD_HELP, Format, emit, save
from archonsim.cli.progress import StepProgress, say_if_kernels_compile
from archonsim.cli.run import Fidelity
from archonsim.plans import plan_compare
from archonsim.report.compare_text import render_comparison
from archonsim.report.files import to_json
from archonsim.workload.what_if import FORMS


class Budget(StrEnum):
    """What arrays are made equal in."""

    none = "none"
    pes = "pes"
    area = "area"


def compare(
    workload: Annotated[list[str], typer.Option("--workload", "-w", help=f"{WORKLOAD_HELP} Repeatable; all: every named network.")],
    arch: Annotated[str, typer.Option("--arch", "-a", help="Architectures, separated by commas; or all.")],
    fidelity: Annotated[Fidelity, typer.Option(help="One for all rows.")] = Fidelity.cycle,
    images: Annotated[str, typer.Option(help="Images to run: all, or numbers such as 0 or 0,2-3.")] = "0",
    masks: Annotated[str, typer.Option(help=f"What-if masks: {FORMS}.")] = "trace",
    seed: Annotated[int, typer.Option(min=0, help="Seed of random and flipped masks.")] = 0,
    base: Annotated[
        str | None, typer.Option(help="Architecture that speedups refer to (with the first workload); the first by default.")
    ] = None,
    budget: Annotated[Budget, typer.Option(help="Rescale arrays to the base's number of PEs or area.")] = Budget.none,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="ARCH.KEY=VALUE", help="Change a machine. Repeatable.")] = None,
    energy: Annotated[str | None, typer.Option(help=ENERGY_HELP)] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for compare.json, with each row's whole result, and compare.csv.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="What to print.")] = Format.table,
) -> None:
    """Run workloads on several architectures: cycles, time, speedups, PEs, buffers and area in one table."""
    plan = plan_compare(
        arch, workload, overrides=set_ or [], fidelity=fidelity.value, images=images, masks=masks, seed=seed, base=base,
        budget=budget.value, energy=energy,
    )  # fmt: skip
    if fidelity is Fidelity.cycle:
        say_if_kernels_compile()
    with StepProgress("compare", plan.steps) as progress:
        comparison = plan.execute(progress.step)
    if output is not None:
        save(output, "compare", to_json(comparison.to_dict(runs=True)), comparison.to_csv())
    emit(form, lambda: render_comparison(comparison), lambda: to_json(comparison.to_dict()), comparison.to_csv)
