"""Points of a sweep: columns that are parameters, rows of a figure, and speedups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archonsim.errors import ResultError
from archonsim.result.sweep_table import COUNTED, HEAD, INFEASIBLE, SweepTable, is_parameter
from archonsim.show.figures.frames import check_alike, need_columns, shown

LABELS = {
    "pe.adders": "adders of a PE", "pe.rows": "rows of PEs", "pe.cols": "columns of PEs",
    "pe.fifo_depth": "FIFO depth (entries)", "pe.candidates_per_adder": "candidates per adder",
    "dram.gigabytes_per_second": "DRAM bandwidth (GB/s)",
    "dram.latency_cycles": "DRAM latency (cycles)", "dram.latency_ns": "DRAM latency (ns)",
    "glb.words": "GLB (16-bit words)",
    "clock_mhz": "clock (MHz)", "cycles": "cycles of an image", "time_ms": "time of an image (ms)",
    "energy_uj": "energy of an image (µJ)", "dram_words": "DRAM traffic (16-bit words)",
    "stall.dram": "cycles stalled for DRAM", "stall.broadcast": "cycles stalled by full FIFOs",
    "macs": "MACs", "adds": "additions", "speedup": "speedup", "pes": "PEs",
}  # fmt: skip


def read_sweep(path: Path) -> pd.DataFrame:
    """Return the points of a sweep, given its folder, its ``sweep.json`` or its table.

    Raises
    ------
    ResultError
        As :meth:`archonsim.result.sweep_table.SweepTable.read`.
    """
    return SweepTable.read(Path(path)).frame


def counts(column: str) -> bool:
    """Whether a column counts something, so that its values are large whole numbers."""
    return column in COUNTED or column.startswith("stall.")


def label(column: str) -> str:
    """Write a column's name for people, with its unit.

    That of one machine's parameter without the machine.
    """
    known = (column, column.partition(".")[2])
    return next((LABELS[one] for one in known if one in LABELS), column.replace("_", " "))


def parameters(frame: pd.DataFrame) -> list[str]:
    """Return the columns that hold machines' parameters."""
    return [name for name in frame.columns if is_parameter(str(name))]


def where(frame: pd.DataFrame, conditions: Mapping[str, str]) -> pd.DataFrame:
    """Keep rows whose columns have the values given.

    Raises
    ------
    ResultError
        A column is unknown, or no row is left.
    """
    for column, wanted in conditions.items():
        need_columns(frame, [column])
        values = frame[column]
        kept = frame[(values.map(_plain) == wanted) | (values.map(shown) == wanted)]
        if kept.empty:
            known = ", ".join(dict.fromkeys(values.dropna().map(_plain)))
            raise ResultError(f"no point has {column} = {wanted}; there are {known}")
        frame = kept
    return frame


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def speedups(frame: pd.DataFrame, over: Sequence[str]) -> pd.DataFrame:
    """Return the rows of all machines but those to beat, one for each of these.

    Their time over the row's own as `speedup`.

    A row is set against the other machine's row of the same workload, fidelity, masks, images and
    parameters, as far as the other machine has these parameters.

    Raises
    ------
    ResultError
        A row has no counterpart, or more than one.
    """
    need_columns(frame, ("arch", "workload", "time_ms", "status"))
    check_alike(frame)
    mine = frame[~frame["arch"].isin(list(over))]
    parts = []
    for arch in over:
        base = frame[frame["arch"] == arch]
        if base.empty:
            raise ResultError(
                f"no point of {arch!r} in this table; there are {', '.join(frame['arch'].unique())}"
            )
        shared = [name for name in ("workload", "fidelity", "images") if name in frame]
        shared += [
            name
            for name in parameters(frame)
            if base[name].notna().any() and mine[name].notna().any()
        ]
        if base.duplicated(shared).any():
            raise ResultError(
                f"several points of {arch!r} answer to one of another machine: equal in"
                f" {', '.join(shared)}"
            )
        joined = mine.merge(
            base[[*shared, "time_ms", "status"]], on=shared, how="left", suffixes=("", "_base")
        )
        if joined["status_base"].isna().any():
            lost = joined[joined["status_base"].isna()].iloc[0]
            raise ResultError(
                f"{arch!r} has no point at"
                f" {', '.join(f'{name} = {_plain(lost[name])}' for name in shared)}"
            )
        infeasible = (joined["status"] == INFEASIBLE) | (joined["status_base"] == INFEASIBLE)
        joined["speedup"] = (joined["time_ms_base"] / joined["time_ms"]).where(~infeasible)
        joined["status"] = np.where(infeasible, INFEASIBLE, "ok")
        joined["over"] = arch
        parts.append(joined.drop(columns=["time_ms_base", "status_base"]))
    return pd.concat(parts, ignore_index=True)


def points(frame: pd.DataFrame, axes: Sequence[str], y: str) -> pd.DataFrame:
    """Return the columns that a figure shows, one row for each place in it.

    Parameters
    ----------
    axes : sequence of str
        Columns that tell points apart.
    y : str
        What is drawn.

    Raises
    ------
    ResultError
        Rows are unlike, or several share a place because something else varies, too.
    """
    need_columns(frame, [*axes, y, "status"])
    check_alike(frame, axes)
    lost = frame[frame[axes[-1]].isna()]
    if len(lost):
        machines = ", ".join(lost["arch"].unique()) if "arch" in lost else "some points"
        raise ResultError(
            f"{machines}: no {axes[-1]} there to draw over; choose with --where arch=NAME"
        )
    twice = frame[frame.duplicated(list(axes), keep=False)]
    if len(twice):
        rest = [
            one
            for one in (*HEAD, *parameters(frame))
            if one in frame and one not in (*axes, "key", "digest")
        ]
        varying = {name: twice[name].dropna().map(_plain).unique() for name in rest}
        also = [
            f"{name} ({', '.join(values[:6])})"
            for name, values in varying.items()
            if len(values) > 1
        ]
        raise ResultError(
            f"several points share one place; also varying: {'; '.join(also) or 'nothing'}; choose"
            " with --where"
        )
    if not (frame["status"] != INFEASIBLE).any():
        raise ResultError(f"no point is feasible: {frame['reason'].iloc[0]}")
    extra = [
        name
        for name in ("reason", "cycles", "time_ms", "dram_words")
        if name in frame and name not in (*axes, y)
    ]
    return (
        frame[[*axes, y, "status", *extra]]
        .sort_values(list(axes), kind="stable")
        .reset_index(drop=True)
    )
