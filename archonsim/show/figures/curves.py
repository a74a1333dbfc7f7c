"""Curves of a sweep: a figure of merit over a parameter.

One line for each machine, workload or value of a second parameter.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullFormatter,
    NullLocator,
)

from archonsim.errors import ResultError
from archonsim.result.sweep_table import INFEASIBLE, SweepTable
from archonsim.show.figures.chart import Chart
from archonsim.show.figures.frames import about_rows, shown
from archonsim.show.figures.kind import SWEEP, Figure, Option, listed
from archonsim.show.figures.points import counts, label, points
from archonsim.show.figures.style import MACHINES, Size, look, scale

Log = Literal["auto", "none", "x", "xy"]

#: A parameter that spans at least this ratio in steps of at least that one is drawn on a
#: logarithmic axis.
LOG_RATIO, LOG_STEP = 8, 1.3
BANDWIDTH = "dram.gigabytes_per_second"
WORD_BYTES = 2
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D", "#999933")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
#: Tick labels that a column has room for.
MOST_TICKS = 8
#: Curves that colours and dashes tell apart.
MOST_CURVES = len(COLORS) * len(DASHES)


def sweep_table(
    frame: pd.DataFrame, x: str, y: str, series: Sequence[str], asymptote: bool = False
) -> pd.DataFrame:
    """Return one row for each point.

    Series, `x`, `y`, status and reason, and the asymptote where asked for.

    Raises
    ------
    ResultError
        As :func:`archonsim.show.figures.points.points`; or an asymptote is asked of another
        parameter than DRAM bandwidth.
    """
    table = points(frame, [*series, x], y)
    if asymptote:
        if x != BANDWIDTH or y not in ("cycles", "time_ms") or "dram_words" not in table:
            raise ResultError(
                f"the asymptote, bytes / bandwidth, needs --x {BANDWIDTH} and --y time_ms or"
                f" cycles, not {x} and {y}"
            )
        milliseconds = table["dram_words"] * WORD_BYTES / (table[x] * 1e9) * 1e3
        table["bytes_over_bandwidth"] = (
            milliseconds if y == "time_ms" else milliseconds * table["cycles"] / table["time_ms"]
        )
    keep = [*series, x, y, "status", "reason", "bytes_over_bandwidth"]
    return table[[name for name in keep if name in table]]


def value_name(value: Any) -> str:
    """Write a parameter's value for people."""
    return f"{value:g}" if isinstance(value, float | int | np.number) else shown(str(value))


def _series_name(columns: Sequence[str], values: tuple[Any, ...]) -> str:
    parts = []
    for column, value in zip(columns, values, strict=True):
        if value is None:  # a machine without this parameter
            continue
        if column == "over":
            parts.append(f"over {value}")
        elif column == "arch" and value in MACHINES:
            parts.append(MACHINES[value].label)
        else:
            parts.append(
                value_name(value)
                if isinstance(value, str)
                else f"{label(column)}: {value_name(value)}"
            )
    return ", ".join(parts)


def _curves(
    table: pd.DataFrame, columns: Sequence[str]
) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Split the points into curves; all are one curve where no column tells them apart."""
    if not columns:
        return [((), table)]
    found = table.groupby(list(columns), sort=False, dropna=False)
    return [(tuple(None if pd.isna(one) else one for one in key), rows) for key, rows in found]


def _looks(columns: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Colour and marker by the series' first column, dashes and hollow markers by the second."""
    if not columns:
        return [{"color": COLORS[0], "marker": MARKERS[0], "linestyle": DASHES[0]}]
    first = list(dict.fromkeys(key[0] for key in keys))
    second = list(dict.fromkeys(key[1:] for key in keys))
    looks = []
    for key in keys:
        number, other = first.index(key[0]), second.index(key[1:])
        # Without a second column, colours that come again come with other dashes.
        dash = (
            DASHES[other % len(DASHES)]
            if len(columns) > 1
            else DASHES[(number + number // len(COLORS)) % len(DASHES)]
        )
        one = {
            "color": COLORS[number % len(COLORS)],
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": dash,
        }
        looks.append(
            one | {"markerfacecolor": "white" if other and len(columns) > 1 else one["color"]}
        )
    return looks


def _scale_axes(axes: Axes, values: list[Any], y: str, log: Log) -> None:
    """Ticks at the points themselves; a logarithmic axis where they span much."""
    numeric = all(isinstance(value, int | float | np.number) for value in values)
    if not numeric:
        axes.set_xticks(range(len(values)), [str(value) for value in values])
        return
    spread = min(values) > 0 and len(values) > 3 and max(values) / min(values) >= LOG_RATIO
    spread = (
        spread and min(after / before for before, after in itertools.pairwise(values)) >= LOG_STEP
    )
    if log in ("x", "xy") or (log == "auto" and spread):
        axes.set_xscale("log")
    step = -(-len(values) // MOST_TICKS)
    axes.xaxis.set_major_locator(FixedLocator(values[::step]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    if log == "xy":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(0, axes.dataLim.y1 * 1.06)
    if counts(y):
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def plot_sweep(
    frame: pd.DataFrame,
    x: str,
    y: str = "cycles",
    series: str | Sequence[str] | None = None,
    *,
    asymptote: bool = False,
    log: Log = "auto",
    title: str | None = None,
    subtitle: str | None = None,
    size: Size = Size.column,
) -> Chart:
    """Draw a sweep's points as curves; infeasible ones as crosses at the upper edge.

    Parameters
    ----------
    frame : DataFrame
        A sweep's table; several machines and workloads may stand in it.
    x : str
        Parameter, by its dotted key.
    y : str
        Column to draw (``cycles``, ``time_ms``, ``energy_uj``, ``stall.dram``; ``speedup`` after
        :func:`archonsim.show.figures.points.speedups`).
    series : str or one or two strs, optional
        Columns with one curve for each value; the first is shown by colour, the second by dashes.
    asymptote : bool
        Draw the bound bytes / bandwidth of each curve; `x` must be the DRAM's bandwidth.
    log : {"auto", "none", "x", "xy"}
    title, subtitle : str, optional
    size : Size

    Raises
    ------
    ResultError
        As :func:`sweep_table`; or there are too many curves.
    """
    columns = [series] if isinstance(series, str) else list(series or [])
    table = sweep_table(frame, x, y, columns, asymptote)
    curves = _curves(table, columns)
    if len(curves) > MOST_CURVES:
        raise ResultError(
            f"{len(curves)} curves cannot be told apart; choose with --where, or draw a heatmap"
        )
    looks = _looks(columns, [key for key, _ in curves])
    numeric = table[x].dtype.kind in "iuf"
    values = sorted(table[x].unique().tolist()) if numeric else list(table[x].unique())
    place = {value: value if numeric else at for at, value in enumerate(values)}
    caption = about_rows(frame) if subtitle is None else subtitle
    with look(size):
        named = title or f"{label(y)[0].upper()}{label(y)[1:]} by {label(x)}"
        chart = Chart(
            table, size=size, height=1.75 + 0.13 * (len(curves) + 1), title=named, subtitle=caption
        )
        axes = chart.subplots()
        for number, ((key, rows), style) in enumerate(zip(curves, looks, strict=True)):
            at, good = rows[x].map(place), rows["status"] != INFEASIBLE
            axes.plot(
                at[good], rows[y][good], label=_series_name(columns, key) or label(y), **style
            )
            if asymptote:
                bound: dict[str, Any] = {
                    "color": style["color"],
                    "linestyle": ":",
                    "marker": "",
                    "linewidth": 0.7 * scale(size),
                }
                axes.plot(at[good], rows["bytes_over_bandwidth"][good], **bound)
            if not good.all():
                _cross(axes, at[~good], number, style["color"])
        _scale_axes(axes, values, y, log)
        axes.grid(axis="y")
        axes.set_xlabel(label(x))
        axes.set_ylabel(label(y))
        _legend(chart, axes, bool((table["status"] == INFEASIBLE).any()), asymptote)
    return chart


def _cross(axes: Axes, at: pd.Series, number: int, color: str) -> None:
    """Put a curve's infeasible points in a strip above the axes, where no value is."""
    height = [1.06 + 0.06 * number] * len(at)
    style: dict[str, Any] = {"color": color, "marker": "x", "linestyle": "", "clip_on": False}
    axes.plot(at, height, transform=axes.get_xaxis_transform(), gid=f"infeasible-{number}", **style)


def _legend(chart: Chart, axes: Axes, infeasible: bool, asymptote: bool) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if asymptote:
        handles.append(
            Line2D(
                [],
                [],
                color="#4D4D4D",
                linestyle=":",
                marker="",
                linewidth=0.7 * scale(chart.chart_size),
            )
        )
        labels.append("bytes / bandwidth")
    if infeasible:
        handles.append(Line2D([], [], color="#4D4D4D", marker="x", linestyle=""))
        labels.append("infeasible")
    if len(handles) > 1:
        longest = max(len(one) for one in labels)
        chart.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=1 if longest > 34 else 2 if longest > 16 else 3,
        )


class Logarithmic(StrEnum):
    """Which axes are logarithmic."""

    auto = "auto"
    none = "none"
    x = "x"
    xy = "xy"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveOptions:
    """Options of ``archonsim plot curve``."""

    x: Annotated[str, Option("Parameter on the axis, such as pe.adders.")]
    y: Annotated[
        str, Option("Column to draw, such as time_ms, energy_uj, stall.dram or speedup.")
    ] = "cycles"
    series: Annotated[
        str | None,
        Option("One or two columns, separated by a comma: a curve for each of their values."),
    ] = None
    asymptote: Annotated[bool, Option("Over DRAM bandwidth: draw the bound bytes / bandwidth.")] = (
        False
    )
    log: Annotated[
        Logarithmic, Option("Logarithmic axes; auto: x where its values are far apart.")
    ] = Logarithmic.auto
    title: Annotated[str | None, Option("Instead of one made of the columns' names.")] = None


def _draw(table: SweepTable, options: CurveOptions, size: Size) -> Chart:
    return plot_sweep(
        table.frame,
        options.x,
        options.y,
        listed(options.series),
        asymptote=options.asymptote,
        log=options.log.value,
        title=options.title,
        size=size,
    )


FIGURE = Figure(
    summary="A sweep's points over one parameter, as curves.",
    source=SWEEP,
    options=CurveOptions,
    draw=_draw,
)
