"""How much images differ.

The distribution of their times, and of their speedups against a baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from archonsim.errors import ResultError
from archonsim.result.frames import run_frame
from archonsim.result.report import Report
from archonsim.show.figures.chart import Chart
from archonsim.show.figures.frames import about_rows, about_runs, check_alike, need_columns
from archonsim.show.figures.kind import RUNS, Figure, Option
from archonsim.show.figures.style import INK, Size, look, machine_fill, scale
from archonsim.stats.bootstrap import RESAMPLES, SEED, Interval, speedup_interval

MARKS = {"median": (0.5, "-"), "p95": (0.95, "--"), "p99": (0.99, ":")}


def _times(frame: pd.DataFrame) -> pd.Series:
    """Milliseconds of each image."""
    need_columns(frame, ("image", "cycles"))
    clock = frame["clock_mhz"].iloc[0] if "clock_mhz" in frame else frame.attrs.get("clock_mhz")
    if clock is None:
        raise ResultError("no clock in this table, so no times; give it a column clock_mhz")
    return frame.groupby("image", sort=True)["cycles"].sum() / clock / 1000


def images_table(frame: pd.DataFrame, baseline: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return one row for each image, by rising time.

    `time_ms`, the share of images up to it and, with a baseline, `speedup`.

    Raises
    ------
    ResultError
        No image ran (``ideal`` fidelity), or the baseline is another trace, fidelity or set of
        images.
    """
    mine = _times(frame)
    if mine.empty:
        raise ResultError(
            "no image ran by itself here, as in ideal fidelity; use cycle fidelity and --images all"
        )
    table = pd.DataFrame({"image": mine.index, "time_ms": mine.to_numpy()})
    if baseline is not None:
        check_alike(pd.concat([frame, baseline], ignore_index=True))
        base = _times(baseline)
        if list(base.index) != list(mine.index):
            raise ResultError(
                f"the baseline ran images {_listed(base)}, this run {_listed(mine)}; give both the"
                " same --images"
            )
        table["baseline_ms"] = base.to_numpy()
        table["speedup"] = table["baseline_ms"] / table["time_ms"]
    table = table.sort_values("time_ms", kind="stable").reset_index(drop=True)
    table.insert(2, "share", (np.arange(len(table)) + 1) / len(table))
    return table


def _listed(times: pd.Series) -> str:
    return ", ".join(f"{one:g}" for one in times.index[:8]) + (", …" if len(times) > 8 else "")


def plot_images(
    frame: pd.DataFrame,
    baseline: pd.DataFrame | None = None,
    *,
    subtitle: str | None = None,
    size: Size = Size.column,
) -> Chart:
    """Draw the share of images that are done in a time, with median, p95 and p99.

    With a baseline also each image's speedup.

    The interval of the speedup is :func:`archonsim.stats.bootstrap.speedup_interval`'s.

    Parameters
    ----------
    frame : DataFrame
        One row for each image, layer and phase of one run.
    baseline : DataFrame, optional
        The same of another machine on the same images.
    subtitle : str, optional
    size : Size

    Raises
    ------
    ResultError
        As :func:`images_table`.
    """
    table = images_table(frame, baseline)
    caption = about_rows(frame) if subtitle is None else subtitle
    title = f"Time of {len(table)} image{'s' if len(table) > 1 else ''}"
    title = title.replace("Time", "Time and speedup") if baseline is not None else title
    found = None
    if baseline is not None:
        found = speedup_interval(
            table["baseline_ms"].to_numpy(float),
            table["speedup"].rdiv(table["baseline_ms"]).to_numpy(float),
        )
        caption += (
            f" · 95 % interval: percentile bootstrap over images, {RESAMPLES} resamples, seed"
            f" {SEED}"
        )
    with look(size):
        wide = size is not Size.column
        height = 2.0 if wide or found is None else 2.9
        chart = Chart(table, size=size, height=height, title=title, subtitle=caption)
        if found is None:
            _distribution(chart.subplots(), table, size)
        else:
            above, below = (
                chart.subplots(1, 2) if wide else chart.subplots(2, 1, height_ratios=[2, 1])
            )
            _distribution(above, table, size)
            over = (
                str(baseline["arch"].iloc[0])
                if baseline is not None and "arch" in baseline
                else "the baseline"
            )
            _speedups(below, table, found, machine_fill(over).label, size)
    return chart


def _distribution(axes: Axes, table: pd.DataFrame, size: Size) -> None:
    """Steps up to 1, and three quantiles (numpy's linear interpolation between images)."""
    times, share = table["time_ms"].to_numpy(float), table["share"].to_numpy(float)
    axes.step(
        [times[0], *times], [0, *share], where="post", color="#0072B2", marker="", linestyle="-"
    )
    axes.plot(times, share, color="#0072B2", marker="o", linestyle="", markersize=2.6 * scale(size))
    for name, (share_of, dashes) in MARKS.items():
        value = float(np.quantile(times, share_of))
        axes.axvline(
            value,
            color=INK,
            linestyle=dashes,
            linewidth=0.8 * scale(size),
            label=f"{name}: {value:.5g} ms",
        )
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("time of an image (ms)")
    axes.set_ylabel("share of images")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.legend(loc="upper left", frameon=True, edgecolor="none", framealpha=0.85)


def _speedups(axes: Axes, table: pd.DataFrame, found: Interval, over: str, size: Size) -> None:
    """Each image's speedup in a row below the mean with its interval."""
    axes.plot(
        table["speedup"],
        np.zeros(len(table)),
        color="#0072B2",
        marker="|",
        linestyle="",
        markersize=9 * scale(size),
    )
    errors = [[max(0.0, found.value - found.low)], [max(0.0, found.high - found.value)]]
    axes.errorbar(
        [found.value],
        [1],
        xerr=errors,
        color="#D55E00",
        marker="D",
        linestyle="",
        capsize=3 * scale(size),
    )
    text = f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
    above = (0, 5 * scale(size))
    axes.annotate(
        text,
        (found.value, 1),
        xytext=above,
        textcoords="offset points",
        ha="center",
        size=6 * scale(size),
    )
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_yticks([0, 1], ["images", "mean time"])
    axes.set_ylim(-0.6, 1.9)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"speedup over {over}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesOptions:
    """Options of ``archonsim plot images``."""

    of: Annotated[str, Option("Machine whose images are shown, where there are several.")] = (
        "archon"
    )
    over: Annotated[str | None, Option("Machine to beat: the baseline of speedups.")] = None


def _draw(runs: Sequence[Report], options: ImagesOptions, size: Size) -> Chart:
    alone = len(runs) == 1 and options.over is None
    mine = runs[0] if alone else _the_run(runs, options.of)
    base = None if options.over is None else run_frame([_the_run(runs, options.over)])
    return plot_images(run_frame([mine]), base, subtitle=about_runs([mine]), size=size)


def _the_run(runs: Sequence[Report], arch: str) -> Report:
    found = [run for run in runs if run.arch == arch]
    if len(found) != 1:
        known = ", ".join(f"{run.arch} on {run.workload}" for run in runs)
        raise ResultError(
            f"one run of {arch!r} is needed, and here are {len(found)}: {known}; choose with --of"
            " and --over"
        )
    return found[0]


FIGURE = Figure(
    summary="Times of images; speedups with a bootstrap interval.",
    source=RUNS,
    options=ImagesOptions,
    draw=_draw,
    images="all",
)
