"""Trainings that have begun, small enough for the repository: ``python -m workloads.begun``.

``pack FOLDER`` writes a checkpoint folder's weights, as 16-bit floats and compressed, and where it
stands to ``workloads/begun/NAME.npz``; ``unpack NAME`` makes a folder of it again, from which the
same command of ``workloads.train`` goes on. The optimiser's momentum is not kept.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from archonsim.atomic import replacing
from archonsim.errors import WorkloadError
from workloads.checkpoint import CheckpointFolder, Position

FOLDER = Path(__file__).parent / "begun"
#: Where the position stands among the arrays.
_POSITION = "position.json"

app = typer.Typer(add_completion=False, help=__doc__)


def pack(folder: Path, out: Path) -> None:
    """Write the state of a checkpoint folder to an ``.npz``.

    Raises
    ------
    WorkloadError
        There is no checkpoint.
    """
    loaded = CheckpointFolder(folder).load()
    if loaded is None:
        raise WorkloadError(f"{folder}: no checkpoint; it must be a folder of workloads.train")
    position, model, _ = loaded
    arrays: dict[str, Any] = {
        name: (value.half() if value.is_floating_point() else value).numpy()
        for name, value in model.items()
    }
    text = json.dumps(asdict(position)).encode()
    arrays[_POSITION] = np.frombuffer(text, np.uint8)
    with replacing(out) as file:
        np.savez_compressed(file, **arrays)


def unpack(file: Path, folder: Path) -> Position:
    """Make a checkpoint folder of what `pack` wrote; return where it stands.

    Raises
    ------
    WorkloadError
        The file is no such state, or the folder holds a checkpoint already.
    """
    if CheckpointFolder(folder).position() is not None:
        raise WorkloadError(f"{folder}: holds a checkpoint already; it is left as it is")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            position = Position(**json.loads(arrays[_POSITION].tobytes()))
            model = {name: torch.from_numpy(arrays[name]) for name in arrays if name != _POSITION}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkloadError(f"{file}: no training that has begun: {error}") from error
    state = {
        name: value.float() if value.is_floating_point() else value for name, value in model.items()
    }
    CheckpointFolder(folder).save(position, state, {})
    return position


@app.command("pack")
def pack_command(folder: Path) -> None:
    """Write FOLDER's state to workloads/begun."""
    FOLDER.mkdir(exist_ok=True)
    pack(folder, FOLDER / f"{folder.name}.npz")


@app.command("unpack")
def unpack_command(
    name: str,
    out: Annotated[Path, typer.Option(help="folder for checkpoints")] = Path("checkpoints"),
) -> None:
    """Make a folder of NAME, such as mobilenetv2mod_c10-cpu, in OUT."""
    position = unpack(FOLDER / f"{name}.npz", out / name)
    typer.echo(f"{out / name}: phase {position.phase}, step {position.step}")


if __name__ == "__main__":
    app()
