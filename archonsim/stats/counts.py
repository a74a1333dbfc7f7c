"""What is counted: integers by component, direction and data kind, and cycles by owner."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

from archonsim.vocabulary.kinds import ActionKind, DataKind

Direction = Literal["read", "write"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Data that moves through one port.

    Attributes
    ----------
    component : str
        A memory: a common one, or one that the machine declares.
    direction : {"read", "write"}
        As the component sees it.
    kind : str
        Kind of data, likewise.
    words : int
        16-bit words.
    """

    component: str
    direction: Direction
    kind: DataKind
    words: int


@dataclass(slots=True)
class PhaseStats:
    """What one phase of one item took, for one image.

    Attributes
    ----------
    cycles : int
        From the phase's start to the end of its last store.
    compute : int
        Cycles in which the array issued work; ``cycles = compute + sum(stalls)``.
    stalls : Counter
        Cycles by cause, as :data:`archonsim.vocabulary.stalls.STALLS` and the machine's own
        vocabulary define them.
    macs, adds : int
        Multiplications and additions that the machine did.
    adds_possible : int
        Additions if every candidate survived.
    traffic : Counter
        16-bit words that passed a port, by (component, direction, kind).
    activity : Counter
        What else happened, by ``part.what``: ``dram.turnarounds``, ``dram.row_misses``,
        ``glb.read.conflict_cycles``, ``simpy.events``, ...
    bounds : dict of cause to cycles
        Cycles that the array would take if only this cause and those before it existed; see
        `Phase.bounds` in the engine.
    actions : Counter
        What energy is charged for, by (component, action, kind): 16-bit words read from and written
        to every memory, down to those of the PEs, and how often other parts did what they do.
    """

    cycles: int = 0
    compute: int = 0
    stalls: Counter[str] = field(default_factory=Counter)
    macs: int = 0
    adds: int = 0
    adds_possible: int = 0
    traffic: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    activity: Counter[str] = field(default_factory=Counter)
    bounds: dict[str, int] = field(default_factory=dict)
    actions: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def copy(self) -> PhaseStats:
        """Return the same, to be counted on."""
        return replace(
            self,
            stalls=self.stalls.copy(),
            traffic=self.traffic.copy(),
            activity=self.activity.copy(),
            bounds=dict(self.bounds),
            actions=self.actions.copy(),
        )

    def wait(self, cause: str, cycles: int) -> None:
        """Charge `cycles` to a cause."""
        if cycles:
            self.stalls[cause] += cycles

    def move(self, transfer: Transfer) -> None:
        """Count a transfer."""
        if transfer.words:
            self.traffic[transfer.component, transfer.direction, transfer.kind] += transfer.words

    def act(self, component: str, action: str, kind: ActionKind, times: int) -> None:
        """Count an action; accesses of memories in words."""
        if times:
            self.actions[component, action, kind] += times
