"""``archonsim ledger``: what predictors got wrong, and what it cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import Format, emit, find_workload, parse_images, save
from archonsim.cli.progress import StepProgress, say_if_kernels_compile
from archonsim.explain.ledger import MASKS, keep_ledger
from archonsim.explain.ledger_text import render_ledger
from archonsim.machines.registry import machine, machine_spec
from archonsim.report.files import to_json
from archonsim.simulate import choose_images


def ledger(
    workload: Annotated[str, typer.Option("--workload", "-w", help="A workload file (.h5) with predicted and true masks.")],
    arch: Annotated[str, typer.Option("--arch", "-a", help="Architecture that errors cost cycles on.")] = "archon",
    images: Annotated[str, typer.Option(help="Images to book: all, or numbers such as 0 or 0,2-3.")] = "0",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the machine, e.g. pe.adders=4. Repeatable.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with machine parameters, laid over the preset.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for ledger.json and ledger.csv.")] = None,
    form: Annotated[
        Format, typer.Option("--format", "-f", help="What to print; csv has one row for each ReLU of each block.")
    ] = Format.table,
) -> None:
    """Book hits, false alarms and misses of the ReLU predictors, the additions and cycles they cost, and the values they pass.

    Costs are differences of runs: false alarms are taken away first, then misses restored, ReLU by ReLU.
    """
    found = machine(arch)
    spec = machine_spec(found, config, set_ or [])
    work = find_workload(workload)
    numbers = choose_images(work, parse_images(images))
    say_if_kernels_compile()
    with StepProgress(f"ledger of {work.name}", found.steps(work) * len(numbers) * len(MASKS)) as progress:
        book = keep_ledger(work, found, spec, images=numbers, on_step=progress.step)
    if output is not None:
        save(output, "ledger", to_json(book.to_dict()), book.to_csv())
    emit(form, lambda: render_ledger(book), lambda: to_json(book.to_dict()), book.to_csv)
