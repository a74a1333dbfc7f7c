"""Where cycles and energy go: bars stacked by phase, and stalls by their owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from matplotlib.ticker import EngFormatter

from archonsim.errors import ResultError
from archonsim.result.frames import run_frame
from archonsim.result.report import Report
from archonsim.show.figures.chart import Chart
from archonsim.show.figures.frames import about_rows, about_runs, check_alike, need_columns, shown
from archonsim.show.figures.kind import RUNS, Figure, Option
from archonsim.show.figures.style import Fill, Size, brief, look, phase_fill, scale, stall_fill
from archonsim.vocabulary.known import in_order

Quantity = Literal["cycles", "energy"]
By = Literal["layer", "run"]

BAR_INCHES = 0.135


def _labels(frame: pd.DataFrame, by: By) -> pd.Series:
    """Name the bar that each row belongs to: its block or layer, or its run."""
    if by == "layer":
        return frame["name"].where(frame["block"].isna(), frame["name"].str.split(".").str[0])
    workloads, archs = frame["workload"].map(shown), frame["arch"]
    if workloads.nunique() == 1:
        return archs
    return workloads if archs.nunique() == 1 else workloads + " · " + archs


def breakdown_table(
    frame: pd.DataFrame, quantity: Quantity = "cycles", by: By = "layer"
) -> pd.DataFrame:
    """Return one row for each bar and segment.

    Cycles, or energy in uJ, of an image (a mean over those that ran).

    Parameters
    ----------
    frame : DataFrame
        One row for each image, layer and phase, of one run or, with ``by="run"``, of several.

    Raises
    ------
    ResultError
        Rows are unlike, several runs stand where one must, or no energy is known.
    """
    need_columns(frame, ("name", "block", "phase", "cycles", "compute"))
    check_alike(frame)
    runs = [name for name in ("arch", "workload", "masks", "seed") if name in frame]
    if by == "run":
        need_columns(frame, ("arch", "workload"))
    if by == "layer" and runs and len(frame[runs].drop_duplicates()) > 1:
        names = ", ".join(
            " ".join(map(str, row)) for row in frame[runs].drop_duplicates().itertuples(index=False)
        )
        raise ResultError(
            f"one bar a layer needs one run, and here are several: {names}; choose one, or one bar"
            " a run (--by run)"
        )
    parts = _energy(frame) if quantity == "energy" else _cycles(frame)
    row = parts.pop("row").to_numpy()
    value = str(parts.columns[-1])
    parts.insert(0, "bar", _labels(frame, by).to_numpy()[row])
    parts[value] /= images_of(frame, runs).to_numpy()[row]
    table = parts.groupby(["bar", "kind", "segment"], sort=False, as_index=False)[value].sum()
    return table[table[value] > 0].reset_index(drop=True)


def images_of(frame: pd.DataFrame, runs: list[str]) -> pd.Series:
    """How many images ran in each row's run; one where nothing depends on an image."""
    if "image" not in frame:
        return pd.Series(1, index=frame.index)
    each = (
        frame.groupby(runs)["image"].transform("nunique")
        if runs
        else pd.Series(frame["image"].nunique(), index=frame.index)
    )
    return each.clip(lower=1)


def _cycles(frame: pd.DataFrame) -> pd.DataFrame:
    rows = np.arange(len(frame))
    causes = [name.removeprefix("stall_") for name in frame.columns if name.startswith("stall_")]
    causes = in_order("stalls", set(causes))
    parts = [
        {
            "row": rows,
            "kind": "work",
            "segment": frame["phase"].to_numpy(),
            "cycles": frame["compute"].to_numpy(),
        }
    ]
    parts += [
        {"row": rows, "kind": "stall", "segment": one, "cycles": frame[f"stall_{one}"].to_numpy()}
        for one in causes
    ]
    return pd.concat([pd.DataFrame(one) for one in parts], ignore_index=True)


def _energy(frame: pd.DataFrame) -> pd.DataFrame:
    unknown = frame if "energy_pj" not in frame else frame[frame["energy_pj"].isna()]
    if len(unknown):
        arch = unknown["arch"].iloc[0] if "arch" in unknown else "this run"
        raise ResultError(
            f"the energy of {arch} is not known for every phase; choose a machine with an energy"
            " model, or cycles"
        )
    rows = np.arange(len(frame))
    energy = frame["energy_pj"].to_numpy() / 1e6
    return pd.DataFrame(
        {"row": rows, "kind": "work", "segment": frame["phase"].to_numpy(), "energy_uj": energy}
    )


def _fill(kind: str, segment: str) -> Fill:
    return stall_fill(segment) if kind == "stall" else phase_fill(segment)


def plot_run(
    frame: pd.DataFrame,
    *,
    quantity: Quantity = "cycles",
    by: By = "layer",
    subtitle: str | None = None,
    size: Size = Size.column,
) -> Chart:
    """Draw cycles (work of phases, then stalls by owner) or energy, as stacked bars.

    One bar for each layer or block, or for each run.

    Parameters
    ----------
    frame : DataFrame
        Of one run, or of several with ``by="run"``.
    quantity : {"cycles", "energy"}
    by : {"layer", "run"}
    subtitle : str, optional
        By default what the frame holds about its run.
    size : Size

    Raises
    ------
    ResultError
        As :func:`breakdown_table`.
    """
    table = breakdown_table(frame, quantity, by)
    value = str(table.columns[-1])
    bars = list(dict.fromkeys(_labels(frame, by)))
    parts = _energy(frame) if quantity == "energy" else _cycles(frame)
    order = parts[["kind", "segment"]].drop_duplicates()
    order = order[order["segment"].isin(table["segment"])]
    what = "Cycles" if quantity == "cycles" else "Energy"
    with look(size):
        chart = Chart(
            table,
            size=size,
            height=0.75 + BAR_INCHES * max(len(bars), 3) * (1 if by == "layer" else 1.6),
            title=f"{what} by {'layer' if by == 'layer' else 'run'}"
            + (", phase and stall" if what == "Cycles" else " and phase"),
            subtitle=about_rows(frame) if subtitle is None else subtitle,
        )
        axes = chart.subplots()
        reached = dict.fromkeys(bars, 0.0)
        for kind, segment in order.itertuples(index=False):
            rows = table[(table["kind"] == kind) & (table["segment"] == segment)]
            fill = _fill(kind, segment)
            left = [reached[bar] for bar in rows["bar"]]
            places = [bars.index(bar) for bar in rows["bar"]]
            axes.barh(places, rows[value], left=left, height=0.78, label=fill.label, **fill.bar())
            for bar, length in zip(rows["bar"], rows[value], strict=True):
                reached[bar] += length
        total, longest = sum(reached.values()), max(reached.values())
        for place, bar in enumerate(bars):
            text = (
                f"{100 * reached[bar] / total:.1f} %"
                if by == "layer"
                else f"{EngFormatter(places=2, sep='')(reached[bar])}"
            )
            axes.text(
                reached[bar] + 0.012 * longest, place, text, va="center", size=5.8 * scale(size)
            )
        axes.set_yticks(range(len(bars)), map(brief, bars))
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlim(0, longest * 1.12)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("cycles of an image" if quantity == "cycles" else "energy of an image (µJ)")
        chart.legend(loc="outside lower center", ncols=3 if size is Size.column else 4)
    return chart


class Bars(StrEnum):
    """What has a bar of its own."""

    layer = "layer"
    run = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakdownOptions:
    """Options of ``archonsim plot cycles`` and ``energy``."""

    by: Annotated[
        Bars, Option("A bar for each layer or block of one run, or for each of several runs.")
    ] = Bars.layer


def _draw(
    runs: Sequence[Report], options: BreakdownOptions, size: Size, quantity: Quantity
) -> Chart:
    if options.by is Bars.layer and len(runs) > 1:
        raise ResultError(
            f"this figure shows one run, and here are {len(runs)}; give one result.json, or one"
            " --arch"
        )
    return plot_run(
        run_frame(runs),
        quantity=quantity,
        by=options.by.value,
        subtitle=about_runs(runs),
        size=size,
    )


CYCLES = Figure(
    summary="Cycles by phase and stall, stacked; by layer or run.",
    source=RUNS,
    options=BreakdownOptions,
    draw=partial(_draw, quantity="cycles"),
)
ENERGY = Figure(
    summary="Energy by phase, stacked; by layer or run.",
    source=RUNS,
    options=BreakdownOptions,
    draw=partial(_draw, quantity="energy"),
)
