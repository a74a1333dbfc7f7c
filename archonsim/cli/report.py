"""``archonsim report``: one HTML file to send to a colleague."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archonsim.cli.common import say_written
from archonsim.cli.options import ArchChanges, Fidelity, Images, Masks, Seed
from archonsim.cli.progress import StepProgress, say_if_kernels_compile, stderr
from archonsim.cli.results import Archs, Asked, Exactness, Workloads, explained
from archonsim.errors import ResultError
from archonsim.version import __version__

if TYPE_CHECKING:
    from archonsim.runs.scenario import RunPlan
    from archonsim.show.page.model import Page


def report(
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RESULT]",
            help="result.json, compare.json, or a sweep's results.csv.",
            show_default=False,
        ),
    ] = None,
    workload: Workloads = None,
    arch: Archs = None,
    fidelity: Exactness = Fidelity.cycle,
    images: Images = "0",
    masks: Masks = "trace",
    seed: Seed = 0,
    set_: ArchChanges = None,
) -> None:
    """Write one self-contained HTML file about a run, a comparison or a sweep.

    A run that is simulated here, of one workload on one architecture, also gets its timeline and
    its waterfall.
    """
    if output.suffix not in (".html", ".htm"):
        raise ResultError(
            f"--output {output}: a report is one HTML file; its name must end in .html"
        )
    from archonsim.result.files import write_text
    from archonsim.show.page.render import render

    asked = Asked(
        files=[file] if file else [],
        workload=workload,
        arch=arch,
        fidelity=fidelity,
        images=images,
        masks=masks,
        seed=seed,
        changes=set_,
    )
    page = _page(asked)
    with stderr.status(f"writing {output}"):
        write_text(output, render(page))
    say_written([output])


def _page(asked: Asked) -> Page:
    from archonsim.show import figures as plots
    from archonsim.show.page.comparison import comparison_page
    from archonsim.show.page.run import run_page
    from archonsim.show.page.sweep import sweep_page

    if asked.files and asked.files[0].suffix == ".csv":
        table = plots.read_sweep(asked.files[0])
        manifest = plots.read_question(asked.files[0])
        mine = manifest is not None and manifest["archonsim"] == __version__
        return sweep_page(table, manifest["question"] if manifest and mine else None)
    if not asked.files:
        plan = asked.plan()
        if len(plan.runs) == 1:
            return _simulated(plan.runs[0])
    tree = asked.trees()[0]
    return run_page(tree) if "layers" in tree else comparison_page(tree)


def _simulated(plan: RunPlan) -> Page:
    """Run with a recorder, then on relaxed machines, so that the page says when, and to whom, cycles went."""
    from archonsim.engine.observer import Recorder
    from archonsim.runs.simulate import choose_images
    from archonsim.show import figures as plots
    from archonsim.show.page.run import run_page

    if plan.fidelity == "ideal":
        return run_page(plan.execute().to_dict())
    say_if_kernels_compile()
    recorder = Recorder()
    with StepProgress(f"{plan.machine.name} on {plan.workload.name}", plan.steps) as progress:
        result = plan.execute(progress.step, recorder)
    density = None
    if plan.workload.images and any(block.predicted for block in plan.workload.blocks()):
        numbers = choose_images(plan.workload, plan.images)
        density = plots.density_frame(plan.workload, images=numbers, masks=plan.masks)
    return run_page(
        result.to_dict(),
        timeline=recorder.timeline,
        waterfall=explained(plan).to_dict(),
        density=density,
    )
