"""Checkpoints that survive being interrupted at any moment: new files beside the old ones, then one rename."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch


@dataclass(slots=True, kw_only=True)
class Position:
    """Where a run of a recipe stands: `step` of phase number `phase`; what the finished phases reached."""

    recipe: str
    phase: int = 0
    step: int = 0
    results: list[dict[str, Any]] = field(default_factory=list)


class CheckpointFolder:
    """A folder with ``latest.json`` and the tensor files that it names.

    Model and optimiser are two files, so that neither grows beyond what a transfer of small files allows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def load(self) -> tuple[Position, dict[str, Any], dict[str, Any]] | None:
        """Return position, model state and optimiser state (with random generators); None for a fresh folder."""
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


def save_network(path: Path, meta: dict[str, Any], model: dict[str, Any]) -> None:
    """Write a finished flavour: its state and what is known about it."""
    beside = path.with_suffix(".tmp")
    torch.save({"meta": meta, "model": model}, beside)
    beside.replace(path)
