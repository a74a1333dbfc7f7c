"""The prediction ledger: what predictors got wrong, and what each kind of error cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from archonsim.errors import ResultError
from archonsim.network.workload import Provenance
from archonsim.result.files import rows_to_csv
from archonsim.result.inspect import ReluContent
from archonsim.result.read import check_schema, from_tree
from archonsim.result.values import Amount, Integer, Plain, Positive, Whole
from archonsim.version import __version__

#: Version of the JSON form.
SCHEMA: Final = 1

#: From the predicted masks to the true ones, one class of errors of one ReLU at a time: first false
#: alarms are taken away, then misses restored. The cost of a class is the difference of two
#: neighbours.
MASKS = ("trace", "hits/trace", "hits", "oracle/hits", "oracle")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a class of errors costs, or a run takes.

    Attributes
    ----------
    cycles, adds, macs : int
    """

    cycles: Integer = 0
    adds: Integer = 0
    macs: Integer = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cycles + other.cycles, self.adds + other.adds, self.macs + other.macs)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.cycles - other.cycles, self.adds - other.adds, self.macs - other.macs)


@dataclass(frozen=True, slots=True)
class Magnitudes:
    """Pre-activations by class of prediction, as sums, which add up over ReLUs and images.

    Attributes
    ----------
    hits, negatives, lost : int
        Values that hits pass; negative values that false alarms pass; positive values that misses
        lose.
    hit_sum, negative_sum, lost_sum : float
        Sums of their magnitudes, in the network's own units (after batch normalisation).
    """

    hits: int
    negatives: int
    lost: int
    hit_sum: float
    negative_sum: float
    lost_sum: float

    def __add__(self, other: Magnitudes) -> Magnitudes:
        return Magnitudes(
            self.hits + other.hits,
            self.negatives + other.negatives,
            self.lost + other.lost,
            self.hit_sum + other.hit_sum,
            self.negative_sum + other.negative_sum,
            self.lost_sum + other.lost_sum,
        )

    @property
    def hit_mean(self) -> float:
        """Mean magnitude of what hits pass."""
        return self.hit_sum / max(1, self.hits)

    @property
    def negative_mean(self) -> float:
        """Mean magnitude of the negative values that false alarms pass."""
        return self.negative_sum / max(1, self.negatives)

    @property
    def lost_mean(self) -> float:
        """Mean of the positive values that misses lose."""
        return self.lost_sum / max(1, self.lost)

    def to_dict(self) -> dict[str, float]:
        """Return the JSON form: counts and means, rounded to what float32 sums are good for."""
        return {
            "negatives_passed": self.negatives,
            "hit_mean": float(f"{self.hit_mean:.6g}"),
            "negative_mean": float(f"{self.negative_mean:.6g}"),
            "lost_mean": float(f"{self.lost_mean:.6g}"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReluLedger:
    """One predicted ReLU, or several; all figures are sums over the images.

    Attributes
    ----------
    block : str
        ``all`` for sums over blocks.
    relu : int
        1 or 2; 0 for both.
    counts : ReluContent
    wasted : Cost
        What false alarms cost.
    saved : Cost
        What misses saved, wrongly: an oracle would have spent it.
    values : Magnitudes
        Of the pre-activations behind each class.
    """

    block: str
    relu: int
    counts: ReluContent
    wasted: Cost
    saved: Cost
    values: Magnitudes

    def __add__(self, other: ReluLedger) -> ReluLedger:
        return ReluLedger(
            block=self.block if self.block == other.block else "all",
            relu=self.relu if self.relu == other.relu else 0,
            counts=self.counts + other.counts,
            wasted=self.wasted + other.wasted,
            saved=self.saved + other.saved,
            values=self.values + other.values,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, flat."""
        return {
            "block": self.block,
            "relu": self.relu,
            "activations": self.counts.activations,
            "hits": self.counts.hits,
            "false_alarms": self.counts.false_alarms,
            "misses": self.counts.misses,
            "correct_zeros": self.counts.correct_zeros,
            "adds_wasted": self.wasted.adds,
            "adds_saved": self.saved.adds,
            "macs_wasted": self.wasted.macs,
            "macs_saved": self.saved.macs,
            "cycles_wasted": self.wasted.cycles,
            "cycles_saved": self.saved.cycles,
            **self.values.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The ledger of a workload on a machine; all figures are sums over the images.

    Attributes
    ----------
    arch, workload : str
    image_numbers : tuple of int
    clock_mhz : float
    relus : tuple of ReluLedger
        Two for each predicted block.
    runs : dict of masks to Cost
        The whole network under each of :data:`MASKS`.
    prediction_cycles : int
        Cycles of the prediction phases.
    provenance : Provenance
    digest : str
    machine : dict
        Resolved description.
    """

    arch: str
    workload: str
    image_numbers: tuple[int, ...]
    clock_mhz: float
    relus: tuple[ReluLedger, ...]
    runs: dict[str, Cost]
    prediction_cycles: int
    provenance: Provenance
    digest: str
    machine: dict[str, Plain]

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any], source: str = "the ledger") -> Ledger:
        """Read the JSON form; `source` names it in messages.

        Raises
        ------
        ResultError
            It is of another form, a key is missing, or a value is not what it must be.
        """
        check_schema(tree, (SCHEMA,), source)
        found = from_tree(_Stored, tree, source)
        missing = [masks for masks in MASKS if masks not in found.runs]
        if missing or not {1, 2} <= {one.relu for one in found.relus}:
            raise ResultError(
                f"{source}: {f'runs.{missing[0]}' if missing else 'a ReLU'} is missing; the file is"
                " damaged"
            )
        return cls(
            arch=found.arch,
            workload=found.workload,
            image_numbers=found.image_numbers,
            clock_mhz=found.clock_mhz,
            relus=tuple(one.ledger() for one in found.relus),
            runs=found.runs,
            prediction_cycles=found.prediction_cycles,
            provenance=found.provenance,
            digest=found.digest,
            machine=found.machine,
        )

    @property
    def totals(self) -> tuple[ReluLedger, ReluLedger, ReluLedger]:
        """All first ReLUs, all second ones, and all."""
        first, second = (_sum([one for one in self.relus if one.relu == place]) for place in (1, 2))
        return first, second, first + second

    def to_csv(self) -> str:
        """Return one row for each ReLU of each block."""
        return rows_to_csv([one.to_dict() for one in self.relus])

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "schema": SCHEMA,
            "archonsim": __version__,
            "arch": self.arch,
            "workload": self.workload,
            "image_numbers": self.image_numbers,
            "clock_mhz": self.clock_mhz,
            "prediction_cycles": self.prediction_cycles,
            "runs": {masks: dataclasses.asdict(cost) for masks, cost in self.runs.items()},
            "relus": [one.to_dict() for one in self.relus],
            "totals": [one.to_dict() for one in self.totals],
            "provenance": dataclasses.asdict(self.provenance),
            "digest": self.digest,
            "machine": self.machine,
        }


def _sum(relus: Sequence[ReluLedger]) -> ReluLedger:
    total = relus[0]
    for one in relus[1:]:
        total += one
    return dataclasses.replace(total, block="all")


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredRelu:
    """A ReLU as it is stored, flat."""

    block: str
    relu: Literal[1, 2]
    activations: Whole
    hits: Whole
    false_alarms: Whole
    misses: Whole
    adds_wasted: Integer
    adds_saved: Integer
    macs_wasted: Integer
    macs_saved: Integer
    cycles_wasted: Integer
    cycles_saved: Integer
    negatives_passed: Whole
    hit_mean: Amount
    negative_mean: Amount
    lost_mean: Amount

    def ledger(self) -> ReluLedger:
        """Return it with sums in the place of means, as good as the stored digits are."""
        return ReluLedger(
            block=self.block,
            relu=self.relu,
            counts=ReluContent(
                activations=self.activations,
                hits=self.hits,
                false_alarms=self.false_alarms,
                misses=self.misses,
            ),
            wasted=Cost(self.cycles_wasted, self.adds_wasted, self.macs_wasted),
            saved=Cost(self.cycles_saved, self.adds_saved, self.macs_saved),
            values=Magnitudes(
                hits=self.hits,
                negatives=self.negatives_passed,
                lost=self.misses,
                hit_sum=self.hit_mean * self.hits,
                negative_sum=self.negative_mean * self.negatives_passed,
                lost_sum=self.lost_mean * self.misses,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """The JSON form, as far as it is not derived."""

    arch: str
    workload: str
    image_numbers: tuple[Whole, ...]
    clock_mhz: Positive
    relus: tuple[_StoredRelu, ...]
    runs: dict[str, Cost]
    prediction_cycles: Whole
    provenance: Provenance
    digest: str
    machine: dict[str, Plain]
