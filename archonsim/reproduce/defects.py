"""Known defects of ICS'21's figures: which cells each touches, and what these hold instead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from archonsim.reproduce.cell import Note

Kind = Literal["defect", "rules", "shape", "given", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One entry of ``ics21.toml``.

    Attributes
    ----------
    id, text, corrected : str
        As in :class:`~archonsim.reproduce.cell.Note`.
    runs : sequence of str
        Patterns of the runs that it touches.
    kind : {"defect", "rules", "shape", "given", "note"}
        ``rules``: the source counts otherwise than we do, by rules that are its own affair;
        ``note``: it changes no figure that is compared.
    cells : sequence of str
        Patterns of cells that still hold what they say.
    holds : dict of pattern to template
        Cells that hold another one, ``RUN:CELL`` or a cell of the same run; ``{cell}``,
        ``{machine}``, ``{block}`` and ``{before}`` (the block before) may stand in it.
    as_published : bool
        What a cell holds is the figure published there, whatever that is; otherwise the right one.
    parts : int
        The figure is one of so many equal parts of what it holds.
    energies : sequence of str
        Patterns of cells whose published energy it changes.
    """

    id: str
    text: str
    corrected: str
    runs: Sequence[str]
    kind: Kind = "defect"
    cells: Sequence[str] = ()
    holds: dict[str, str] = field(default_factory=dict)
    as_published: bool = False
    parts: int = 1
    energies: Sequence[str] = ()

    @property
    def note(self) -> Note:
        """What is shown of it."""
        return Note(self.id, self.text, self.corrected)

    def concerns(self, run: str) -> bool:
        """Whether it touches a run."""
        return any(fnmatchcase(run, pattern) for pattern in self.runs)

    def names(self, run: str, cell: str) -> bool:
        """Whether it lists a cell."""
        return self.concerns(run) and any(
            fnmatchcase(cell, pattern) for pattern in (*self.cells, *self.holds)
        )

    def charges(self, run: str, cell: str) -> bool:
        """Whether it touches the energy of a cell."""
        return self.concerns(run) and any(fnmatchcase(cell, pattern) for pattern in self.energies)

    def held(self, run: str, cell: str) -> tuple[str, str] | None:
        """Return the run and cell whose figure is published under a cell's name.

        None where it is the cell's own.
        """
        template = next(
            (held for pattern, held in self.holds.items() if fnmatchcase(cell, pattern)), None
        )
        if template is None or not self.concerns(run):
            return None
        block = re.match(r"b(\d+)\.", cell)
        number = int(block[1]) if block else 0
        target = template.format(
            cell=cell, machine=run.rpartition("/")[2], block=number, before=number - 1
        )
        other, _, inner = target.rpartition(":")
        return other or run, inner
