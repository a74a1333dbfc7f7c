"""``archonsim advise``: whether fusing would pay, block by block."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import Format, emit
from archonsim.cli.progress import StepProgress, say_if_kernels_compile
from archonsim.explain.advice_text import render_advice
from archonsim.explain.advise import advise, steps
from archonsim.plans import plan_run
from archonsim.report.files import to_json
from archonsim.workload.what_if import FORMS


def advise_command(
    workload: Annotated[str, typer.Option("--workload", "-w", help="A workload file (.h5) with masks.")],
    arch: Annotated[str, typer.Option("--arch", "-a", help="A machine that fuses.")] = "archon",
    images: Annotated[str, typer.Option(help="Images to run: all, or numbers such as 0 or 0,2-3.")] = "0",
    masks: Annotated[str, typer.Option(help=f"What-if masks: {FORMS}.")] = "trace",
    seed: Annotated[int, typer.Option(min=0, help="Seed of random and flipped masks.")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the machine, e.g. pe.adders=4. Repeatable.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with machine parameters, laid over the preset.")] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="What to print.")] = Format.table,
) -> None:
    """Estimate for each block whether fusing it pays on this machine, and check by simulating it both ways."""
    plan = plan_run(arch, workload, overrides=set_ or [], config=config, images=images, masks=masks, seed=seed)
    say_if_kernels_compile()
    with StepProgress(f"advise {plan.workload.name}", steps(plan.workload, plan.images)) as progress:
        advice = advise(
            plan.workload, plan.machine, plan.spec, images=plan.images, masks=plan.masks, on_step=progress.step
        )  # fmt: skip
    emit(form, lambda: render_advice(advice), lambda: to_json(advice.to_dict()), advice.to_csv)
