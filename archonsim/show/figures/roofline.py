"""A roofline: work a cycle over work for each weight from DRAM, under three bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from archonsim.errors import ResultError
from archonsim.result.frames import run_frame
from archonsim.result.read import from_tree
from archonsim.result.report import Report
from archonsim.result.values import Extent, Positive
from archonsim.show.figures.breakdown import images_of
from archonsim.show.figures.chart import Chart
from archonsim.show.figures.frames import about_rows, about_runs, check_alike, need_columns
from archonsim.show.figures.kind import RUN, Figure, NoOptions
from archonsim.show.figures.style import INK, Size, look, phase_fill, scale
from archonsim.spec.dram_device import channel_rate
from archonsim.spec.parts import WORD_BITS
from archonsim.vocabulary import known

STREAM = "words.dram.read.weight"
_MARKERS = ("o", "s", "^", "D", "v")
#: Operations that rooflines are drawn of, and what bounds them.
_OPERATIONS = {"macs": ("MACs", "one MAC a PE"), "adds": ("additions", "adders of all PEs")}


@dataclass(frozen=True, slots=True)
class Roofs:
    """The bounds of a machine, in operations or words of a cycle.

    Attributes
    ----------
    macs : float
        A multiplication in every PE.
    adds : float or None
        An addition in every adder of every PE; None where PEs have no adders of their own.
    words : float or None
        16-bit words from DRAM; None where DRAM has no limit.
    """

    macs: float
    adds: float | None
    words: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pe:
    """What a roofline needs to know of PEs."""

    rows: Extent
    cols: Extent
    adders: Extent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dram:
    """What it needs to know of DRAM."""

    model: str = "unlimited"
    device: str = ""
    gigabytes_per_second: Positive = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Description:
    """What it needs to know of a machine."""

    pe: _Pe
    clock_mhz: Positive
    dram: _Dram = field(default_factory=_Dram)


def has_array(machine: Mapping[str, Any]) -> bool:
    """Whether a resolved description says how many PEs there are."""
    pe = machine.get("pe")
    return isinstance(pe, Mapping) and {"rows", "cols"} <= pe.keys()


def roofs(machine: Mapping[str, Any]) -> Roofs:
    """Read the bounds off a machine's resolved description.

    Raises
    ------
    ResultError
        It lacks the size of the array or the clock, or one of them is no number.
    """
    if not has_array(machine):
        raise ResultError("a roofline needs a machine with pe.rows and pe.cols; this one has none")
    found = from_tree(_Description, machine, "machine")
    count = found.pe.rows * found.pe.cols
    rate = channel_rate(dataclasses.asdict(found.dram))
    words = None if rate is None else rate * 1000 / (WORD_BITS / 8) / found.clock_mhz
    return Roofs(count, None if found.pe.adders is None else count * found.pe.adders, words)


def roofline_table(frame: pd.DataFrame, machine: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row for each phase and operation.

    Operations for each weight word, operations a cycle, and the bound there.

    Phases whose adds are narrow ones (prediction) have a roof of their own and are left out, and so
    are phases that read no weight from DRAM, as all do in ``ideal`` fidelity.

    Raises
    ------
    ResultError
        The frame holds several runs, or no phase that reads weights from DRAM.
    """
    need_columns(frame, ("name", "phase", "cycles", "macs", "adds"))
    check_alike(frame)
    if "arch" in frame and len(frame[["arch", "workload"]].drop_duplicates()) > 1:
        raise ResultError("a roofline shows one run, and here are several; choose one")
    found = roofs(machine)
    sums = frame.groupby(["name", "phase"], sort=False, as_index=False).sum(numeric_only=True)
    images = float(images_of(frame, []).iloc[0])
    rows = []
    for row in sums[[not known.phase(one).predicts for one in sums["phase"]]].to_dict("records"):
        for operation, roof in (("macs", found.macs), ("adds", found.adds)):
            words = row.get(STREAM, 0.0)
            if roof is None or not row[operation] or not words:
                continue
            intensity = row[operation] / words
            bound = roof if found.words is None else min(roof, intensity * found.words)
            rows.append(
                {
                    "name": row["name"],
                    "phase": row["phase"],
                    "operation": operation,
                    "weight_words": words / images,
                    "per_word": intensity,
                    "per_cycle": row[operation] / row["cycles"],
                    "bound_per_cycle": bound,
                }
            )
    if not rows:
        raise ResultError("no phase reads weights from DRAM, so no roofline; use cycle fidelity")
    return pd.DataFrame(rows)


def plot_roofline(
    frame: pd.DataFrame,
    machine: Mapping[str, Any],
    *,
    subtitle: str | None = None,
    size: Size = Size.column,
) -> Chart:
    """Draw the MAC bound, the adder bound if PEs have adders, and the weight stream's.

    Phases are points below the bounds.

    Parameters
    ----------
    frame : DataFrame
        One row for each image, layer and phase, with words moved, as
        :func:`archonsim.result.frames.run_frame` gives it.
    machine : mapping
        Its resolved description.
    subtitle : str, optional
    size : Size

    Raises
    ------
    ResultError
        As :func:`roofline_table`.
    """
    table, found = roofline_table(frame, machine), roofs(machine)
    operations = list(dict.fromkeys(table["operation"]))
    phases = list(dict.fromkeys(table["phase"]))
    wide = size is not Size.column and len(operations) > 1
    with look(size):
        height = 2.2 if wide else 0.3 + 1.75 * len(operations)
        caption = about_rows(frame) if subtitle is None else subtitle
        chart = Chart(
            table,
            size=size,
            height=height,
            title="Roofline over the weight stream",
            subtitle=caption,
        )
        grid = (
            chart.subplots(1, 2, squeeze=False)
            if wide
            else chart.subplots(len(operations), 1, squeeze=False)
        )
        for axes, operation in zip(grid.flat, operations, strict=True):
            mine = table[table["operation"] == operation]
            _roof(
                axes,
                mine,
                found.macs if operation == "macs" else found.adds or 0.0,
                found.words,
                operation,
                size,
            )
            for place, phase in enumerate(phases):
                points = mine[mine["phase"] == phase]
                color, marker = phase_fill(phase).color, _MARKERS[place % len(_MARKERS)]
                style: dict[str, Any] = {
                    "color": color,
                    "marker": marker,
                    "linestyle": "",
                    "markeredgecolor": INK,
                    "markeredgewidth": 0.4,
                }
                axes.plot(
                    points["per_word"],
                    points["per_cycle"],
                    **style,
                    label=f"{phase_fill(phase).label} phases",
                )
        handles, labels = grid.flat[0].get_legend_handles_labels()
        chart.legend(handles, labels, loc="outside lower center", ncols=len(handles))
    return chart


def _roof(
    axes: Axes, points: pd.DataFrame, roof: float, words: float | None, operation: str, size: Size
) -> None:
    """One flat bound, one slanted one, both named."""
    name, what = _OPERATIONS[operation]
    per_word, per_cycle = points["per_word"], points["per_cycle"]
    zoom = scale(size)
    knee = roof / words if words else float(per_word.min())
    left, right = min(float(per_word.min()), knee) / 2, max(float(per_word.max()), knee) * 3
    line: dict[str, Any] = {"color": INK, "marker": "", "linestyle": "-", "linewidth": 0.9 * zoom}
    axes.plot([knee if words else left, right], [roof, roof], **line)
    text: dict[str, Any] = {"size": 5.8 * zoom, "color": INK}
    axes.annotate(
        f"{what}: {roof:g} a cycle",
        (right, roof),
        xytext=(0, 2 * zoom),
        textcoords="offset points",
        ha="right",
        **text,
    )
    if words:
        slope = np.array([left, knee])
        axes.plot(slope, slope * words, **line)
        caption = f"slope: {words:g} words a cycle from DRAM"
        axes.text(0.98, 0.04, caption, transform=axes.transAxes, ha="right", **text)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    lowest = min([float(per_cycle.min()), left * words] if words else [float(per_cycle.min())])
    axes.set_ylim(lowest / 1.8, roof * 2)
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"{name} for each 16-bit weight word from DRAM")
    axes.set_ylabel(f"{name} a cycle")


def _draw(run: Report, options: NoOptions, size: Size) -> Chart:
    return plot_roofline(run_frame([run]), run.machine, subtitle=about_runs([run]), size=size)


FIGURE = Figure(
    summary="One run under MAC, adder and weight-stream bounds.",
    source=RUN,
    options=NoOptions,
    draw=_draw,
)
