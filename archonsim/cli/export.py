"""``archonsim export``: from a trained PyTorch network to a workload file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archonsim.cli.common import PLAIN_HELP
from archonsim.cli.progress import stderr
from archonsim.errors import UserError


def export(
    network: Annotated[str, typer.Option("--network", "-n", help="A network of ours by name, e.g. fusionet_c10.")],
    checkpoint: Annotated[Path, typer.Option("--checkpoint", "-c", help="Its trained weights, as workloads/train.py leaves them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The workload file to write.")],
    images: Annotated[Path | None, typer.Option(help="Folder of the data set (CIFAR-10); the digits need none.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Test images whose masks are stored.")] = 4,
    plain: Annotated[bool, typer.Option("--plain", help=PLAIN_HELP)] = False,
) -> None:
    """Run test images through a trained network and store masks, maps, weights and predictors as a workload file."""
    try:
        from archonsim.export.command import export_to_file
    except ImportError as error:
        raise UserError(
            f"archonsim export needs PyTorch, and {error.name} is not installed: pip install 'archonsim[train]'"
        ) from error
    with stderr.status(f"exporting {network}"):
        work, digest = export_to_file(network, checkpoint, images, count, output, plain=plain)
    stderr.print(f"wrote {output}: {work.images} images, digest {digest[:16]}…")
