"""A waterfall: from the necessary work to the cycles taken, one owner for every cycle."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from archonsim.network.workload import Provenance
from archonsim.result.files import rows_to_csv
from archonsim.result.read import check_schema, from_tree
from archonsim.result.values import Count, Number, Plain, Positive, Whole
from archonsim.version import __version__
from archonsim.vocabulary.known import declared
from archonsim.vocabulary.owners import Owner
from archonsim.vocabulary.vocabulary import COMMON, Vocabulary

#: Version of the JSON form.
SCHEMA: Final = 1

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
    seed: Whole
    image_numbers: tuple[Whole, ...]
    clock_mhz: Positive
    phases: tuple[Bars, ...]
    provenance: Provenance
    digest: str
    machine: dict[str, Plain]
    words: Vocabulary = COMMON

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any], source: str = "the waterfall") -> Waterfall:
        """Read the JSON form; `source` names it in messages.

        Raises
        ------
        ResultError
            It is of another form, a key is missing, or a value is not what it must be.
        """
        check_schema(tree, (SCHEMA,), source)
        found = from_tree(_Stored, tree, source)
        words = found.words()
        return cls(
            arch=found.arch,
            workload=found.workload,
            masks=found.masks,
            seed=found.seed,
            image_numbers=found.image_numbers,
            clock_mhz=found.clock_mhz,
            phases=tuple(one.bars(words) for one in found.phases),
            provenance=found.provenance,
            digest=found.digest,
            machine=found.machine,
            words=words,
        )

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
        network = self.network
        return {
            "schema": SCHEMA,
            "archonsim": __version__,
            "arch": self.arch,
            "workload": self.workload,
            "masks": self.masks,
            "seed": self.seed,
            "image_numbers": self.image_numbers,
            "clock_mhz": self.clock_mhz,
            "total_cycles": network.cycles,
            "owners": {
                owner.name: {"title": owner.title, "meaning": owner.meaning}
                for owner in self.words.owners
                if not owner.rare or owner.name in network.owners
            },
            "network": network.to_dict(),
            "layers": [one.to_dict() for one in self.layers],
            "phases": [one.to_dict() for one in self.phases],
            "provenance": dataclasses.asdict(self.provenance),
            "digest": self.digest,
            "machine": self.machine,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredStep:
    """A step as it is stored."""

    owner: str
    cycles: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredBars:
    """The waterfall of a phase as it is stored."""

    name: str
    block: Whole | None
    phase: str
    steps: tuple[_StoredStep, ...]

    def bars(self, words: Vocabulary) -> Bars:
        """Return it by owner; an owner that stands there twice has the sum."""
        owners: dict[str, Number] = {}
        for step in self.steps:
            owners[step.owner] = owners.get(step.owner, 0) + step.cycles
        return Bars(name=self.name, block=self.block, phase=self.phase, owners=owners, words=words)


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredOwner:
    """What an owner is called, as it is stored."""

    title: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """The JSON form, as far as it is not derived from the phases."""

    arch: str
    workload: str
    masks: str
    seed: Whole
    image_numbers: tuple[Whole, ...]
    clock_mhz: Positive
    phases: tuple[_StoredBars, ...]
    provenance: Provenance
    digest: str
    machine: dict[str, Plain]
    owners: dict[str, _StoredOwner]

    def words(self) -> Vocabulary:
        """Return the owners in the stored order; for undeclared ones, what is stored."""
        known = COMMON | declared(self.arch)
        owners: list[Owner] = []
        for name, stored in self.owners.items():
            order = owners[-1].order if owners else 0
            owners.append(
                known.owner(name)
                if known.has("owners", name)
                else Owner(name=name, title=stored.title, meaning=stored.meaning, order=order)
            )
        return dataclasses.replace(known, owners=tuple(owners))
