"""``archonsim compare``: workloads on several architectures, side by side."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import WORKLOAD_HELP, Format, emit, save
from archonsim.cli.options import ArchChanges, Energy, Fidelity, Form, Images, Masks, Seed
from archonsim.cli.progress import StepProgress, say_if_kernels_compile
from archonsim.result.files import to_json
from archonsim.runs.scenario import plan_compare
from archonsim.show.terminal.compare_text import render_comparison


class Budget(StrEnum):
    """What arrays are made equal in."""

    none = "none"
    pes = "pes"
    area = "area"


def compare(
    workload: Annotated[
        list[str],
        typer.Option(
            "--workload", "-w", help=f"{WORKLOAD_HELP} Repeatable; all: every named network."
        ),
    ],
    arch: Annotated[
        str, typer.Option("--arch", "-a", help="Architectures, separated by commas; or all.")
    ],
    fidelity: Annotated[Fidelity, typer.Option(help="One for all rows.")] = Fidelity.cycle,
    images: Images = "0",
    masks: Masks = "trace",
    seed: Seed = 0,
    base: Annotated[
        str | None,
        typer.Option(
            help=(
                "Architecture that speedups refer to (with the first workload); the first by"
                " default."
            )
        ),
    ] = None,
    budget: Annotated[
        Budget, typer.Option(help="Rescale arrays to the base's number of PEs or area.")
    ] = Budget.none,
    set_: ArchChanges = None,
    energy: Energy = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for compare.json, with each row's whole result, and compare.csv.",
        ),
    ] = None,
    form: Form = Format.table,
) -> None:
    """Run workloads on several architectures.

    Cycles, time, speedups, PEs, buffers and area in one table.
    """
    plan = plan_compare(
        arch,
        workload,
        overrides=set_ or [],
        fidelity=fidelity.value,
        images=images,
        masks=masks,
        seed=seed,
        base=base,
        budget=budget.value,
        energy=energy,
    )
    if fidelity is Fidelity.cycle:
        say_if_kernels_compile()
    with StepProgress("compare", plan.steps) as progress:
        comparison = plan.execute(progress.step)
    if output is not None:
        save(output, "compare", to_json(comparison.to_dict(runs=True)), comparison.to_csv())
    emit(
        form,
        lambda: render_comparison(comparison),
        lambda: to_json(comparison.to_dict()),
        comparison.to_csv,
    )
