"""``archonsim sweep``.

A machine's parameters x workloads x architectures x masks into one table.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from archonsim.cli.common import WORKLOAD_HELP, Form, Format, emit, say_written
from archonsim.cli.forecast import DryRun, Memory, told
from archonsim.cli.options import unset_options, with_options
from archonsim.cli.progress import StepProgress, stderr
from archonsim.errors import SpecError
from archonsim.result.files import to_json
from archonsim.result.wording import microjoules, number, origin_line
from archonsim.runs.forecast import apply_budget, parse_memory
from archonsim.show.terminal.style import add_numbers, new_table
from archonsim.sweeps.forecast import forecast_sweep
from archonsim.sweeps.question import Question, ask, read_question
from archonsim.sweeps.runners import Workers
from archonsim.sweeps.store import mask_sources
from archonsim.sweeps.sweep import Forecast, conduct
from archonsim.sweeps.table import Row, read_rows
from archonsim.trace.what_if import FORMS

#: Rows and reasons that the terminal shows.
SHOWN, REASONS = 15, 5


@with_options(
    {
        "workload": (
            Annotated[
                list[str] | None,
                typer.Option("--workload", "-w", help=f"{WORKLOAD_HELP} Repeatable."),
            ],
            None,
        ),
        "arch": (
            Annotated[
                list[str] | None,
                typer.Option(
                    "--arch", "-a", help="Architectures, separated by commas; or all. Repeatable."
                ),
            ],
            None,
        ),
        "params": (
            Annotated[
                list[str] | None,
                typer.Option(
                    "--param",
                    metavar="KEY=VALUES",
                    help="What is varied: pe.rows=4,8,16, pe.adders=2..12, 8..64..8. Repeatable.",
                ),
            ],
            None,
        ),
        **unset_options(
            set=(
                Annotated[
                    list[str] | None,
                    typer.Option(
                        "--set",
                        metavar="KEY=VALUE",
                        help="What is changed in every point. Repeatable.",
                    ),
                ],
                None,
            ),
            masks=(
                Annotated[
                    list[str] | None,
                    typer.Option("--masks", help=f"What-if masks: {FORMS}. Repeatable."),
                ],
                None,
            ),
        ),
    },
    "given",
    lambda given: {name: value for name, value in given.items() if value is not None},
)
def sweep(
    given: dict[str, Any],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="TOML file that holds the whole question, in place of the options.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of table and journal.")
    ] = Path("results/sweep"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the sweep in the folder ended.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes that run points.")] = 1,
    dask: Annotated[
        str | None,
        typer.Option(help="Run points on a Dask cluster: tcp://HOST:PORT of its scheduler."),
    ] = None,
    dry_run: DryRun = False,
    memory: Memory = None,
    form: Form = Format.table,
) -> None:
    """Run all combinations and write one tidy table, results.csv and results.parquet.

    Finished points survive any end.

    A KEY applies to all architectures, ARCH.KEY to one. A point that cannot run is a row with its
    reason.
    """
    question, budget = _question(file, given), parse_memory(memory)
    if told(forecast_sweep(question, budget // max(1, jobs)), form, dry_run=dry_run):
        return
    apply_budget(budget // max(1, jobs))
    points, seen = len(question.grid), 0
    with StepProgress("sweep", points) as progress:

        def count(finished: int) -> None:
            nonlocal seen
            seen = finished
            progress.reach(finished)

        try:
            paths = conduct(
                question,
                output,
                Workers(jobs=jobs, dask=dask),
                resume=resume,
                on_forecast=_tell,
                on_point=count,
            )
        except KeyboardInterrupt:
            stderr.print(
                f"{seen} of {points} points are finished and kept in {output}: go on with the same"
                " command and --resume"
            )
            raise
    say_written(paths)
    emit(
        form,
        lambda: _render(question, output),
        lambda: to_json(list(read_rows(output))),
        lambda: paths[0].read_text("utf-8"),
    )
    check_any_ran(read_rows(output), output)


def check_any_ran(rows: Iterable[Row], folder: Path) -> None:
    """Refuse a table in which nothing ran: a script would go on with nothing.

    Raises
    ------
    SpecError
        No point could run.
    """
    number_of, first = 0, ""
    for row in rows:
        if row["status"] == "ok":
            return
        number_of, first = number_of + 1, first or str(row["reason"])
    raise SpecError(f"none of {number_of} points can run (all are in {folder}); the first: {first}")


def _question(file: Path | None, given: dict[str, Any]) -> Question:
    """Read the question from a file, or from options; not from both."""
    if file is not None:
        if given:
            raise SpecError(
                f"{file}: the file holds the whole question; drop --{min(given)}, or the file"
            )
        return read_question(file)
    for name in ("workload", "arch"):
        if name not in given:
            raise SpecError(f"--{name} is missing: name at least one, or give a TOML file")
    if "fidelity" in given:
        given = given | {"fidelity": str(given["fidelity"])}
    return ask(**given)


def _tell(forecast: Forecast) -> None:
    """Say what a sweep will take."""
    stderr.print(_told(forecast), style="dim")


def _told(forecast: Forecast) -> str:
    points = f"{number(forecast.points)} points"
    if forecast.finished:
        points += f", {number(forecast.finished)} finished"
    if not forecast.left:
        return f"{points}: nothing left to run"
    workers = f"{forecast.workers} workers" if forecast.workers > 1 else "1 process"
    return (
        f"{points}; about {_time(forecast.seconds)} on {workers}, about {forecast.memory_mb:.0f} MB"
        " of memory here"
    )


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _render(question: Question, folder: Path) -> RenderableType:
    """Show the fastest points, and why others cannot run."""
    reasons: Counter[str] = Counter()
    done = 0

    def feasible(row: Row) -> bool:
        nonlocal done
        ok: bool = row["status"] == "ok"
        done += ok
        reasons.update([] if ok else [row["reason"]])
        return ok

    fastest = heapq.nsmallest(
        SHOWN, filter(feasible, read_rows(folder)), key=lambda row: row["time_ms"]
    )
    names = [
        "workload",
        "arch",
        *(["masks"] if len(question.masks) > 1 else []),
        *question.parameters,
    ]
    table = new_table()
    for name in names:
        table.add_column(name)
    add_numbers(table, *("cycles", "ms", "energy uJ"))
    for row in fastest:
        energy = "" if row["energy_uj"] is None else microjoules(row["energy_uj"])
        shown = ["" if row[name] is None else str(row[name]) for name in names]
        table.add_row(*shown, number(row["cycles"]), f"{row['time_ms']:.3f}", energy)
    what = (
        f"the {len(fastest)} fastest of {number(done)}"
        if done > len(fastest)
        else f"{number(done)}"
    )
    notes = Text(
        f"{what} points that run, of {number(len(question.grid))}; all are in {folder}", style="dim"
    )
    for workload, source in mask_sources(folder).items():
        for line in origin_line(workload, source):
            notes.append(f"\n{line}", style="yellow")
    for reason, count in reasons.most_common(REASONS):
        notes.append(f"\n{number(count)} infeasible: {reason}", style="yellow")
    if len(reasons) > REASONS:
        notes.append(f"\nand {len(reasons) - REASONS} more reasons", style="yellow")
    return Group(table, Text(), notes)
