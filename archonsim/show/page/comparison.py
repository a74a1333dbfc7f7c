"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from archonsim.result.compare import Comparison
from archonsim.result.files import frame_to_csv
from archonsim.result.report import Report
from archonsim.show.figures import compare_frame, plot_compare, plot_run, run_frame
from archonsim.show.figures.frames import about_rows, shown
from archonsim.show.page.model import Card, Interactive, Page, Picture, Table, grouped, table
from archonsim.show.page.run import origin_of, warnings_of
from archonsim.show.page.timeline import comparison_timeline
from archonsim.spec.load import to_toml

#: Workloads that get a timeline; the figures and the table hold all.
TIMELINES = 4
TIMELINE_HELP = (
    "All machines on one axis of time: phases one after the other, of the first image. Drag to"
    " move, Ctrl and wheel to zoom."
)

_COLUMNS = {
    "workload": "workload", "arch": "machine", "cycles": "cycles", "time_ms": "time ms",
    "energy_uj": "energy µJ", "speedup": "speedup", "pes": "PEs", "buffer_kib": "buffers KiB",
    "area_mm2": "area mm²", "reason": "not possible because",
}  # fmt: skip


def _table(comparison: Comparison) -> Table:
    rows = [
        [shown(row.workload) if key == "workload" else getattr(row, key) for key in _COLUMNS]
        for row in comparison.rows
    ]
    keep = [
        at
        for at, key in enumerate(_COLUMNS)
        if key != "reason" or any(row.reason for row in comparison.rows)
    ]
    names = list(_COLUMNS.values())
    csv = frame_to_csv(compare_frame(comparison))
    return table(
        "comparison",
        "Workloads and machines",
        [names[at] for at in keep],
        [[row[at] for at in keep] for row in rows],
        csv,
    )


def _cards(comparison: Comparison) -> list[Card]:
    """The fastest machine of each workload, against the slowest."""
    cards = []
    for workload in dict.fromkeys(row.workload for row in comparison.rows):
        done = [
            (row.time_ms, row)
            for row in comparison.rows
            if row.workload == workload and row.time_ms and row.cycles is not None
        ]
        if done:
            (best_ms, best), (worst_ms, worst) = (
                choose(done, key=lambda pair: pair[0]) for choose in (min, max)
            )
            note = f"{grouped(best.cycles or 0)} cycles"
            if best is not worst:
                note += f"; {worst_ms / best_ms:.2f} times as fast as {worst.arch}"
            card = f"{best.arch}: {best_ms:.4g} ms"
            cards.append(Card(f"Fastest on {shown(workload)}", card, note))
    return cards


def _pictures(comparison: Comparison, runs: Sequence[Report]) -> list[Picture]:
    frame = compare_frame(comparison)
    archs = list(dict.fromkeys(row.arch for row in comparison.rows))
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
    for number, workload in enumerate(dict.fromkeys(run.workload for run in runs)):
        mine = run_frame([run for run in runs if run.workload == workload])
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


def comparison_page(comparison: Comparison) -> Page:
    """Put the page of a comparison together.

    Parameters
    ----------
    comparison : Comparison
        With its runs there are timelines, phases and descriptions of machines, too.

    Raises
    ------
    ResultError
        Its rows do not belong together.
    """
    runs = [run for run in comparison.runs or () if run is not None]
    workloads = list(dict.fromkeys(run.workload for run in runs))
    looks = [
        Interactive(
            f"timeline{number}",
            "timeline",
            f"Timelines on {shown(workload)}",
            TIMELINE_HELP,
            f"Phases of every machine on {shown(workload)} over time; the table of workloads and"
            " machines holds the sums",
            comparison_timeline([run for run in runs if run.workload == workload]),
        )
        for number, workload in enumerate(workloads[:TIMELINES])
    ]
    warnings = list(
        dict.fromkeys([*comparison.warnings, *(line for run in runs for line in warnings_of(run))])
    )
    base = comparison.rows[comparison.base]
    machines = {run.arch: to_toml(run.machine) for run in runs}
    origin = dict.fromkeys(
        (f"{shown(run.workload)}: {key}", value) for run in runs for key, value in origin_of(run)
    )
    if not runs:
        origin = dict.fromkeys(
            (f"{shown(row.workload)}: trace digest", row.digest or "none")
            for row in comparison.rows
        )
    caption = f"speedups in the table are over {base.arch} on {shown(base.workload)}"
    return Page(
        title=f"Comparison: {', '.join(dict.fromkeys(row.arch for row in comparison.rows))}",
        subtitle=f"{about_rows(compare_frame(comparison))} · {caption}",
        warnings=warnings,
        cards=_cards(comparison),
        interactive=looks,
        pictures=_pictures(comparison, runs),
        tables=[_table(comparison)],
        machines=list(machines.items()),
        includes=list(
            dict.fromkeys(f"{run.arch}: {line}" for run in runs for line in run.includes)
        ),
        excludes=list(
            dict.fromkeys(f"{run.arch}: {line}" for run in runs for line in run.excludes)
        ),
        origin=list(origin),
    )
