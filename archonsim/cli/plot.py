"""``archonsim plot KIND``.

Figures for papers and slides, each as PNG, PDF and the CSV of what is drawn.

matplotlib and pandas are imported when a figure is drawn, so that no other command waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from archonsim.cli.common import say_written
from archonsim.cli.options import Images, plain_settings, settings_options, with_options
from archonsim.cli.progress import stderr
from archonsim.cli.results import Asked, asked_options, explained
from archonsim.errors import ResultError
from archonsim.result.compare import Comparison
from archonsim.runs.scenario import Scenario

if TYPE_CHECKING:
    from archonsim.result.report import Report
    from archonsim.show.figures import Chart

app = typer.Typer(
    name="plot",
    help="Draw results: PNG, PDF and the CSV of exactly what is drawn.",
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def kinds(context: typer.Context) -> None:
    """Draw results: PNG, PDF and the CSV of exactly what is drawn."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


class Size(StrEnum):
    """Where a figure will stand."""

    column = "column"
    page = "page"
    slide = "slide"


class By(StrEnum):
    """What has a bar of its own."""

    layer = "layer"
    run = "run"


Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the three files.")]
Name = Annotated[str | None, typer.Option("--name", help="Name of the files; the kind by default.")]
Where = Annotated[
    Size,
    typer.Option("--size", help="A paper's column (85 mm), its page (178 mm), or a slide (16:9)."),
]


def write(chart: Chart, output: Path, name: str) -> None:
    """Write a figure and say where it is."""
    with stderr.status(f"drawing {name}"):
        paths = chart.write(output, name)
    say_written(paths)


def pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    """Read ``A=B`` texts.

    Raises
    ------
    ResultError
        One has no ``=``.
    """
    split = [text.partition("=") for text in texts or []]
    for name, mark, value in split:
        if not (name and mark and value):
            raise ResultError(f"{option} {name + mark + value!r}: write NAME=VALUE")
    return {name: value for name, _, value in split}


@app.command()
@asked_options()
def speedup(
    output: Output,
    asked: Asked,
    of: Annotated[str, typer.Option(help="Machine whose speedup is shown.")] = "archon",
    over: Annotated[
        str | None,
        typer.Option(help="Machines to beat, separated by commas; all others by default."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORKLOAD=WORKLOAD",
            help="Machines to beat run the second in the first's place.",
        ),
    ] = None,
    size: Where = Size.column,
    name: Name = None,
) -> None:
    """Speedup over other machines, by network."""
    from archonsim.show import figures as plots

    found = asked.results()
    if len(found) > 1 or not isinstance(found[0], Comparison):
        raise ResultError(
            "speedups are drawn from one comparison; give one compare.json of `archonsim"
            " compare -o`"
        )
    chart = plots.plot_compare(
        plots.compare_frame(found[0]),
        of=of,
        over=over.split(",") if over else None,
        baselines=pairs(against, "--against"),
        size=plots.Size(size),
    )
    write(chart, output, name or "speedup")


def _breakdown(quantity: Literal["cycles", "energy"]) -> Callable[..., None]:
    """Make the command that stacks a quantity: the two differ in nothing else."""

    @asked_options()
    def command(
        output: Output,
        asked: Asked,
        by: Annotated[
            By,
            typer.Option(
                help="A bar for each layer or block of one run, or for each of several runs."
            ),
        ] = By.layer,
        size: Where = Size.column,
        name: Name = None,
    ) -> None:
        from archonsim.show import figures as plots

        runs = (asked.run(),) if by is By.layer else asked.runs()
        chart = plots.plot_run(
            plots.run_frame(runs),
            quantity=quantity,
            by=by.value,
            subtitle=plots.about_runs(runs),
            size=plots.Size(size),
        )
        write(chart, output, name or quantity)

    return command


app.command("cycles", help="Cycles by phase and stall, stacked; by layer or run.")(
    _breakdown("cycles")
)
app.command("energy", help="Energy by phase, stacked; by layer or run.")(_breakdown("energy"))


@app.command()
@asked_options(without=["fidelity"])
def roofline(
    output: Output,
    asked: Asked,
    size: Where = Size.column,
    name: Name = None,
) -> None:
    """One run under MAC, adder and weight-stream bounds."""
    from archonsim.show import figures as plots

    run = asked.run()
    chart = plots.plot_roofline(
        plots.run_frame([run]),
        run.machine,
        subtitle=plots.about_runs([run]),
        size=plots.Size(size),
    )
    write(chart, output, name or "roofline")


@app.command()
@asked_options(without=["fidelity"], images=(Images, "all"))
def images(
    output: Output,
    asked: Asked,
    of: Annotated[
        str, typer.Option(help="Machine whose images are shown, where there are several.")
    ] = "archon",
    over: Annotated[
        str | None, typer.Option(help="Machine to beat: the baseline of speedups.")
    ] = None,
    size: Where = Size.column,
    name: Name = None,
) -> None:
    """Times of images; speedups with a bootstrap interval."""
    from archonsim.show import figures as plots

    runs = asked.runs()
    mine = runs[0] if len(runs) == 1 and over is None else _the_run(runs, of)
    base = None if over is None else plots.run_frame([_the_run(runs, over)])
    chart = plots.plot_images(
        plots.run_frame([mine]), base, subtitle=plots.about_runs([mine]), size=plots.Size(size)
    )
    write(chart, output, name or "images")


def _the_run(runs: Sequence[Report], arch: str) -> Report:
    found = [run for run in runs if run.arch == arch]
    if len(found) != 1:
        known = ", ".join(f"{run.arch} on {run.workload}" for run in runs)
        raise ResultError(
            f"one run of {arch!r} is needed, and here are {len(found)}: {known}; choose with --of"
            " and --over"
        )
    return found[0]


def optional_scenario(given: dict[str, Any]) -> Scenario | None:
    """Return what to simulate; None where neither workload nor architecture is given."""
    settings = plain_settings(given)
    if given["workload"] is None and given["arch"] is None:
        return None
    if given["workload"] is None or given["arch"] is None:
        raise ResultError(
            "give either a waterfall.json, or what to simulate: --workload and --arch"
        )
    return Scenario(arch=given["arch"], workload=given["workload"], **settings)


@app.command()
@with_options(
    {
        "workload": (
            Annotated[
                str | None,
                typer.Option(
                    "--workload", "-w", help="Simulate first: a workload file with masks."
                ),
            ],
            None,
        ),
        "arch": (
            Annotated[str | None, typer.Option("--arch", "-a", help="Architecture to simulate.")],
            None,
        ),
        **settings_options(without=["fidelity", "energy"]),
    },
    "scenario",
    optional_scenario,
)
def waterfall(
    output: Output,
    scenario: Scenario | None,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[WATERFALL]",
            help="waterfall.json of `archonsim waterfall -o`.",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        str, typer.Option(help="A layer or block, such as b1; all: the network.")
    ] = "all",
    size: Where = Size.column,
    name: Name = None,
) -> None:
    """From necessary work to cycles taken, owner by owner."""
    from archonsim.show import figures as plots

    if file is not None and scenario is None:
        found = plots.read_waterfall(file)
    elif file is None and scenario is not None:
        found = explained(scenario.prepare())
    else:
        raise ResultError(
            "give either a waterfall.json, or what to simulate: --workload and --arch"
        )
    chart = plots.plot_waterfall(
        plots.waterfall_frame(found),
        name=layer,
        subtitle=plots.about_waterfall(found),
        size=plots.Size(size),
    )
    write(chart, output, name or "waterfall")
