"""The page of a sweep."""

from __future__ import annotations

from typing import Any

import pandas as pd

from archonsim.machines.registry import machine, machine_spec
from archonsim.result.files import frame_to_csv
from archonsim.result.sweep_table import INFEASIBLE, Asked
from archonsim.show.figures import plot_heatmap, plot_sweep
from archonsim.show.figures.curves import MOST_CURVES
from archonsim.show.figures.frames import about_rows, check_alike, shown
from archonsim.show.figures.points import label, parameters
from archonsim.show.page.model import Card, Interactive, Page, Picture, doubts, grouped, table
from archonsim.spec.load import to_table, to_toml
from archonsim.version import __version__

_MERITS = ("time_ms", "cycles", "energy_uj", "dram_words")
_AXES = ("arch", "workload", "masks", "seed", "images", "fidelity")
HELP = (
    "Choose what lies on which axis. Drag to move, Ctrl and wheel to zoom across, hover or tap a"
    " point for its numbers; infeasible points are crosses below the axis."
)


def _varying(frame: pd.DataFrame, names: list[str]) -> list[str]:
    return [name for name in names if name in frame and frame[name].nunique(dropna=True) > 1]


def _plain(value: Any) -> Any:
    """A value for JSON: None for what is not there, whole numbers whole."""
    if pd.isna(value):
        return None
    if isinstance(value, str):
        return value
    number = float(value)
    return int(number) if number.is_integer() else number


def _scatter(frame: pd.DataFrame, varied: list[str], merits: list[str]) -> Interactive:
    names = [*varied, *merits, "status", "reason"]
    kept = frame.reindex(columns=names)
    rows = [[_plain(value) for value in row] for row in kept.itertuples(index=False, name=None)]
    numeric = [
        all(row[at] is None or not isinstance(row[at], str) for row in rows)
        for at in range(len(names))
    ]
    data = {
        "columns": names,
        "numeric": numeric,
        "rows": rows,
        "across": varied or ["status"],
        "up": merits,
        "colour": [*varied[1:], *varied[:1], "status"],
        "status": names.index("status"),
    }
    alt = "Points of the sweep over parameters of choice; the table of points holds the numbers"
    return Interactive("points", "scatter", "Points", HELP, alt, data)


def _pictures(frame: pd.DataFrame, varied: list[str], merits: list[str]) -> list[Picture]:
    """A curve for one parameter, a heat map for two of one machine and workload.

    More are left to the points above.

    Machines that lack one of the parameters are left to the points and the table, too.
    """
    pictures = []
    frame = frame[frame[varied].notna().all(axis=1)]
    series = _varying(frame, list(_AXES))
    for merit in merits[:3]:
        feasible = frame.loc[frame["status"] != INFEASIBLE, merit]
        curves = frame[[*series, *varied[1:]]].drop_duplicates() if series else frame.iloc[:1]
        if feasible.isna().any() or feasible.empty or len(series) > 2 or len(curves) > MOST_CURVES:
            continue
        caption = (
            f"{label(merit)} over {' and '.join(map(label, varied))}; the table of points says the"
            " same"
        )
        if len(varied) == 1:
            pictures.append(
                Picture(
                    f"curve-{merit}",
                    plot_sweep(frame, varied[0], merit, series, subtitle=""),
                    caption,
                )
            )
        elif len(varied) == 2 and not series:
            pictures.append(
                Picture(
                    f"map-{merit}",
                    plot_heatmap(frame, varied[0], varied[1], merit, subtitle=""),
                    caption,
                )
            )
        elif len(varied) == 2 and len(series) == 1:
            pictures.append(
                Picture(
                    f"curve-{merit}",
                    plot_sweep(frame, varied[0], merit, [varied[1], *series], subtitle=""),
                    caption,
                )
            )
    return pictures


def _cards(
    frame: pd.DataFrame, varied: list[str], series: list[str], merits: list[str]
) -> list[Card]:
    bad = int((frame["status"] == INFEASIBLE).sum())
    cards = [Card("Points", str(len(frame)), f"{bad} infeasible" if bad else "all feasible")]
    merit = merits[0] if merits else ""
    for key, rows in frame.groupby(series, sort=False) if series else [((), frame)]:
        good = rows[rows["status"] != INFEASIBLE]
        if merit and len(good) and len(cards) < 7:
            best = good.loc[good[merit].idxmin()]
            where = ", ".join(
                f"{name} = {_plain(best[name])}" for name in varied if not pd.isna(best[name])
            )
            name = " on ".join(shown(str(one)) for one in key) if series else "best"
            value = f"{best[merit]:.5g}" if best[merit] < 1e4 else grouped(best[merit])
            cards.append(Card(f"Least {label(merit)}{f', {name}' if series else ''}", value, where))
    return cards


def _trust(frame: pd.DataFrame) -> list[str]:
    """How far the workloads may be trusted, as far as the table says where they come from."""
    if "mask_source" not in frame:
        return []
    known = frame.drop_duplicates("workload")[["workload", "mask_source", "note"]].itertuples(
        index=False, name=None
    )
    return [line for workload, source, note in known for line in doubts(workload, source, note)]


def _machines(frame: pd.DataFrame, question: Asked | None) -> list[tuple[str, str]]:
    """Descriptions of the machines without what was varied.

    Nothing where another version ran the sweep.
    """
    if question is None:
        return []
    archs = [str(one) for one in frame["arch"].unique()]
    found = []
    for arch in archs:
        fixed = {
            key.removeprefix(f"{arch}."): value
            for key, value in question.fixed.items()
            if _applies(key, arch, archs)
        }
        found.append(
            (
                f"{arch}, but for what is varied",
                to_toml(to_table(machine_spec(machine(arch), None, fixed))),
            )
        )
    return found


def _applies(key: str, arch: str, archs: list[str]) -> bool:
    return key.startswith(f"{arch}.") or key.partition(".")[0] not in archs


def sweep_page(frame: pd.DataFrame, question: Asked | None = None) -> Page:
    """Put the page of a sweep together.

    Parameters
    ----------
    frame : DataFrame
        The sweep's table.
    question : Asked, optional
        What was asked, as this version's ``sweep.json`` holds it: the machines are resolved from
        it.

    Raises
    ------
    ResultError
        Its rows do not belong together.
    """
    check_alike(frame, ("fidelity",))
    varied = _varying(frame, parameters(frame))
    series = _varying(frame, list(_AXES))
    merits = [name for name in _MERITS if name in frame and frame[name].notna().any()]
    merits += [name for name in frame if str(name).startswith("stall.") and frame[name].any()]
    names = [
        *series,
        *varied,
        *(name for name in ("status", *merits, "macs", "adds", "reason") if name in frame),
    ]
    rows = [
        [_plain(value) for value in row] for row in frame[names].itertuples(index=False, name=None)
    ]
    fixed = [
        (name, _plain(frame[name].dropna().iloc[0]))
        for name in parameters(frame)
        if name not in varied and frame[name].any()
    ]
    origin = [
        (name, ", ".join(shown(str(one)) for one in frame[name].dropna().unique()))
        for name in ("arch", "workload", "digest")
    ]
    origin += [(name, str(value)) for name, value in fixed]
    reasons = (
        frame.loc[frame["status"] == INFEASIBLE, "reason"].dropna().unique()
        if "reason" in frame
        else []
    )
    warnings = [f"infeasible, for one: {reason}" for reason in reasons[:1]]
    if len(reasons) > 1:
        warnings.append(
            f"{len(reasons) - 1} more reasons why points are infeasible are in the table"
        )
    warnings = [*_trust(frame), *warnings]
    machines = ", ".join(frame["arch"].unique())
    return Page(
        title=f"Sweep of {', '.join(varied) or 'no parameter'} on {machines}",
        subtitle=about_rows(frame),
        warnings=warnings,
        cards=_cards(frame, varied, series, merits),
        interactive=[_scatter(frame, [*varied, *series], merits)],
        pictures=_pictures(frame, varied, merits),
        tables=[table("points", "Points", names, rows, frame_to_csv(frame))],
        machines=_machines(frame, question),
        origin=[*origin, ("page written by", f"archonsim {__version__}")],
    )
