"""``python -m workloads.train NETWORK``.

Train a network through vanilla, pruned and pred, resuming where it stands.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from archonsim.errors import ArchonsimError
from workloads.book import load_recipe
from workloads.checkpoint import UnfinishedError
from workloads.console import ConsoleReporter, Silent
from workloads.data import load
from workloads.recipe import Recipe
from workloads.team import Team, together
from workloads.trainer import Trainer

#: Exit code of a run that stopped before its end and can go on.
UNFINISHED = 75


def train_in(
    team: Team,
    recipe: Recipe,
    data: Path | None,
    folder: Path,
    deadline: float | None,
    start: Path | None,
) -> list[dict[str, Any]]:
    """Train as one process of a team; return what each phase reached."""
    train, test = load(recipe.dataset, "train", data), load(recipe.dataset, "test", data)
    reporter = ConsoleReporter() if team.first else Silent()
    return Trainer(recipe, train, test, folder, reporter, deadline, start, team=team).run()


def main(
    network: Annotated[str, typer.Argument(help="a network of ICS'21, or fusionet_digits")],
    recipe: Annotated[
        str, typer.Option(help="paper, gpu, or a file's NAME in workloads/recipes")
    ] = "paper",
    data: Annotated[Path | None, typer.Option(help="folder of the data set's files")] = None,
    out: Annotated[Path, typer.Option(help="folder for checkpoints")] = Path("checkpoints"),
    start: Annotated[
        Path | None,
        typer.Option(help="weights that the recipe starts from (torchvision's mobilenet_v2, .pth)"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="stop cleanly after so many minutes; call again to go on")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="train in so many processes that share every batch")
    ] = 1,
) -> None:
    """Train NETWORK through vanilla, pruned and pred.

    Stop it at any time: the same command goes on.
    """
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    console = Console(stderr=True, highlight=False)
    try:
        chosen = load_recipe(network, recipe)
        folder = out / f"{network}-{recipe}"
        results = together(processes, train_in, chosen, data, folder, deadline, start)
    except UnfinishedError as stop:
        console.print(f"stopped at {stop}; the same command goes on")
        sys.exit(UNFINISHED)
    except ArchonsimError as error:
        console.print(f"error: {error}")
        sys.exit(error.exit_code)
    for result in results:
        console.print(
            f"{result['flavour']}: {result['test_accuracy']:.4f} of {result['test_images']} test"
            " images"
        )


if __name__ == "__main__":
    typer.run(main)
