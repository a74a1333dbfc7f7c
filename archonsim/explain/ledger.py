"""The prediction ledger: what predictors got wrong, and what each kind of error cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from archonsim.errors import MaskError
from archonsim.explain.magnitudes import Magnitudes, relu_magnitudes
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import Machine, Simulation
from archonsim.machines.registry import words_of
from archonsim.machines.running import prepare
from archonsim.network.block import Block
from archonsim.network.workload import Provenance, Workload
from archonsim.result.files import rows_to_csv
from archonsim.result.inspect import ReluContent, compare_masks
from archonsim.runs.simulate import choose_images
from archonsim.spec.load import to_table
from archonsim.trace.image import image_inputs
from archonsim.trace.kept_trace import keeping
from archonsim.trace.trace_parts import block_of, traced_blocks
from archonsim.trace.what_if import MaskPolicy, no_masks
from archonsim.version import __version__

#: Version of the JSON form.
SCHEMA = 1

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

    cycles: int = 0
    adds: int = 0
    macs: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cycles + other.cycles, self.adds + other.adds, self.macs + other.macs)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.cycles - other.cycles, self.adds - other.adds, self.macs - other.macs)


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
    machine: dict[str, Any]

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


def _cost(results: Sequence[PhaseResult]) -> Cost:
    stats = [one.stats for one in results]
    return Cost(
        sum(one.cycles for one in stats),
        sum(one.adds for one in stats),
        sum(one.macs for one in stats),
    )


def _relus(
    workload: Workload, block: Block, image: int, runs: dict[str, list[PhaseResult]]
) -> tuple[ReluLedger, ReluLedger]:
    """Book one block of one image."""
    assert workload.trace is not None
    trace = block_of(workload.trace, block, image)
    trace_run, one_clean, clean, one_true, oracle = (
        _cost([one for one in runs[masks] if one.block == block.index]) for masks in MASKS
    )
    values = relu_magnitudes(workload.trace, block, trace)
    return (
        ReluLedger(
            block=block.name,
            relu=1,
            counts=compare_masks(trace.keep1, trace.true1),
            wasted=trace_run - one_clean,
            saved=one_true - clean,
            values=values[0],
        ),
        ReluLedger(
            block=block.name,
            relu=2,
            counts=compare_masks(trace.keep2, trace.true2),
            wasted=one_clean - clean,
            saved=oracle - one_true,
            values=values[1],
        ),
    )


def _run_all(
    simulation: Simulation, workload: Workload, image: int, on_step: Callable[[str], None]
) -> dict[str, list[PhaseResult]]:
    policies = {text: MaskPolicy.parse(text) for text in MASKS}
    return {
        text: simulation.run(image_inputs(workload, policy, image), on_step)
        for text, policy in policies.items()
    }


def keep_ledger(
    workload: Workload,
    machine: Machine,
    spec: Any,
    *,
    images: Sequence[int] | None = (0,),
    on_step: Callable[[str], None] = lambda name: None,
) -> Ledger:
    """Book what the predictors of a workload got wrong and what it cost on a machine, in ``cycle`` fidelity.

    Parameters
    ----------
    workload : Workload
        With predicted and true masks.
    machine, spec, images
        As in :func:`archonsim.runs.simulate.simulate`.
    on_step : function of a layer's or block's name
        Called when it is done, in each of the runs (one for each of :data:`MASKS`) of each image.

    Raises
    ------
    MaskError
        The workload has no masks, or no predicted blocks.
    """
    if workload.trace is None or not workload.images:
        raise no_masks(workload)
    numbers = choose_images(workload, images)
    work = keeping(workload, sum(1 for _ in workload.blocks()))
    blocks = traced_blocks(work, work.images)
    if not blocks:
        raise MaskError(
            f"workload {workload.name!r} has no blocks with predicted ReLUs: there is nothing to"
            " book"
        )
    words = words_of(machine)
    simulation = prepare(machine, work, spec)
    runs: dict[str, Cost] = dict.fromkeys(MASKS, Cost())
    relus: dict[tuple[str, int], ReluLedger] = {}
    predicting = Cost()
    for image in numbers:
        results = _run_all(simulation, work, image, on_step)
        predicting += _cost([one for one in results["trace"] if words.phase(one.phase).predicts])
        for masks, phases in results.items():
            runs[masks] += _cost(phases)
        for one in (relu for block in blocks for relu in _relus(work, block, image, results)):
            before = relus.get((one.block, one.relu))
            relus[one.block, one.relu] = one if before is None else before + one
    return Ledger(
        arch=machine.name,
        workload=workload.name,
        image_numbers=tuple(numbers),
        clock_mhz=spec.clock_mhz,
        relus=tuple(relus.values()),
        runs=runs,
        prediction_cycles=predicting.cycles,
        provenance=workload.provenance,
        digest=workload.digest,
        machine=to_table(spec),
    )
