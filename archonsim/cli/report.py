"""``archonsim report``: one HTML file to send to a colleague."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archonsim.cli.common import say_written
from archonsim.cli.progress import StepProgress, say_if_kernels_compile, stderr
from archonsim.cli.results import Asked, asked_options, explained
from archonsim.errors import ResultError
from archonsim.version import __version__

if TYPE_CHECKING:
    from archonsim.runs.run import Run
    from archonsim.show.page.model import Page


@asked_options(
    files=(
        Annotated[
            Path | None,
            typer.Argument(
                metavar="[RESULT]",
                help="result.json, compare.json, or a sweep's results.csv.",
                show_default=False,
            ),
        ],
        None,
    )
)
def report(
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")],
    asked: Asked,
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
    if asked.scenario is not None and len(asked.scenario.scenarios) == 1:
        return _simulated(asked.scenario.scenarios[0].prepare())
    tree = asked.trees()[0]
    return run_page(tree) if "layers" in tree else comparison_page(tree)


def _simulated(ready: Run) -> Page:
    """Run with a recorder, then on relaxed machines, so that the page says when, and to whom, cycles went."""
    from archonsim.engine.observer import Recorder
    from archonsim.runs.simulate import choose_images
    from archonsim.show import figures as plots
    from archonsim.show.page.run import run_page

    if ready.fidelity == "ideal":
        return run_page(ready.execute().to_dict())
    say_if_kernels_compile()
    recorder = Recorder()
    with StepProgress(f"{ready.machine.name} on {ready.workload.name}", ready.steps) as progress:
        result = ready.execute(progress.step, recorder)
    density = None
    if ready.workload.images and any(block.predicted for block in ready.workload.blocks()):
        numbers = choose_images(ready.workload, ready.images)
        density = plots.density_frame(ready.workload, images=numbers, masks=ready.masks)
    return run_page(
        result.to_dict(),
        timeline=recorder.timeline,
        waterfall=explained(ready).to_dict(),
        density=density,
    )
