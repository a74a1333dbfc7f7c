"""Checkpoints that survive being interrupted at any moment.

New files beside the old ones, then one rename.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch


class UnfinishedError(Exception):
    """The time is up, or the user pressed Ctrl-C; the state is saved."""


@dataclass(slots=True, kw_only=True)
class Position:
    """Where a run of a recipe stands: `step` of phase number `phase`.

    What the finished phases reached.

    Attributes
    ----------
    best : float
        Best test accuracy of an epoch of the current phase, where the phase keeps the best; -1
        before the first.
    seconds : float
        Time that the current phase has trained for.
    """

    recipe: str
    phase: int = 0
    step: int = 0
    best: float = -1.0
    seconds: float = 0.0
    results: list[dict[str, Any]] = field(default_factory=list)


class CheckpointFolder:
    """A folder with ``latest.json`` and the tensor files that it names.

    Model and optimiser are two files, so that neither grows beyond what a transfer of small files
    allows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def position(self) -> Position | None:
        """Return where the run stands; None for a fresh folder."""
        latest = self.path / "latest.json"
        return (
            Position(**json.loads(latest.read_text("utf-8"))["position"])
            if latest.is_file()
            else None
        )

    def load(self) -> tuple[Position, dict[str, Any], dict[str, Any]] | None:
        """Return position, model state and optimiser state (with random generators).

        None for a fresh folder.
        """
        latest = self.path / "latest.json"
        if not latest.is_file():
            return None
        table = json.loads(latest.read_text("utf-8"))
        model = torch.load(self.path / table["model"], map_location="cpu", weights_only=True)
        rest = torch.load(self.path / table["optimiser"], map_location="cpu", weights_only=True)
        return Position(**table["position"]), model, rest

    def save(self, position: Position, model: dict[str, Any], rest: dict[str, Any]) -> None:
        """Write a new state and forget the one before."""
        stem = f"{position.phase}-{position.step:07d}"
        names = {"model": f"model-{stem}.pt", "optimiser": f"optimiser-{stem}.pt"}
        torch.save(model, self.path / names["model"])
        torch.save(rest, self.path / names["optimiser"])
        beside = self.path / "latest.json.tmp"
        beside.write_text(json.dumps({**names, "position": asdict(position)}, indent=1), "utf-8")
        beside.replace(self.path / "latest.json")
        for old in [*self.path.glob("model-*.pt"), *self.path.glob("optimiser-*.pt")]:
            if old.name not in names.values():
                old.unlink()


def load_tensors(path: Path) -> dict[str, Any]:
    """Read a state that `save_tensors` wrote."""
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def save_tensors(path: Path, state: dict[str, Any]) -> None:
    """Write a state, complete or not at all."""
    beside = path.with_suffix(".tmp")
    torch.save(state, beside)
    beside.replace(path)


def save_network(path: Path, meta: dict[str, Any], model: dict[str, Any]) -> None:
    """Write a finished flavour: its state and what is known about it."""
    save_tensors(path, {"meta": meta, "model": model})
