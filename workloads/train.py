"""``python -m workloads.train NETWORK``: train a network through vanilla, pruned and pred, resuming where it stands."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from archonsim.errors import ArchonsimError
from workloads.data import load
from workloads.recipe import load_recipe
from workloads.trainer import Interrupted, Trainer

#: Exit code of a run that stopped before its end and can go on.
UNFINISHED = 75


class Reporter:
    """Progress on standard error: a line that overwrites itself on a terminal, a line every 30 seconds elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._shown, self._started, self._first = 0.0, time.monotonic(), -1

    def __call__(self, phase: str, step: int, steps: int, loss: float, rate: float) -> None:
        """Show one step, if it is time to."""
        now = time.monotonic()
        if self._first < 0 or step < self._first:
            self._first, self._started = step - 1, now
        live = self._console.is_terminal
        if step < steps and now - self._shown < (0.2 if live else 30.0):
            return
        self._shown = now
        speed = (step - self._first) / max(now - self._started, 1e-9)
        left = (steps - step) / speed / 60
        text = f"{phase}: step {step}/{steps}  loss {loss:.3f}  rate {rate:.4f}  {speed:.2f} steps/s  {left:.1f} min left"
        self._console.print(text, end="\r" if live and step < steps else "\n", highlight=False)


def main(
    network: Annotated[str, typer.Argument(help="fusionet_digits or fusionet_c10")],
    recipe: Annotated[str, typer.Option(help="name of a recipe in workloads/recipes, e.g. cpu, gpu")] = "cpu",
    data: Annotated[Path | None, typer.Option(help="folder of the data set's files")] = None,
    out: Annotated[Path, typer.Option(help="folder for checkpoints")] = Path("checkpoints"),
    minutes: Annotated[float | None, typer.Option(help="stop cleanly after so many minutes; call again to go on")] = None,
) -> None:
    """Train NETWORK through vanilla, pruned and pred. Stop it at any time: the same command goes on."""
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    console = Console(stderr=True, highlight=False)
    try:
        chosen = load_recipe(network, recipe)
        train, test = load(chosen.dataset, "train", data), load(chosen.dataset, "test", data)
        trainer = Trainer(chosen, train, test, out / f"{network}-{recipe}", Reporter(), deadline)
        results = trainer.run()
    except Interrupted as stop:
        console.print(f"stopped at {stop}; the same command goes on")
        sys.exit(UNFINISHED)
    except ArchonsimError as error:
        console.print(f"error: {error}")
        sys.exit(error.exit_code)
    for result in results:
        console.print(f"{result['flavour']}: {result['test_accuracy']:.4f} of {result['test_images']} test images")


if __name__ == "__main__":
    typer.run(main)
