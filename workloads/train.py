"""``python -m workloads.train NETWORK``.

Train a network through vanilla, pruned and pred, resuming where it stands.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from archonsim.errors import ArchonsimError
from workloads.book import load_recipe
from workloads.console import ConsoleReporter
from workloads.data import load
from workloads.trainer import Trainer, UnfinishedError

#: Exit code of a run that stopped before its end and can go on.
UNFINISHED = 75


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
) -> None:
    """Train NETWORK through vanilla, pruned and pred.

    Stop it at any time: the same command goes on.
    """
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    console = Console(stderr=True, highlight=False)
    try:
        chosen = load_recipe(network, recipe)
        train, test = load(chosen.dataset, "train", data), load(chosen.dataset, "test", data)
        trainer = Trainer(
            chosen, train, test, out / f"{network}-{recipe}", ConsoleReporter(), deadline, start
        )
        results = trainer.run()
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
