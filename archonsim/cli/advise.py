"""``archonsim advise``: whether fusing would pay, block by block."""

from __future__ import annotations

from typing import Annotated

import typer

from archonsim.cli.common import Form, Format, emit
from archonsim.cli.options import REQUIRED, TracedWorkload, scenario_options
from archonsim.cli.progress import StepProgress
from archonsim.explain.advise import advise, steps
from archonsim.result.files import to_json
from archonsim.runs.scenario import Scenario
from archonsim.show.terminal.advice_text import render_advice


@scenario_options(
    without=["fidelity", "energy"],
    workload=(TracedWorkload, REQUIRED),
    arch=(
        Annotated[str, typer.Option("--arch", "-a", help="A machine that fuses.")],
        "archon",
    ),
)
def advise_command(scenario: Scenario, form: Form = Format.table) -> None:
    """Estimate for each block whether fusing pays on this machine, and check by simulation."""
    asked = scenario.prepare()
    with StepProgress(
        f"advise {asked.workload.name}", steps(asked.workload, asked.images)
    ) as progress:
        advice = advise(
            asked.workload,
            asked.machine,
            asked.spec,
            images=asked.images,
            masks=asked.masks,
            on_step=progress.step,
        )
    emit(form, lambda: render_advice(advice), lambda: to_json(advice.to_dict()), advice.to_csv)
