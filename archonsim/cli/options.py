"""Options that mean the same in several commands, said once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import WORKLOAD_HELP, Format
from archonsim.trace.what_if import FORMS


class Fidelity(StrEnum):
    """How closely a run follows the machine."""

    cycle = "cycle"
    ideal = "ideal"


Arch = Annotated[
    str, typer.Option("--arch", "-a", help="Architecture; `archonsim archs` lists them.")
]
WorkloadName = Annotated[str, typer.Option("--workload", "-w", help=WORKLOAD_HELP)]
TracedWorkload = Annotated[
    str, typer.Option("--workload", "-w", help="A workload file (.h5) with masks.")
]
Images = Annotated[
    str, typer.Option("--images", help="Images to run: all, or numbers such as 0 or 0,2-3.")
]
Masks = Annotated[str, typer.Option("--masks", help=f"What-if masks: {FORMS}.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of random and flipped masks.")]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change the machine, e.g. pe.adders=4. Repeatable."
    ),
]
ArchChanges = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="ARCH.KEY=VALUE", help="Change a machine. Repeatable."),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file with machine parameters, laid over the preset."),
]
Form = Annotated[Format, typer.Option("--format", "-f", help="What to print.")]
Energy = Annotated[
    str | None,
    typer.Option(
        "--energy",
        help=(
            "Energy: ics21 as published (ideal fidelity), or a technology file FILE.toml; see"
            " docs/energy.md."
        ),
    ),
]
