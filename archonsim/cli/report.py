"""``archonsim report``: one HTML file to send to a colleague."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archonsim.cli.common import say_written
from archonsim.cli.progress import StepProgress, stderr
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
                help=(
                    "Folder of a run, comparison or sweep; or result.json, compare.json,"
                    " sweep.json."
                ),
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
    from archonsim.result.report import Report
    from archonsim.result.stored import read_any
    from archonsim.result.sweep_table import SweepTable
    from archonsim.show.page.comparison import comparison_page
    from archonsim.show.page.run import run_page
    from archonsim.show.page.sweep import sweep_page

    if asked.scenario is not None and len(asked.scenario.scenarios) == 1:
        return _simulated(asked.scenario.scenarios[0].prepare())
    found = read_any(asked.files[0]) if asked.files else asked.simulate()
    if isinstance(found, SweepTable):
        manifest = found.manifest
        mine = manifest is not None and manifest.archonsim == __version__
        return sweep_page(found.frame, manifest.question if manifest and mine else None)
    return run_page(found) if isinstance(found, Report) else comparison_page(found)


def _simulated(ready: Run) -> Page:
    """Run with a recorder, then on relaxed machines: the page says when cycles passed, and why."""
    from archonsim.engine.observer import Recorder
    from archonsim.show import figures as plots
    from archonsim.show.page.run import run_page
    from archonsim.tracefile.find import choose_images

    if ready.fidelity == "ideal":
        return run_page(ready.execute())
    recorder = Recorder()
    with StepProgress(f"{ready.machine.name} on {ready.workload.name}", ready.steps) as progress:
        result = ready.execute(progress.step, recorder)
    density = None
    if ready.workload.images and any(block.predicted for block in ready.workload.blocks()):
        numbers = choose_images(ready.workload, ready.images)
        density = plots.density_frame(ready.workload, images=numbers, masks=ready.masks)
    return run_page(
        result,
        timeline=recorder.timeline,
        waterfall=explained(ready),
        density=density,
    )
