"""``python -m workloads.queue``.

Train what is missing, the most valuable first, within a given time.

Call it as often as there is time: it goes on where it stopped, to the step.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from archonsim.errors import ArchonsimError, WorkloadError
from workloads.book import load_recipe
from workloads.checkpoint import CheckpointFolder, UnfinishedError
from workloads.console import ConsoleReporter
from workloads.data import Split, load
from workloads.recipe import Recipe
from workloads.train import UNFINISHED
from workloads.trainer import Reporter, Trainer

#: In order of value: ARCHON's own network, the modified networks with a baseline to compare with,
#: baselines, CIFAR-100.
ORDER = (
    "fusionet_c10",
    "mobilenetv2mod_c10",
    "mobilenetv2_c10",
    "shufflenetmod_c10",
    "mnasnetmod_c10",
    "shufflenet_c10",
    "mnasnet_c10",
    "fusionet_c100",
    "mobilenetv2_c100",
    "mnasnet_c100",
)


def finished(recipe: Recipe, folder: Path) -> bool:
    """Whether all phases of a recipe are done in `folder`."""
    if not folder.is_dir():
        return False
    loaded = CheckpointFolder(folder).position()
    return loaded is not None and loaded.phase == len(recipe.phases)


def work_off(
    recipes: list[Recipe], data: Path | None, out: Path, reporter: Reporter, deadline: float | None
) -> list[str]:
    """Train what is not finished, in order.

    Returns
    -------
    list of str
        Networks left out because their data set is not in `data`.

    Raises
    ------
    UnfinishedError
        The time is up.
    """
    splits: dict[str, tuple[Split, Split] | None] = {}
    left_out: list[str] = []
    for recipe in recipes:
        folder = out / f"{recipe.network}-{recipe.name}"
        if finished(recipe, folder):
            continue
        if recipe.dataset not in splits:
            try:
                splits[recipe.dataset] = (
                    load(recipe.dataset, "train", data),
                    load(recipe.dataset, "test", data),
                )
            except WorkloadError as error:
                reporter.say(str(error))
                splits[recipe.dataset] = None
        pair = splits[recipe.dataset]
        if pair is None:
            left_out.append(recipe.network)
            continue
        if deadline is not None and time.monotonic() > deadline:
            raise UnfinishedError(f"{recipe.network}: not begun")
        reporter.say(f"{recipe.network}: recipe {recipe.name}")
        Trainer(recipe, *pair, folder, reporter, deadline).run()
    return left_out


def main(
    data: Annotated[Path | None, typer.Option(help="folder of the data sets' files")] = None,
    out: Annotated[Path, typer.Option(help="folder for checkpoints")] = Path("checkpoints"),
    minutes: Annotated[
        float | None, typer.Option(help="stop cleanly after so many minutes; call again to go on")
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="gpu or paper, or a file's NAME in workloads/recipes")
    ] = "gpu",
    only: Annotated[
        list[str] | None, typer.Option(help="train this network alone (may be given several times)")
    ] = None,
) -> None:
    """Train all networks of ICS'21 that are not trained yet.

    Stop it at any time: the same command goes on.
    """
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    console = Console(stderr=True, highlight=False)
    try:
        recipes = [load_recipe(network, recipe) for network in only or ORDER]
        left_out = work_off(recipes, data, out, ConsoleReporter(), deadline)
    except UnfinishedError as stop:
        console.print(f"stopped at {stop}; the same command goes on")
        sys.exit(UNFINISHED)
    except ArchonsimError as error:
        console.print(f"error: {error}")
        sys.exit(error.exit_code)
    if left_out:
        console.print(
            f"error: left out for want of data: {', '.join(left_out)}; all others are trained"
        )
        sys.exit(WorkloadError.exit_code)
    console.print("all trained")


if __name__ == "__main__":
    typer.run(main)
