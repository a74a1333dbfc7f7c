"""``archonsim plot curve|heatmap|survival|density``.

Figures of a sweep's table, and of a workload's masks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archonsim.cli import plot
from archonsim.cli.options import REQUIRED, SETTINGS, Command, TracedWorkload, with_options
from archonsim.cli.plot import Name, Output, Size, Where, pairs, write
from archonsim.cli.progress import StepProgress

app = plot.app

if TYPE_CHECKING:
    import pandas as pd

    from archonsim.network.workload import Workload
    from archonsim.show.figures import Chart
    from archonsim.trace.what_if import MaskPolicy

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """A workload whose masks are drawn.

    Attributes
    ----------
    work : Workload
    images : list of int
    policy : MaskPolicy
    """

    work: Workload
    images: list[int]
    policy: MaskPolicy

    def write(
        self, chart: Callable[[Masked, StepProgress], Chart], output: Path, name: str
    ) -> None:
        """Draw with a bar over blocks, and write."""
        blocks = sum(one.predicted for one in self.work.blocks())
        with StepProgress(f"masks of {self.work.name}", blocks) as progress:
            drawn = chart(self, progress)
        write(drawn, output, name)


def _masked(given: dict[str, Any]) -> Masked:
    from archonsim.runs.simulate import choose_images
    from archonsim.trace.what_if import MaskPolicy
    from archonsim.tracefile.find import find_workload, parse_images

    policy, work = MaskPolicy.parse(given["masks"], given["seed"]), find_workload(given["workload"])
    return Masked(
        work=work, images=choose_images(work, parse_images(given["images"])), policy=policy
    )


def masked_options() -> Callable[[Command], Command]:
    """Give a command's parameter `masked` the options that choose masks."""
    chosen = {name: SETTINGS[name] for name in ("images", "masks", "seed")}
    return with_options({"workload": (TracedWorkload, REQUIRED)} | chosen, "masked", _masked)


@app.command()
@masked_options()
def survival(
    output: Output,
    masked: Masked,
    block: Annotated[
        list[str] | None, typer.Option(help="A block, such as b1; all by default. Repeatable.")
    ] = None,
    size: Where = Size.page,
    name: Name = None,
) -> None:
    """Masks of a workload, pixel by pixel."""

    def draw(masked: Masked, progress: StepProgress) -> Chart:
        from archonsim.show import figures as plots

        frame = plots.survival_frame(
            masked.work,
            images=masked.images,
            masks=masked.policy,
            blocks=block or [],
            on_step=progress.step,
        )
        said = plots.about_workload(masked.work, masked.images, masked.policy)
        return plots.plot_survival(frame, subtitle=said, size=plots.Size(size))

    masked.write(draw, output, name or "survival")


@app.command()
@masked_options()
def density(output: Output, masked: Masked, size: Where = Size.column, name: Name = None) -> None:
    """Masks of a workload, block by block."""

    def draw(masked: Masked, progress: StepProgress) -> Chart:
        from archonsim.show import figures as plots

        frame = plots.density_frame(
            masked.work, images=masked.images, masks=masked.policy, on_step=progress.step
        )
        said = plots.about_workload(masked.work, masked.images, masked.policy)
        return plots.plot_density(frame, subtitle=said, size=plots.Size(size))

    masked.write(draw, output, name or "density")
