"""The recipes of ICS'21's experiments.

The source's facts network by network, and a fast schedule laid over them.

``recipes/paper.toml`` states the facts, ``recipes/gpu.toml`` what a fast schedule replaces; both by
network name. A recipe of its own is a file ``recipes/NETWORK-NAME.toml``.
"""

from __future__ import annotations

import csv
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from archonsim.errors import WorkloadError, nearest
from archonsim.network.networks import network as table_network
from archonsim.network.workload import Flavour
from workloads.recipe import FOLDER, Phase, Rate, Recipe, Stage, build_part, parse_recipe

FLAVOURS: tuple[Flavour, ...] = ("vanilla", "pruned", "pred")


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment of ICS'21.

    Attributes
    ----------
    dataset, source, variant, published_flavour : str
        As the source names it.
    network, flavour : str
        What it is here.
    accuracy : float or None
        Test accuracy that the authors' log reports.
    note : str
    """

    dataset: str
    source: str
    variant: str
    published_flavour: str
    network: str
    flavour: Flavour
    accuracy: float | None
    note: str


def experiments() -> list[Experiment]:
    """Return all experiments in the order of ``experiments.csv``."""
    with (FOLDER.parent / "experiments.csv").open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    return [
        Experiment(**{**row, "accuracy": float(row["accuracy"]) if row["accuracy"] else None})
        for row in rows
    ]


def _tables(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))


def _paper_phase(
    flavour: Flavour, row: dict[str, Any], schedules: dict[str, Any], where: str
) -> Phase:
    """Read one phase; its `rates` is the name of a schedule."""
    row = dict(row)
    name = row.pop("rates")
    if name not in schedules:
        raise WorkloadError(f"{where}: rates is {name!r}{nearest(name, schedules)}")
    rates = tuple(build_part(Rate, piece, f"{where}: schedule {name}") for piece in schedules[name])
    stage = Stage(epochs=row.pop("epochs"), batch=row.pop("batch"), resolution=32)
    settled = {"peak_rate": 0.0, "nesterov": False, "clip": 0.0}
    fields = {**settled, **row, "flavour": flavour, "rates": rates, "stages": (stage,)}
    phase: Phase = build_part(Phase, fields, where)
    return phase


def paper_recipe(network: str) -> Recipe:
    """Return the authors' recipe of a network.

    Raises
    ------
    WorkloadError
        ICS'21 did not train a network of that name.
    """
    book = _tables("paper")
    if network not in book["network"]:
        raise WorkloadError(f"no recipe for {network!r}{nearest(network, book['network'])}")
    table = dict(book["network"][network])
    rows = {flavour: table.pop(flavour) for flavour in FLAVOURS if flavour in table}
    inherited = rows["vanilla"]["l2"]
    phases = tuple(
        _paper_phase(
            flavour, {"l2": inherited, **row}, book["schedule"], f"paper.toml: {network}.{flavour}"
        )
        for flavour, row in rows.items()
    )
    dataset = table_network(network).provenance.dataset
    fixed = {
        **book["common"],
        **table,
        "name": "paper",
        "network": network,
        "dataset": dataset,
        "phases": phases,
    }
    return build_part(Recipe, fixed, f"paper.toml: {network}")  # type: ignore[no-any-return]


def gpu_recipe(network: str) -> Recipe:
    """Return the fast recipe of a network.

    The authors' penalties, layers left dense and frozen, another schedule.
    """
    book, paper = _tables("gpu"), paper_recipe(network)
    epochs = book["epochs"].get(network, book["epochs"]["default"])
    phases = []
    for phase, count in zip(paper.phases, epochs, strict=False):
        row = dict(book[phase.flavour])
        stage = Stage(epochs=count, batch=row.pop("batch"), resolution=32)
        kept = {"l2": phase.l2, "frozen": phase.frozen, "predictors": phase.predictors}
        phases.append(
            build_part(
                Phase,
                {**kept, **row, "flavour": phase.flavour, "stages": (stage,)},
                f"gpu.toml: {phase.flavour}",
            )
        )
    note = (
        f"one GPU, {'+'.join(f'{count:g}' for count in epochs[: len(phases)])} epochs with a"
        " one-cycle schedule"
    )
    return replace(
        paper, **{**book["common"], "name": "gpu", "note": note, "phases": tuple(phases)}
    )


def load_recipe(network: str, name: str) -> Recipe:
    """Return a recipe: ``paper`` or ``gpu``, or a file ``recipes/NETWORK-NAME.toml``.

    ``paper`` and ``gpu`` exist for every network of ICS'21.
    """
    own: Path = FOLDER / f"{network}-{name}.toml"
    if own.is_file():
        return parse_recipe(own.read_text("utf-8"), own.name)
    makers = {"paper": paper_recipe, "gpu": gpu_recipe}
    if name in makers:
        return makers[name](network)
    known = [
        *makers,
        *(file.stem.removeprefix(f"{network}-") for file in FOLDER.glob(f"{network}-*.toml")),
    ]
    raise WorkloadError(f"no recipe {name!r} for {network}{nearest(name, known)}")
