"""ICS'21's runs: what each published cell holds, and what our machines give for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from archonsim.reproduce.cell import Status
from archonsim.reproduce.defects import Defect
from archonsim.reproduce.measure import Measured, measure
from archonsim.reproduce.published import read_rows, read_tree

SCOPES = ("head", "bottleneck", "tail", "all")

#: In `Run.trained`: the network has other shapes than those simulated, and its cycles cannot be
#: known.
UNKNOWN = "unknown"


def scope_of(cell: str) -> str:
    """Part of the network that a layer or phase belongs to.

    ``head``, ``bottleneck`` or ``tail``.
    """
    if cell.startswith(("head", "b0.")):
        return "head"
    return "tail" if cell.startswith(("tail", "fc")) else "bottleneck"


@dataclass(frozen=True, slots=True)
class Run:
    """A network on a machine.

    Attributes
    ----------
    id : str
        ``network/dataset/machine``.
    workload : str
        The shapes that were simulated.
    overrides : tuple of str
        Of the machine's description.
    trained : str
        The network with the shapes of its training; empty where these are the same, ``unknown``
        where its cycles are.
    scopes : tuple of str
        Parts of the network that our machine can compute.
    energies : bool
        Whether energies are compared.
    published : dict of cell to cycles
    """

    id: str
    workload: str
    overrides: tuple[str, ...]
    trained: str
    scopes: tuple[str, ...]
    energies: bool
    published: dict[str, int]

    @property
    def arch(self) -> str:
        """The machine."""
        return self.id.rpartition("/")[2]

    @property
    def ours(self) -> Measured:
        """Our machine on the shapes that were simulated."""
        return measure(self.arch, self.workload, self.overrides)

    def own(self, cell: str) -> int | None:
        """Our cycles of a layer or phase; None where they cannot be computed."""
        return self.ours.cycles.get(cell) if scope_of(cell) in self.scopes else None

    def own_total(self, scope: str) -> int | None:
        """Our cycles of a part of the network."""
        if scope not in self.scopes:
            return None
        return sum(
            cycles for cell, cycles in self.ours.cycles.items() if scope in ("all", scope_of(cell))
        )

    @property
    def trained_cycles(self) -> dict[str, int] | None:
        """Our cycles with the shapes of the trained network; None where they cannot be known."""
        if self.trained == UNKNOWN or "all" not in self.scopes:
            return None
        if not self.trained:
            return self.ours.cycles
        overrides = tuple(one for one in self.overrides if not one.startswith("mapping="))
        return measure(self.arch, self.trained, overrides).cycles


@dataclass(frozen=True)
class Runs:
    """All runs and the defects of their figures.

    Attributes
    ----------
    runs : dict of id to Run
    defects : tuple of Defect
    """

    runs: dict[str, Run]
    defects: tuple[Defect, ...]

    @cached_property
    def by_id(self) -> dict[str, Defect]:
        """Defects by name."""
        return {defect.id: defect for defect in self.defects}

    def held(self, run: str, cell: str) -> int | None:
        """Our figure for what is published under a cell's name."""
        (run, cell), parts = self.holder(run, cell)
        own = self.runs[run].own(cell)
        return None if own is None else own // parts

    def holder(self, run: str, cell: str) -> tuple[tuple[str, str], int]:
        """Return the run and cell that a published figure comes from, and its number of parts."""
        for defect in self.defects:
            target = defect.held(run, cell)
            if target == (run, cell):
                return target, defect.parts
            if target:
                return self.holder(*target) if defect.as_published else (target, 1)
        return (run, cell), 1

    def is_given(self, run: str, cell: str) -> bool:
        """Whether our machine repeats the figure that is published under a cell's name."""
        targets = [
            target
            for defect in self.defects
            if (target := defect.held(run, cell)) and target != (run, cell)
        ]
        where, what = targets[0] if targets else (run, cell)
        return what in self.runs[where].ours.given

    def notes(self, run: str, cell: str) -> tuple[str, ...]:
        """Names of the defects that touch a cell."""
        given = self.is_given(run, cell)
        return tuple(
            one.id
            for one in self.defects
            if one.names(run, cell) or (given and one.kind == "given" and one.concerns(run))
        )

    def statuses(self, notes: Sequence[str], *, differs: bool, wrong: bool) -> list[Status]:
        """Return whether a figure `differs` from ours, is known to be `wrong`, and its notes."""
        kinds = {self.by_id[note].kind for note in notes}
        found: list[Status] = ["differs"] if differs else []
        found += ["defect"] if wrong else []
        found += ["given"] if "given" in kinds else []
        return [*found, "shape"] if "shape" in kinds else found


def read_runs() -> Runs:
    """Read the shipped figures, runs and defects."""
    tree = read_tree("ics21")
    rows = read_rows("ics21_cycles")
    runs = {
        name: Run(
            name,
            entry["workload"],
            tuple(entry.get("set", ())),
            entry.get("trained", ""),
            tuple(entry.get("scopes", SCOPES)),
            entry.get("energies", False),
            {row["cell"]: int(row["cycles"]) for row in rows if row["run"] == name},
        )
        for name, entry in tree["run"].items()
    }
    return Runs(runs, tuple(Defect(**entry) for entry in tree["defect"]))
