"""``archonsim plot curve|heatmap|survival|density``.

Figures of a sweep's table, and of a workload's masks.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archonsim.cli import plot
from archonsim.cli.options import Images, Masks, Seed, TracedWorkload
from archonsim.cli.plot import Name, Output, Size, Where, pairs, write
from archonsim.cli.progress import StepProgress

app = plot.app

if TYPE_CHECKING:
    import pandas as pd

Table = Annotated[
    Path,
    typer.Argument(metavar="RESULTS", help="results.csv of `archonsim sweep`.", show_default=False),
]
Conditions = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="COLUMN=VALUE", help="Take these points only. Repeatable."),
]
Over = Annotated[
    str | None,
    typer.Option(
        help=(
            "Machines to beat, separated by commas: adds the column speedup, and over, the machine"
            " beaten."
        )
    ),
]
Title = Annotated[str | None, typer.Option(help="Instead of one made of the columns' names.")]


class Log(StrEnum):
    """Which axes are logarithmic."""

    auto = "auto"
    none = "none"
    x = "x"
    xy = "xy"


def _points(table: Path, conditions: list[str] | None, over: str | None) -> pd.DataFrame:
    from archonsim.show import figures as plots

    frame = plots.where(plots.read_sweep(table), pairs(conditions, "--where"))
    return plots.speedups(frame, over.split(",")) if over else frame


@app.command()
def curve(
    output: Output,
    table: Table,
    x: Annotated[str, typer.Option("--x", help="Parameter on the axis, such as pe.adders.")],
    y: Annotated[
        str,
        typer.Option(
            "--y", help="Column to draw, such as time_ms, energy_uj, stall.dram or speedup."
        ),
    ] = "cycles",
    series: Annotated[
        str | None,
        typer.Option(
            help="One or two columns, separated by a comma: a curve for each of their values."
        ),
    ] = None,
    conditions: Conditions = None,
    over: Over = None,
    asymptote: Annotated[
        bool,
        typer.Option("--asymptote", help="Over DRAM bandwidth: draw the bound bytes / bandwidth."),
    ] = False,
    log: Annotated[
        Log, typer.Option(help="Logarithmic axes; auto: x where its values are far apart.")
    ] = Log.auto,
    title: Title = None,
    size: Where = Size.column,
    name: Name = None,
) -> None:
    """A sweep's points over one parameter, as curves."""
    from archonsim.show import figures as plots

    chart = plots.plot_sweep(
        _points(table, conditions, over),
        x,
        y,
        series.split(",") if series else None,
        asymptote=asymptote,
        log=log.value,
        title=title,
        size=plots.Size(size),
    )
    write(chart, output, name or "curve")


@app.command()
def heatmap(
    output: Output,
    table: Table,
    x: Annotated[str, typer.Option("--x", help="Parameter to the right, such as pe.adders.")],
    y: Annotated[str, typer.Option("--y", help="Parameter upwards, such as pe.fifo_depth.")],
    value: Annotated[
        str, typer.Option(help="Column to draw, such as time_ms or speedup.")
    ] = "cycles",
    conditions: Conditions = None,
    over: Over = None,
    title: Title = None,
    size: Where = Size.column,
    name: Name = None,
) -> None:
    """A sweep's points over two parameters, as cells."""
    from archonsim.show import figures as plots

    chart = plots.plot_heatmap(
        _points(table, conditions, over), x, y, value, title=title, size=plots.Size(size)
    )
    write(chart, output, name or "heatmap")


@app.command()
def survival(
    output: Output,
    workload: TracedWorkload,
    images: Images = "0",
    masks: Masks = "trace",
    seed: Seed = 0,
    block: Annotated[
        list[str] | None, typer.Option(help="A block, such as b1; all by default. Repeatable.")
    ] = None,
    size: Where = Size.page,
    name: Name = None,
) -> None:
    """Masks of a workload, pixel by pixel."""
    _draw_masks("survival", output, workload, images, masks, seed, block or [], size, name)


@app.command()
def density(
    output: Output,
    workload: TracedWorkload,
    images: Images = "0",
    masks: Masks = "trace",
    seed: Seed = 0,
    size: Where = Size.column,
    name: Name = None,
) -> None:
    """Masks of a workload, block by block."""
    _draw_masks("density", output, workload, images, masks, seed, [], size, name)


def _draw_masks(
    kind: str,
    output: Path,
    workload: str,
    images: str,
    masks: str,
    seed: int,
    blocks: list[str],
    size: Size,
    name: str | None,
) -> None:
    from archonsim.runs.simulate import choose_images
    from archonsim.show import figures as plots
    from archonsim.trace.what_if import MaskPolicy
    from archonsim.tracefile.find import find_workload, parse_images

    policy, work = MaskPolicy.parse(masks, seed), find_workload(workload)
    numbers = choose_images(work, parse_images(images))
    said = plots.about_workload(work, numbers, policy)
    with StepProgress(
        f"masks of {work.name}", len(blocks) or sum(one.predicted for one in work.blocks())
    ) as progress:
        if kind == "survival":
            frame = plots.survival_frame(
                work, images=numbers, masks=policy, blocks=blocks, on_step=progress.step
            )
        else:
            frame = plots.density_frame(work, images=numbers, masks=policy, on_step=progress.step)
    draw = plots.plot_survival if kind == "survival" else plots.plot_density
    write(draw(frame, subtitle=said, size=plots.Size(size)), output, name or kind)
