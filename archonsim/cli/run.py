"""``archonsim run``: simulate a workload on a machine."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType

from archonsim.cli.common import Form, Format, emit, save, table_width
from archonsim.cli.forecast import DryRun, Memory, told
from archonsim.cli.options import scenario_options
from archonsim.cli.progress import StepProgress, stderr
from archonsim.engine.observer import SILENT, Recorder
from archonsim.errors import OutputError, SpecError
from archonsim.network.workload import Workload
from archonsim.result.files import to_json
from archonsim.result.report import Report
from archonsim.runs.forecast import apply_budget, forecast_runs, parse_memory
from archonsim.runs.run import Run
from archonsim.runs.scenario import Scenario
from archonsim.show.terminal.text import render
from archonsim.spec.load import override_pairs, parse_value


class Breakdown(StrEnum):
    """What a run's figures are broken down into."""

    energy = "energy"


class Fuse(StrEnum):
    """Which blocks run fused."""

    all = "all"
    advised = "advised"


@scenario_options()
def run(
    scenario: Scenario,
    mapping: Annotated[
        str | None,
        typer.Option(
            help=(
                "Short for --set mapping=...: search, ics21 (dense, sparse) or a file (also archon:"
                " TOML, JSON, or a result.json)."
            )
        ),
    ] = None,
    nnz: Annotated[
        str | None,
        typer.Option(
            help="Short for --set nnz=...: weights, density, ics21, or a CSV or NPZ file (sparse)."
        ),
    ] = None,
    breakdown: Annotated[
        Breakdown | None,
        typer.Option(help="Add a table: energy by component, phase and data kind."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for result.json and result.csv.")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Timeline of the first image for ui.perfetto.dev, such as out.json.gz; 1 us is 1"
                " cycle."
            )
        ),
    ] = None,
    stats: Annotated[
        bool,
        typer.Option(
            "--stats",
            help="Also print words by component and kind, DRAM rows, bank conflicts, SimPy events.",
        ),
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", help="Processes that run images; same result.")
    ] = 1,
    fuse: Annotated[
        Fuse,
        typer.Option(
            "--fuse",
            help=(
                "all: every block with predictors; advised: those that fusing makes faster, the"
                " others as plain layers (archon)."
            ),
        ),
    ] = Fuse.all,
    dry_run: DryRun = False,
    memory: Memory = None,
    form: Form = Format.table,
) -> None:
    """Simulate a workload on an architecture and print cycles by layer and phase."""
    budget = parse_memory(memory) // max(1, jobs)
    recorder = _recorder(trace, scenario)
    short = {"mapping": mapping, "nnz": nnz}
    changes = {key: parse_value(value) for key, value in short.items() if value is not None}
    asked = replace(scenario, set=override_pairs(scenario.set) | changes).prepare()
    if fuse is Fuse.advised:
        apply_budget(budget)
        asked = _as_advised(asked, budget)
    if told(forecast_runs("run", [asked], budget), form, dry_run=dry_run):
        return
    apply_budget(budget)
    with StepProgress(f"{asked.machine.name} on {asked.workload.name}", asked.steps) as progress:
        report = asked.execute(progress.step, recorder or SILENT, jobs)
    if output is not None:
        save(output, "result", to_json(report.to_dict()), report.to_csv())
    if trace is not None and recorder is not None:
        from archonsim.show.timeline.perfetto import write_timeline

        write_timeline(report, recorder.timeline, trace)
        stderr.print(
            f"wrote {trace}: image {report.image_numbers[0]}; open it in https://ui.perfetto.dev",
            style="dim",
        )
    emit(
        form,
        lambda: _tables(report, asked.workload, breakdown, stats),
        lambda: to_json(report.to_dict()),
        report.to_csv,
    )


def _as_advised(asked: Run, budget: int) -> Run:
    """Run as plain layers what fusing makes slower, and say which blocks those are."""
    from archonsim.explain.fusing import choose_fused

    if asked.fidelity == "ideal":
        raise SpecError("--fuse advised goes by masks, which ideal fidelity has not; use cycle")
    blocks = sum(block.predicted for block in asked.workload.blocks())
    with StepProgress("advise", 1 + blocks) as progress:
        work, choices = choose_fused(
            asked.workload,
            asked.machine,
            asked.spec,
            images=asked.images,
            masks=asked.masks,
            budget=budget,
            on_step=progress.step,
        )
    plain = [one for one in choices if not one.fused]
    stderr.print(
        f"--fuse advised: {len(choices) - len(plain)} of {len(choices)} blocks run fused"
        + "".join(f"\n  {one.block} as plain layers: {one.reason}" for one in plain)
    )
    return replace(asked, workload=work)


def _tables(
    report: Report, work: Workload, breakdown: Breakdown | None, stats: bool
) -> RenderableType:
    shown = [render(report, work.provenance, table_width())]
    if breakdown is Breakdown.energy:
        from archonsim.show.terminal.energy_text import render_energy

        shown.append(render_energy(report))
    if stats:
        from archonsim.show.terminal.stats_text import render_stats

        shown.append(render_stats(report))
    return Group(*shown)


def _recorder(path: Path | None, scenario: Scenario) -> Recorder | None:
    """Return what writes a trace's events down, after a look at what is asked for."""
    if path is None:
        return None
    if scenario.fidelity == "ideal":
        raise OutputError(
            f"--trace {path}: ideal fidelity is a closed form in which nothing happens at a time;"
            " use --fidelity cycle"
        )
    from archonsim.show.timeline.perfetto import check_path

    check_path(path)
    return Recorder()
