"""``python -m workloads.digits``.

Train the digits network from nothing and export it, in a few minutes on two cores.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from archonsim.errors import ArchonsimError
from archonsim.export.command import Request, export_known
from workloads.book import load_recipe
from workloads.checkpoint import UnfinishedError
from workloads.console import ConsoleReporter
from workloads.data import load
from workloads.trainer import Trainer

NETWORK = "fusionet_digits"


def main(
    out: Annotated[Path, typer.Option(help="workload file to write")] = Path(__file__).parent
    / f"{NETWORK}.h5",
    images: Annotated[int, typer.Option(help="test images with masks in the file")] = 8,
) -> None:
    """Train NETWORK by its recipe and write its workload file."""
    console = Console(stderr=True, highlight=False)
    recipe = load_recipe(NETWORK, "cpu")
    train, test = load("digits", "train", None), load("digits", "test", None)
    try:
        with tempfile.TemporaryDirectory() as folder:
            Trainer(recipe, train, test, Path(folder), ConsoleReporter(), None).run()
            request = Request(network=NETWORK, checkpoint=Path(folder) / "pred.pt", count=images)
            workload, digest = export_known(request, out)
    except UnfinishedError as stop:
        console.print(f"stopped at {stop}; nothing is kept")
        sys.exit(130)
    except ArchonsimError as error:
        console.print(f"error: {error}")
        sys.exit(error.exit_code)
    accuracy = workload.provenance.test_accuracy
    console.print(
        f"wrote {out}: {out.stat().st_size} bytes, {images} images, test accuracy {accuracy:.4f},"
        f" digest {digest}"
    )


if __name__ == "__main__":
    typer.run(main)
