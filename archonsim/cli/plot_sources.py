"""What figures are drawn from: the options that choose it, and how it is read or simulated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archonsim.cli.options import (
    REQUIRED,
    SETTINGS,
    TracedWorkload,
    plain_settings,
    settings_options,
)
from archonsim.cli.progress import StepProgress
from archonsim.cli.results import asked_from, asked_parameters, explained
from archonsim.errors import ResultError
from archonsim.result.compare import Comparison
from archonsim.runs.scenario import Scenario

if TYPE_CHECKING:
    from archonsim.show.figures import Chart, Figure

#: Options by name: their type as typer takes it, and their default.
Options = dict[str, tuple[Any, Any]]
Given = dict[str, Any]
Draw = Callable[[Any], "Chart"]

_NEITHER = "give either a waterfall.json, or what to simulate: --workload and --arch"


@dataclass(frozen=True, slots=True)
class Source:
    """What a figure is drawn from, for the command line.

    Attributes
    ----------
    options : Options
    draw : function of (values of the options, function that draws)
        Reads or simulates, then draws.
    """

    options: Options
    draw: Callable[[Given, Draw], Chart]


def sources(kind: Figure[Any, Any]) -> dict[str, Source]:
    """Return all sources by their names, with a kind's defaults."""
    asked = asked_parameters(images=(SETTINGS["images"][0], kind.images))
    return {
        "run": Source(asked, lambda given, draw: draw(asked_from(given).run())),
        "runs": Source(asked, lambda given, draw: draw(asked_from(given).runs())),
        "comparison": Source(asked, _comparison),
        "waterfall": Source(_WATERFALL, _waterfall),
        "sweep": Source(_SWEEP, _sweep),
        "masks": Source(_MASKS, _masks),
    }


def _comparison(given: Given, draw: Draw) -> Chart:
    found = asked_from(given).results()
    if len(found) > 1 or not isinstance(found[0], Comparison):
        raise ResultError(
            "this figure is drawn from one comparison; give one compare.json of `archonsim"
            " compare -o`"
        )
    return draw(found[0])


_WATERFALL: Options = {
    "file": (
        Annotated[
            Path | None,
            typer.Argument(
                metavar="[WATERFALL]",
                help="waterfall.json of `archonsim waterfall -o`, or its folder.",
                show_default=False,
            ),
        ],
        None,
    ),
    "workload": (
        Annotated[
            str | None,
            typer.Option("--workload", "-w", help="Simulate first: a workload file with masks."),
        ],
        None,
    ),
    "arch": (
        Annotated[str | None, typer.Option("--arch", "-a", help="Architecture to simulate.")],
        None,
    ),
    **settings_options(without=["fidelity", "energy"]),
}


def _waterfall(given: Given, draw: Draw) -> Chart:
    from archonsim.result.stored import read_waterfall

    file, workload, arch = given.pop("file"), given.pop("workload"), given.pop("arch")
    if (file is None) == (workload is None) or (workload is None) != (arch is None):
        raise ResultError(_NEITHER)
    if file is not None:
        return draw(read_waterfall(file))
    return draw(
        explained(Scenario(arch=arch, workload=workload, **plain_settings(given)).prepare())
    )


_SWEEP: Options = {
    "table": (
        Annotated[
            Path,
            typer.Argument(
                metavar="SWEEP",
                help="Folder of `archonsim sweep`, or its results.csv or sweep.json.",
                show_default=False,
            ),
        ],
        REQUIRED,
    ),
    "where": (
        Annotated[
            list[str] | None,
            typer.Option(
                "--where", metavar="COLUMN=VALUE", help="Take these points only. Repeatable."
            ),
        ],
        None,
    ),
    "over": (
        Annotated[
            str | None,
            typer.Option(
                "--over",
                help=(
                    "Machines to beat, separated by commas: adds the column speedup, and over, the"
                    " machine beaten."
                ),
            ),
        ],
        None,
    ),
}


def _sweep(given: Given, draw: Draw) -> Chart:
    from archonsim.result.sweep_table import SweepTable
    from archonsim.show.figures import speedups, where
    from archonsim.show.figures.kind import listed, pairs

    table = SweepTable.read(given["table"])
    frame = where(table.frame, pairs(given["where"] or (), "--where"))
    over = listed(given["over"])
    return draw(replace(table, frame=speedups(frame, over) if over else frame))


_MASKS: Options = {
    "workload": (TracedWorkload, REQUIRED),
    **{name: SETTINGS[name] for name in ("images", "masks", "seed")},
}


def _masks(given: Given, draw: Draw) -> Chart:
    from archonsim.show.figures.masks import Masks
    from archonsim.trace.what_if import MaskPolicy
    from archonsim.tracefile.find import choose_images, find_workload, parse_images

    policy, work = MaskPolicy.parse(given["masks"], given["seed"]), find_workload(given["workload"])
    images = choose_images(work, parse_images(given["images"]))
    blocks = sum(one.predicted for one in work.blocks())
    with StepProgress(f"masks of {work.name}", blocks) as progress:
        return draw(Masks(workload=work, images=images, policy=policy, on_step=progress.step))
