"""A published figure with the simulated one, and all figures of a paper."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from archonsim.result.files import rows_to_csv

SCHEMA = 1

Number = int | float

#: Best first: of a figure made of others, the worst holds.
Status = Literal["exact", "rounding", "shape", "rules", "defect", "given", "differs"]

STATUSES: dict[Status, str] = {
    "exact": "ours is the published figure, to its printed digits (rounded or cut)",
    "rounding": (
        "within rounding of the source's own sums: ours has other last digits, and the published"
        " figure is made of figures that were rounded before (by how much: column within)"
    ),
    "shape": (
        "ours is the published figure, but the simulation ran other shapes than the trained"
        " network has"
    ),
    "rules": (
        "ours is the published figure by the source's own rules of counting; by our consistent"
        " rules it is the one beside it"
    ),
    "defect": (
        "a listed defect of the source: the published figure is reproduced as what it really is,"
        " the right one is beside it"
    ),
    "given": (
        "our machine repeats published cycles here, as what they were computed from is not at hand"
    ),
    "differs": "ours is another figure, and no listed defect explains it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One published figure.

    Attributes
    ----------
    section : str
        Table that it belongs to.
    run : str
        What was run: ``network/dataset/machine``, ``network/variant``.
    item : str
        Layer, phase or sum.
    quantity : str
    published : str
        As printed.
    ours : number or None
        What the published figure is said to be, computed by our machine; None where that cannot be.
    corrected : number or None
        With the source's defects removed; None where it would be the same or cannot be known.
    trained : number or None
        With the shapes of the trained network; None likewise.
    status : str
    within : float or None
        Where ours does not have the published figure's last digits: the rounding of the figures
        that the source added up to it, the largest difference that is not held to be one.
    notes : tuple of str
        Defects that touch it, by name.
    """

    section: str
    run: str
    item: str
    quantity: str
    published: str
    ours: Number | None
    corrected: Number | None = None
    trained: Number | None = None
    status: Status
    within: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """A known defect of a source.

    Attributes
    ----------
    id, text : str
        Name, and what is wrong.
    corrected : str
        What the simulated figure means.
    """

    id: str
    text: str
    corrected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """A paper's figures.

    Attributes
    ----------
    name, source : str
    cells : tuple of Cell
        Headline first.
    notes : tuple of Note
        All known defects.
    """

    name: str
    source: str
    cells: tuple[Cell, ...]
    notes: tuple[Note, ...]

    @property
    def ok(self) -> bool:
        """Whether every figure is exact, within its source's rounding, or listed."""
        return all(cell.status != "differs" for cell in self.cells)

    def tally(self, cells: Iterable[Cell] | None = None) -> dict[Status, int]:
        """Count cells by status; all of them by default."""
        count = Counter(cell.status for cell in (self.cells if cells is None else cells))
        return {status: count[status] for status in STATUSES}

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "source": self.source,
            "ok": self.ok,
            "tally": self.tally(),
            "statuses": STATUSES,
            "notes": [dataclasses.asdict(note) for note in self.notes],
            "cells": [dataclasses.asdict(cell) for cell in self.cells],
        }

    def to_csv(self) -> str:
        """Return one line a figure."""
        rows = [{**dataclasses.asdict(cell), "notes": " ".join(cell.notes)} for cell in self.cells]
        return rows_to_csv(rows, [field.name for field in dataclasses.fields(Cell)])


def worst(statuses: Iterable[Status]) -> Status:
    """Return the status of a figure made of others."""
    order = list(STATUSES)
    return max(statuses, key=order.index, default="exact")
