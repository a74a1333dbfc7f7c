"""A waterfall: from the work that must be done to the cycles that were taken, one owner for every cycle."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from archonsim.network.workload import Provenance
from archonsim.result.files import rows_to_csv
from archonsim.version import __version__
from archonsim.vocabulary.vocabulary import COMMON, Vocabulary

#: Version of the JSON form.
SCHEMA = 1

Number = int | float
Grain = Literal["network", "layer", "phase"]


class Step(NamedTuple):
    """One step of a waterfall.

    Attributes
    ----------
    owner : str
        As in :data:`archonsim.vocabulary.owners.OWNERS`, or one that the machine declares.
    cycles : number
        What the step adds; never negative.
    cumulative : number
        All steps so far: what a run would take if only their owners existed. The last is the run's
        cycles.
    """

    owner: str
    cycles: Number
    cumulative: Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """The waterfall of a phase, a layer, or a whole network.

    Attributes
    ----------
    name : str
        Of the layer or block; ``all`` for sums over several.
    block : int or None
    phase : str
        Empty for sums over phases.
    owners : mapping of owner to cycles
        Integers for one image, means over several; owners without cycles are left out.
    words : Vocabulary
        Of the machine: the order of owners.
    """

    name: str
    block: int | None
    phase: str
    owners: Mapping[str, Number]
    words: Vocabulary = COMMON

    @property
    def cycles(self) -> Number:
        """Cycles of all owners: exactly what the run took."""
        return sum(self.owners.values())

    @property
    def steps(self) -> tuple[Step, ...]:
        """Owners with cycles in the order of a waterfall, added up on the way."""
        steps: list[Step] = []
        total: Number = 0
        for owner in self.words.sort("owners", self.owners):
            if cycles := self.owners[owner]:
                total += cycles
                steps.append(Step(owner, cycles, total))
        return tuple(steps)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "name": self.name,
            "block": self.block,
            "phase": self.phase,
            "cycles": self.cycles,
            "steps": [step._asdict() for step in self.steps],
        }


def add_up(
    bars: Sequence[Bars], name: str = "all", block: int | None = None, phase: str = ""
) -> Bars:
    """Return the sum of several waterfalls."""
    words = bars[0].words if bars else COMMON
    found = words.sort("owners", (owner for one in bars for owner in one.owners))
    owners = {owner: sum(one.owners.get(owner, 0) for one in bars) for owner in found}
    return Bars(
        name=name,
        block=block,
        phase=phase,
        owners={key: cycles for key, cycles in owners.items() if cycles},
        words=words,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """Where the cycles of a run went.

    Attributes
    ----------
    arch, workload, masks : str
    seed : int
    image_numbers : tuple of int
        Figures are integers for one image, means over several.
    clock_mhz : float
    phases : tuple of Bars
        One for each phase of each layer or block, in order.
    provenance : Provenance
    digest : str
        Of the workload.
    machine : dict
        Resolved description.
    words : Vocabulary
        The common words, and the machine's own.
    """

    arch: str
    workload: str
    masks: str
    seed: int
    image_numbers: tuple[int, ...]
    clock_mhz: float
    phases: tuple[Bars, ...]
    provenance: Provenance
    digest: str
    machine: dict[str, Any]
    words: Vocabulary = COMMON

    @property
    def network(self) -> Bars:
        """The waterfall of the whole network."""
        return add_up(self.phases)

    @property
    def layers(self) -> tuple[Bars, ...]:
        """One waterfall for each layer or block."""
        names = dict.fromkeys((one.name, one.block) for one in self.phases)
        return tuple(
            add_up([one for one in self.phases if one.name == name], name, block)
            for name, block in names
        )

    @property
    def kinds(self) -> tuple[Bars, ...]:
        """One waterfall for each kind of phase (``main``, ``layer``, ...), over all layers."""
        kinds = dict.fromkeys(one.phase for one in self.phases)
        return tuple(
            add_up([one for one in self.phases if one.phase == kind], phase=kind) for kind in kinds
        )

    def by(self, grain: Grain) -> tuple[Bars, ...]:
        """Return the waterfalls of the network, of its layers, or of all phases."""
        return {"network": (self.network,), "layer": self.layers, "phase": self.phases}[grain]

    def to_csv(self, grain: Grain) -> str:
        """Return one row for each owner of each waterfall."""
        return rows_to_csv(
            [
                {"name": one.name, "block": one.block, "phase": one.phase, **step._asdict()}
                for one in self.by(grain)
                for step in one.steps
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "schema": SCHEMA,
            "archonsim": __version__,
            "arch": self.arch,
            "workload": self.workload,
            "masks": self.masks,
            "seed": self.seed,
            "image_numbers": self.image_numbers,
            "clock_mhz": self.clock_mhz,
            "total_cycles": self.network.cycles,
            "owners": {
                owner.name: {"title": owner.title, "meaning": owner.meaning}
                for owner in self.words.owners
            },
            "network": self.network.to_dict(),
            "layers": [one.to_dict() for one in self.layers],
            "phases": [one.to_dict() for one in self.phases],
            "provenance": dataclasses.asdict(self.provenance),
            "digest": self.digest,
            "machine": self.machine,
        }
