"""Speedup over other machines by network.

The figure of the paper (ICS'21, figure of speedups over dense and sparse).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd

from archonsim.errors import ResultError, nearest
from archonsim.result.compare import Comparison
from archonsim.result.frames import compare_frame
from archonsim.show.figures.chart import Chart
from archonsim.show.figures.frames import about_rows, check_alike, need_columns, shown
from archonsim.show.figures.kind import COMPARISON, Figure, Option, listed, pairs
from archonsim.show.figures.style import INK, Size, brief, look, machine_fill, scale

#: Height of a bar in inches, in a column.
BAR_INCHES = 0.15


def speedup_table(
    frame: pd.DataFrame, of: str, over: Sequence[str], baselines: Mapping[str, str]
) -> pd.DataFrame:
    """Return one row for each workload and machine to beat: time there over time on `of`.

    Parameters
    ----------
    frame : DataFrame
        Of a comparison.
    of : str
        The machine whose speedup is shown.
    over : sequence of str
    baselines : mapping of workload to workload
        What the machines to beat run in its place (the network as it was before it was modified,
        say).

    Raises
    ------
    ResultError
        A machine or workload is not in the table, or rows are unlike.
    """
    need_columns(frame, ("workload", "arch", "time_ms", "fidelity", "digest", "reason"))
    check_alike(frame)
    known = [str(one) for one in frame["arch"].unique()]
    for arch in (of, *over):
        if arch not in known:
            raise ResultError(f"no architecture {arch!r} in this comparison{nearest(arch, known)}")
    times = {
        (shown(row.workload), row.arch): (row.time_ms, row.reason) for row in frame.itertuples()
    }
    workloads = list(dict.fromkeys(shown(one) for one in frame["workload"]))
    pairs = {shown(one): shown(base) for one, base in baselines.items()}
    for name in (*pairs, *pairs.values()):
        if name not in workloads:
            raise ResultError(f"no workload {name!r} in this comparison{nearest(name, workloads)}")
    rows = []
    for workload in (one for one in workloads if one not in pairs.values() or one in pairs):
        mine, why = times[workload, of]
        for arch in over:
            base, reason = times[pairs.get(workload, workload), arch]
            possible = pd.notna(mine) and pd.notna(base)
            rows.append(
                {
                    "workload": workload,
                    "baseline": pairs.get(workload, workload),
                    "of": of,
                    "over": arch,
                    "speedup": base / mine if possible else np.nan,
                    "reason": "" if possible else why or reason,
                }
            )
    return pd.DataFrame([*rows, *_geomeans(rows, of, over)])


def _geomeans(
    rows: list[dict[str, object]], of: str, over: Sequence[str]
) -> list[dict[str, object]]:
    means: list[dict[str, object]] = []
    for arch in over:
        values = [
            float(str(row["speedup"])) for row in rows if row["over"] == arch and not row["reason"]
        ]
        if len(values) > 1:
            mean = float(np.exp(np.mean(np.log(values))))
            means.append(
                {
                    "workload": "geometric mean",
                    "baseline": "",
                    "of": of,
                    "over": arch,
                    "speedup": mean,
                    "reason": "",
                }
            )
    return means


def plot_compare(
    frame: pd.DataFrame,
    *,
    of: str = "archon",
    over: Sequence[str] | None = None,
    baselines: Mapping[str, str] | None = None,
    subtitle: str | None = None,
    size: Size = Size.column,
) -> Chart:
    """Draw speedups by network as bars; see :func:`speedup_table` for the other parameters.

    Parameters
    ----------
    over : sequence of str, optional
        By default all other machines in the table.
    subtitle : str, optional
        What is said below the title; by default what the table holds about its runs.
    size : Size

    Raises
    ------
    ResultError
        As `speedup_table`.
    """
    need_columns(frame, ("arch",))
    over = list(over or (str(one) for one in frame["arch"].unique() if one != of))
    table = speedup_table(frame, of, over, baselines or {})
    workloads = list(dict.fromkeys(table["workload"]))
    caption = about_rows(frame) if subtitle is None else subtitle
    with look(size):
        height = 0.55 + BAR_INCHES * (len(over) + 0.7) * len(workloads)
        chart = Chart(
            table,
            size=size,
            height=height,
            title=f"Speedup of {machine_fill(of).label}",
            subtitle=caption,
        )
        axes = chart.subplots()
        top = table["speedup"].max() if table["speedup"].notna().any() else 1.0
        for at, arch in enumerate(over):
            rows = table[table["over"] == arch]
            fill = machine_fill(arch)
            places = [
                workloads.index(one) + 0.8 * ((at + 0.5) / len(over) - 0.5)
                for one in rows["workload"]
            ]
            bars = axes.barh(
                places,
                rows["speedup"].fillna(0),
                height=0.8 / len(over),
                label=f"over {fill.label}",
                **fill.bar(),
            )
            for bar, value in zip(bars, rows["speedup"], strict=True):
                middle = bar.get_y() + bar.get_height() / 2
                text = "not possible" if np.isnan(value) else f"{value:.2f}"
                axes.text(
                    bar.get_width() + 0.02 * top, middle, text, va="center", size=6 * scale(size)
                )
                if np.isnan(value):
                    axes.plot(
                        [0],
                        [middle],
                        color=INK,
                        marker="x",
                        linestyle="",
                        clip_on=False,
                        gid=f"infeasible-{arch}-{middle:g}",
                    )
        axes.set_yticks(range(len(workloads)), map(brief, workloads))
        axes.set_ylim(len(workloads) - 0.5, -0.5)
        axes.set_xlim(0, top * 1.13)
        axes.axvline(1, color="black", linewidth=0.6 * scale(size), linestyle=":")
        axes.set_xlabel("speedup (ratio of times of an image)")
        axes.tick_params(axis="y", length=0)
        if "geometric mean" in workloads:
            axes.axhline(len(workloads) - 1.5, color="black", linewidth=0.4 * scale(size))
        chart.legend(loc="outside lower center", ncols=min(len(over), 3))
    return chart


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedupOptions:
    """Options of ``archonsim plot speedup``."""

    of: Annotated[str, Option("Machine whose speedup is shown.")] = "archon"
    over: Annotated[
        str | None, Option("Machines to beat, separated by commas; all others by default.")
    ] = None
    against: Annotated[
        tuple[str, ...],
        Option(
            "Machines to beat run the second in the first's place.", metavar="WORKLOAD=WORKLOAD"
        ),
    ] = ()


def _draw(comparison: Comparison, options: SpeedupOptions, size: Size) -> Chart:
    return plot_compare(
        compare_frame(comparison),
        of=options.of,
        over=listed(options.over),
        baselines=pairs(options.against, "--against"),
        size=size,
    )


FIGURE = Figure(
    summary="Speedup over other machines, by network.",
    source=COMPARISON,
    options=SpeedupOptions,
    draw=_draw,
)
