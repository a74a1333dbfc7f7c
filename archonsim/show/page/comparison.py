"""The page of a comparison."""

from __future__ import annotations

from typing import Any

from archonsim.show.figures import compare_frame, plot_compare, plot_run, run_frame
from archonsim.show.figures.frames import about_rows, shown
from archonsim.show.page.model import Card, Interactive, Page, Picture, Table, grouped, table
from archonsim.show.page.run import origin_of, warnings_of
from archonsim.show.page.timeline import comparison_timeline
from archonsim.spec.load import to_toml

Tree = dict[str, Any]

#: Workloads that get a timeline; the figures and the table hold all.
TIMELINES = 4
TIMELINE_HELP = (
    "All machines on one axis of time: phases one after the other, of the first image. Drag to"
    " move, Ctrl and wheel to zoom."
)

_COLUMNS = {
    "workload": "workload", "arch": "machine", "cycles": "cycles", "time_ms": "time ms", "energy_uj": "energy µJ",
    "speedup": "speedup", "pes": "PEs", "buffer_kib": "buffers KiB", "area_mm2": "area mm²", "reason": "not possible because",
}  # fmt: skip


def _table(tree: Tree) -> Table:
    rows = [
        [shown(row["workload"]) if key == "workload" else row[key] for key in _COLUMNS]
        for row in tree["rows"]
    ]
    keep = [
        at
        for at, key in enumerate(_COLUMNS)
        if key != "reason" or any(row["reason"] for row in tree["rows"])
    ]
    names = list(_COLUMNS.values())
    csv = compare_frame(tree).to_csv(index=False, lineterminator="\n")
    return table(
        "comparison",
        "Workloads and machines",
        [names[at] for at in keep],
        [[row[at] for at in keep] for row in rows],
        csv,
    )


def _cards(tree: Tree) -> list[Card]:
    """The fastest machine of each workload, against the slowest."""
    cards = []
    for workload in dict.fromkeys(row["workload"] for row in tree["rows"]):
        done = [row for row in tree["rows"] if row["workload"] == workload and row["time_ms"]]
        if done:
            best, worst = (
                min(done, key=lambda row: row["time_ms"]),
                max(done, key=lambda row: row["time_ms"]),
            )
            note = f"{grouped(best['cycles'])} cycles"
            if best is not worst:
                note += (
                    f"; {worst['time_ms'] / best['time_ms']:.2f} times as fast as {worst['arch']}"
                )
            cards.append(
                Card(
                    f"Fastest on {shown(workload)}",
                    f"{best['arch']}: {best['time_ms']:.4g} ms",
                    note,
                )
            )
    return cards


def _pictures(tree: Tree, runs: list[Tree]) -> list[Picture]:
    frame = compare_frame(tree)
    archs = list(dict.fromkeys(row["arch"] for row in tree["rows"]))
    pictures = []
    if len(archs) > 1:
        of = "archon" if "archon" in archs else archs[-1]
        chart = plot_compare(frame, of=of, subtitle="")
        pictures.append(
            Picture(
                "speedup",
                chart,
                f"Speedup of {of} over the other machines by workload; the table says the same",
            )
        )
    for number, workload in enumerate(dict.fromkeys(run["workload"] for run in runs)):
        mine = run_frame([run for run in runs if run["workload"] == workload])
        chart = plot_run(mine, by="run", subtitle=shown(workload))
        pictures.append(
            Picture(
                f"cycles{number}", chart, f"Cycles on {shown(workload)} by machine, phase and stall"
            )
        )
        if mine["energy_pj"].notna().all():
            chart = plot_run(mine, quantity="energy", by="run", subtitle=shown(workload))
            pictures.append(
                Picture(
                    f"energy{number}", chart, f"Energy on {shown(workload)} by machine and phase"
                )
            )
    return pictures


def comparison_page(tree: Tree) -> Page:
    """Put the page of a comparison together.

    Parameters
    ----------
    tree : dict
        JSON form of a comparison; with its runs there are timelines, phases and descriptions of
        machines, too.

    Raises
    ------
    ResultError
        Its rows do not belong together.
    """
    runs = [run for run in tree.get("runs", []) if run is not None]
    workloads = list(dict.fromkeys(run["workload"] for run in runs))
    looks = [
        Interactive(
            f"timeline{number}",
            "timeline",
            f"Timelines on {shown(workload)}",
            TIMELINE_HELP,
            f"Phases of every machine on {shown(workload)} over time; the table of workloads and"
            " machines holds the sums",
            comparison_timeline([run for run in runs if run["workload"] == workload]),
        )
        for number, workload in enumerate(workloads[:TIMELINES])
    ]
    warnings = list(
        dict.fromkeys([*tree["warnings"], *(line for run in runs for line in warnings_of(run))])
    )
    base = tree["rows"][tree["base"]]
    machines = {run["arch"]: to_toml(run["machine"]) for run in runs}
    origin = dict.fromkeys(
        (f"{shown(run['workload'])}: {key}", value) for run in runs for key, value in origin_of(run)
    )
    if not runs:
        origin = dict.fromkeys(
            (f"{shown(row['workload'])}: trace digest", row["digest"] or "none")
            for row in tree["rows"]
        )
    said = f"speedups in the table are over {base['arch']} on {shown(base['workload'])}"
    return Page(
        title=f"Comparison: {', '.join(dict.fromkeys(row['arch'] for row in tree['rows']))}",
        subtitle=f"{about_rows(compare_frame(tree))} · {said}",
        warnings=warnings,
        cards=_cards(tree),
        interactive=looks,
        pictures=_pictures(tree, runs),
        tables=[_table(tree)],
        machines=list(machines.items()),
        includes=list(
            dict.fromkeys(f"{run['arch']}: {line}" for run in runs for line in run["includes"])
        ),
        excludes=list(
            dict.fromkeys(f"{run['arch']}: {line}" for run in runs for line in run["excludes"])
        ),
        origin=list(origin),
    )
