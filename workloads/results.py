"""What trainings reached: a small JSON file for each network, which tables are made from."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from archonsim.errors import WorkloadError

#: Results that the repository ships, and how such files are called.
FOLDER = Path(__file__).parent / "reached"
SUFFIX = ".results.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One finished flavour of one network.

    Attributes
    ----------
    test_accuracy : float
        Share of `test_images` test images.
    epochs : float
    seconds : int or None
        Training time of this flavour alone, evaluation during training included; None where it was
        not noted.
    device : str
    """

    network: str
    flavour: str
    recipe: str
    seed: int
    note: str
    test_accuracy: float
    test_images: int
    epochs: float
    seconds: int | None
    device: str


def device_name(device: torch.device, processes: int = 1) -> str:
    """Return what a result says about where it was trained."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = processes * torch.get_num_threads()
    return "1 CPU thread" if threads == 1 else f"{threads} CPU threads"


def write_results(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write the results of a network's finished flavours, ``NETWORK.results.json``, atomically."""
    path = folder / f"{rows[0]['network']}{SUFFIX}"
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    beside.replace(path)


def read_results(folder: Path) -> dict[tuple[str, str], Result]:
    """Return all results of a folder, by network and flavour.

    Raises
    ------
    WorkloadError
        A file holds no results.
    """
    found: dict[tuple[str, str], Result] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            for row in json.loads(path.read_text("utf-8")):
                result = Result(**{one.name: row[one.name] for one in fields(Result)})
                found[result.network, result.flavour] = result
        except (ValueError, KeyError, TypeError) as error:
            raise WorkloadError(
                f"{path}: no results of a training ({type(error).__name__}: {error})"
            ) from error
    return found
