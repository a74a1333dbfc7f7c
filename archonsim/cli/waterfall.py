"""``archonsim waterfall``: one owner for every cycle."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import WORKLOAD_HELP, Format, emit, find_workload, parse_images, save
from archonsim.cli.progress import StepProgress, say_if_kernels_compile
from archonsim.explain.attribute import explain
from archonsim.explain.relax import runs
from archonsim.explain.waterfall_text import render_waterfall
from archonsim.machines.registry import machine, machine_spec
from archonsim.report.files import to_json
from archonsim.simulate import choose_images
from archonsim.workload.what_if import FORMS, MaskPolicy


class Grain(StrEnum):
    """What one waterfall is about."""

    network = "network"
    layer = "layer"
    phase = "phase"


def waterfall(
    arch: Annotated[str, typer.Option("--arch", "-a", help="Architecture; `archonsim archs` lists them.")],
    workload: Annotated[str, typer.Option("--workload", "-w", help=WORKLOAD_HELP)],
    by: Annotated[Grain, typer.Option(help="Show the network owner by owner, or a line for each layer or phase.")] = Grain.network,
    images: Annotated[str, typer.Option(help="Images to run: all, or numbers such as 0 or 0,2-3.")] = "0",
    masks: Annotated[str, typer.Option(help=f"What-if masks: {FORMS}.")] = "trace",
    seed: Annotated[int, typer.Option(min=0, help="Seed of random and flipped masks.")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the machine, e.g. pe.adders=4. Repeatable.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with machine parameters, laid over the preset.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for waterfall.json and waterfall.csv.")] = None,
    form: Annotated[
        Format, typer.Option("--format", "-f", help="What to print; csv has one row for each owner, of whatever --by says.")
    ] = Format.table,
) -> None:
    """Say which cycles were lost to what: from the work that must be done to the cycles taken, one owner for each.

    The array's losses are counted; what memory costs is the difference of runs in which less and less of it is free.
    """
    found = machine(arch)
    spec = machine_spec(found, config, set_ or [])
    policy = MaskPolicy.parse(masks, seed)
    work = find_workload(workload)
    numbers = choose_images(work, parse_images(images))
    say_if_kernels_compile()
    with StepProgress(f"{arch} on {work.name}", found.steps(work) * len(numbers) * runs(spec)) as progress:
        fall = explain(work, found, spec, images=numbers, masks=policy, on_step=progress.step)
    if output is not None:
        save(output, "waterfall", to_json(fall.to_dict()), fall.to_csv("phase"))
    emit(form, lambda: render_waterfall(fall, by.value), lambda: to_json(fall.to_dict()), lambda: fall.to_csv(by.value))
