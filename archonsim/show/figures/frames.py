"""Subtitles of figures, from data frames of results; unlike results are refused."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from archonsim.errors import ResultError, nearest
from archonsim.network.workload import Workload
from archonsim.result.report import Report
from archonsim.result.waterfall import Waterfall
from archonsim.result.wording import trust
from archonsim.trace.what_if import MaskPolicy

#: Letters of a workload's note that a subtitle shows; `archonsim inspect` shows all.
NOTE_LETTERS = 110
#: Notes that a subtitle shows.
MOST_NOTES = 3


def shown(workload: str) -> str:
    """Name a workload without the suffix of its file."""
    return str(workload).removesuffix(".h5").removesuffix(".csv")


def about_runs(runs: Sequence[Report]) -> str:
    """Say in a subtitle what was run, and how far it may be trusted."""
    first = runs[0]
    many = len(runs) > 1
    parts = [] if many else [f"{first.arch} on {shown(first.workload)}"]
    parts.append(f"{first.fidelity} fidelity")
    images = {run.images for run in runs if run.image_numbers}
    if not many and first.image_numbers:
        parts.append(images_text(first.image_numbers))
    elif images:
        parts.append(f"images: {', '.join(str(one) for one in sorted(images))}")
    what_if = {run.masks for run in runs} - {"", "trace"}
    parts += [f"what-if masks: {one}" for one in sorted(what_if)]
    known = {shown(run.workload): (run.provenance.masks_from, run.provenance.note) for run in runs}
    return " · ".join([*parts, *_sources(known)])


def about_waterfall(fall: Waterfall) -> str:
    """Say the same of a waterfall."""
    parts = [f"{fall.arch} on {shown(fall.workload)}", "cycle fidelity"]
    parts += [images_text(fall.image_numbers)] if fall.image_numbers else []
    parts += [f"what-if masks: {fall.masks}"] if fall.masks not in ("", "trace") else []
    origin = fall.provenance
    return " · ".join([*parts, *_sources({shown(fall.workload): (origin.masks_from, origin.note)})])


def images_text(images: Sequence[int]) -> str:
    """Say which image a figure is about, or of how many it shows means."""
    return f"image {images[0]}" if len(images) == 1 else f"mean of {len(images)} images"


def about_workload(workload: Workload, images: Sequence[int], masks: MaskPolicy) -> str:
    """Say whose masks a figure shows."""
    origin = workload.provenance
    parts = [
        shown(workload.name),
        images_text(images),
    ]
    parts += [f"what-if masks: {masks}"] if masks.policy != "trace" else []
    return " · ".join([*parts, *_sources({shown(workload.name): (origin.masks_from, origin.note)})])


def about_rows(frame: pd.DataFrame) -> str:
    """Say the same of a comparison's or a sweep's rows, as far as they hold it."""
    archs, workloads = _distinct(frame, "arch"), _distinct(frame, "workload")
    parts = [f"{archs[0]} on {shown(workloads[0])}"] if len(archs) == len(workloads) == 1 else []
    parts += [shown(workloads[0])] if len(archs) > 1 == len(workloads) else []
    parts += [f"{one} fidelity" for one in _distinct(frame, "fidelity")]
    parts += [f"what-if masks: {one}" for one in _distinct(frame, "masks") if one != "trace"]
    if "mask_source" in frame:
        traces = frame.reindex(columns=["workload", "mask_source", "note"]).fillna("")
        traces = traces[traces["mask_source"] != ""].drop_duplicates(
            "workload"
        )  # a row that could not run knows nothing
        parts += _sources(
            {shown(name): (source, note) for name, source, note in traces.itertuples(index=False)}
        )
    return " · ".join(parts)


def _sources(known: dict[str, tuple[str, str]]) -> list[str]:
    """One part for all workloads with the same source of masks, one for each note."""
    by_source: dict[str, list[str]] = {}
    for workload, (source, _) in known.items():
        by_source.setdefault(source, []).append(workload)
    parts = []
    for source, workloads in by_source.items():
        where = f" ({', '.join(workloads)})" if len(by_source) > 1 else ""
        parts.append(trust(source).figure + where)
    # Notes on traces first: how far masks can be trusted matters more than where shapes come from.
    noted = sorted(
        ((workload, *caption) for workload, caption in known.items() if caption[1]),
        key=lambda one: one[1] in ("", "none"),
    )
    for workload, _, note in noted[:MOST_NOTES]:
        parts.append(
            (f"{workload}: " if len(known) > 1 else "")
            + textwrap.shorten(note, NOTE_LETTERS, placeholder=" …")
        )
    return (
        parts
        if len(noted) <= MOST_NOTES
        else [*parts, f"notes on {len(noted) - MOST_NOTES} more workloads"]
    )


def _distinct(frame: pd.DataFrame, column: str) -> list[Any]:
    """Values of a column, or of the frame's attribute of that name (`Result.to_dataframe`)."""
    values = frame[column].dropna().unique() if column in frame else [frame.attrs.get(column, "")]
    return [one for one in values if one != ""]


def check_alike(frame: pd.DataFrame, apart: Sequence[str] = ()) -> None:
    """Refuse rows that must not stand in one figure.

    Parameters
    ----------
    frame : DataFrame
    apart : sequence of str
        Columns that the figure shows as different series, which may differ.

    Raises
    ------
    ResultError
        Fidelities differ, or one workload has several digests.
    """
    fidelities = _distinct(frame, "fidelity")
    if len(fidelities) > 1 and "fidelity" not in apart:
        raise ResultError(
            f"different fidelities do not go into one figure: {', '.join(fidelities)}; choose one"
        )
    if "digest" in frame and "workload" in frame and "digest" not in apart:
        for workload, rows in frame.groupby("workload", sort=False):
            digests = _distinct(rows, "digest")
            if len(digests) > 1:
                short = ", ".join(f"{one[:16]}…" for one in digests)
                raise ResultError(
                    f"different traces of {workload} do not go into one figure: digests {short};"
                    " run all on one"
                )


def need_columns(frame: pd.DataFrame, names: Iterable[str]) -> None:
    """Refuse a frame without a column that a figure needs.

    Raises
    ------
    ResultError
        Names the column and the nearest one that is there.
    """
    for name in names:
        if name not in frame.columns:
            raise ResultError(
                f"no column {name!r} in this table{nearest(name, map(str, frame.columns))}"
            )
