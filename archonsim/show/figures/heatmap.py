"""A heat map of a sweep: one figure of merit over two parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter

from archonsim.result.sweep_table import INFEASIBLE, SweepTable
from archonsim.show.figures.chart import Chart
from archonsim.show.figures.curves import value_name
from archonsim.show.figures.frames import about_rows
from archonsim.show.figures.kind import SWEEP, Figure, Option
from archonsim.show.figures.points import counts, label, points
from archonsim.show.figures.style import Size, look, scale

#: More columns than this, and cells hold no figures.
MOST_CELLS = 12
#: Tick labels that a column has room for.
MOST_ACROSS, MOST_UP = 16, 14
INFEASIBLE_CELL: dict[str, Any] = {"facecolor": "#EEEEEE", "edgecolor": "#777777", "hatch": "xxxx"}


def heatmap_table(frame: pd.DataFrame, x: str, y: str, value: str) -> pd.DataFrame:
    """Return one row for each point: `x`, `y`, `value`, status and reason.

    Raises
    ------
    ResultError
        As :func:`archonsim.show.figures.points.points`.
    """
    table = points(frame, [y, x], value)
    return table[[name for name in (y, x, value, "status", "reason") if name in table]]


def plot_heatmap(
    frame: pd.DataFrame,
    x: str,
    y: str,
    value: str = "cycles",
    *,
    title: str | None = None,
    subtitle: str | None = None,
    size: Size = Size.column,
) -> Chart:
    """Draw a sweep's points as cells.

    Infeasible ones are hatched, those that were not run stay white, the best is framed.

    Parameters
    ----------
    frame : DataFrame
        A sweep's table, of one machine and workload.
    x, y : str
        Parameters, by their dotted keys.
    value : str
        Column to draw; its least value is the best one, of ``speedup`` the greatest.
    title, subtitle : str, optional
    size : Size

    Raises
    ------
    ResultError
        As :func:`heatmap_table`.
    """
    table = heatmap_table(frame, x, y, value)
    grid = table.pivot(index=y, columns=x, values=value)
    bad = table[table["status"] == INFEASIBLE]
    rows, cols = list(grid.index), list(grid.columns)
    cells = np.ma.masked_invalid(grid.to_numpy(float))
    caption = about_rows(frame) if subtitle is None else subtitle
    with look(size):
        named = title or f"{label(value)[0].upper()}{label(value)[1:]} by {label(x)} and {label(y)}"
        chart = Chart(
            table,
            size=size,
            height=0.65 + min(2.4, 0.26 * len(rows) + 0.25),
            title=named,
            subtitle=caption,
        )
        axes = chart.subplots()
        image = axes.imshow(cells, aspect="auto", origin="lower")
        for place in bad[[y, x]].itertuples(index=False, name=None):
            at = (cols.index(place[1]) - 0.5, rows.index(place[0]) - 0.5)
            axes.add_patch(Rectangle(at, 1, 1, **INFEASIBLE_CELL)).set_gid(
                f"infeasible-{at[0]:g}-{at[1]:g}"
            )
        if len(cols) <= MOST_CELLS:
            _figures(axes, image, value, size)
        best = np.unravel_index(
            np.argmax(cells) if value == "speedup" else np.argmin(cells), cells.shape
        )
        edge: dict[str, Any] = {
            "facecolor": "none",
            "edgecolor": "#D55E00",
            "linewidth": 1.4 * scale(size),
        }
        axes.add_patch(Rectangle((best[1] - 0.5, best[0] - 0.5), 1, 1, **edge))
        for set_ticks, values, most in (
            (axes.set_xticks, cols, MOST_ACROSS),
            (axes.set_yticks, rows, MOST_UP),
        ):
            shown = range(0, len(values), -(-len(values) // most))
            set_ticks(shown, [value_name(values[at]) for at in shown])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel(label(x))
        axes.set_ylabel(label(y))
        bar = chart.colorbar(image, ax=axes, label=label(value), pad=0.02)
        bar.outline.set_visible(False)
        if counts(value):
            bar.formatter = EngFormatter(sep="")
            bar.update_ticks()
        kinds = [("best", edge), *([("infeasible", INFEASIBLE_CELL)] if len(bad) else [])]
        handles = [Rectangle((0, 0), 1, 1, **style) for _, style in kinds]
        chart.legend(handles, [name for name, _ in kinds], loc="outside lower center", ncols=2)
    return chart


def _figures(axes: Axes, image: AxesImage, value: str, size: Size) -> None:
    """Write each cell's value into it, dark or light as its colour asks for."""
    cells: np.ma.MaskedArray[Any, Any] = np.ma.asarray(image.get_array())
    short = EngFormatter(places=1, sep="")
    for row, col in np.argwhere(~np.ma.getmaskarray(cells)):
        number = cells[row, col]
        bright = np.dot(image.to_rgba(number)[:3], (0.299, 0.587, 0.114)) > 0.5
        text, color = (
            short(number) if counts(value) else f"{number:.3g}",
            "#111111" if bright else "#FEFEFE",
        )
        axes.text(col, row, text, ha="center", va="center", size=5.5 * scale(size), color=color)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatmapOptions:
    """Options of ``archonsim plot heatmap``."""

    x: Annotated[str, Option("Parameter to the right, such as pe.adders.")]
    y: Annotated[str, Option("Parameter upwards, such as pe.fifo_depth.")]
    value: Annotated[str, Option("Column to draw, such as time_ms or speedup.")] = "cycles"
    title: Annotated[str | None, Option("Instead of one made of the columns' names.")] = None


def _draw(table: SweepTable, options: HeatmapOptions, size: Size) -> Chart:
    return plot_heatmap(
        table.frame, options.x, options.y, options.value, title=options.title, size=size
    )


FIGURE = Figure(
    summary="A sweep's points over two parameters, as cells.",
    source=SWEEP,
    options=HeatmapOptions,
    draw=_draw,
)
