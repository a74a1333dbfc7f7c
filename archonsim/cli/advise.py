"""``archonsim advise``: whether fusing would pay, block by block."""

from __future__ import annotations

from typing import Annotated

import typer

from archonsim.cli.common import Format, emit
from archonsim.cli.options import Changes, Config, Form, Images, Masks, Seed, TracedWorkload
from archonsim.cli.progress import StepProgress, say_if_kernels_compile
from archonsim.explain.advise import advise, steps
from archonsim.result.files import to_json
from archonsim.runs.scenario import plan_run
from archonsim.show.terminal.advice_text import render_advice


def advise_command(
    workload: TracedWorkload,
    arch: Annotated[str, typer.Option("--arch", "-a", help="A machine that fuses.")] = "archon",
    images: Images = "0",
    masks: Masks = "trace",
    seed: Seed = 0,
    set_: Changes = None,
    config: Config = None,
    form: Form = Format.table,
) -> None:
    """Estimate for each block whether fusing it pays on this machine, and check by simulating it both ways."""
    plan = plan_run(
        arch, workload, overrides=set_ or [], config=config, images=images, masks=masks, seed=seed
    )
    say_if_kernels_compile()
    with StepProgress(
        f"advise {plan.workload.name}", steps(plan.workload, plan.images)
    ) as progress:
        advice = advise(
            plan.workload,
            plan.machine,
            plan.spec,
            images=plan.images,
            masks=plan.masks,
            on_step=progress.step,
        )
    emit(form, lambda: render_advice(advice), lambda: to_json(advice.to_dict()), advice.to_csv)
