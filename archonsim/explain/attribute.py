"""From runs on relaxed machines to a waterfall."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from archonsim.errors import ArchonsimError, SpecError
from archonsim.explain.relax import chip_alone, steps
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import Machine, Simulation
from archonsim.machines.registry import words_of
from archonsim.machines.running import prepare
from archonsim.network.workload import Workload
from archonsim.result.waterfall import Bars, Waterfall, add_up
from archonsim.spec.load import to_table
from archonsim.stats.counts import PhaseStats
from archonsim.trace.image import ImageInputs, image_inputs
from archonsim.trace.kept_trace import keeping
from archonsim.trace.what_if import MaskPolicy
from archonsim.tracefile.find import choose_images
from archonsim.vocabulary.vocabulary import COMMON, Vocabulary

Owners = dict[str, int]


#: Owner of what is left when the array is through.
DRAIN = "drain"


def _array_bounds(chip: PhaseResult, words: Vocabulary) -> Iterable[tuple[str, int]]:
    """Cycles of the array with more and more of its causes of loss."""
    stats = chip.stats
    work, done, width = (
        ("adders", stats.adds, chip.adders) if chip.adders else ("macs", stats.macs, 1)
    )
    yield work, -(-done // (chip.pes * width))
    yield from stats.bounds.items()
    yield "mapping", stats.compute
    reached = stats.compute
    for stall in words.stalls:
        if stall.owner and stall.owner != DRAIN:
            reached += stats.stalls[stall.name]
            yield stall.owner, reached


def _stalled(stats: PhaseStats, words: Vocabulary, *, drain: bool) -> int:
    """Sum the array's own stalls: those behind its last beat, or all others."""
    return sum(
        stats.stalls[one.name]
        for one in words.stalls
        if one.owner and (one.owner == DRAIN) == drain
    )


def owners_of_phase(
    chip: PhaseResult, later: Sequence[tuple[str, PhaseResult]], words: Vocabulary = COMMON
) -> Owners:
    """Give every cycle of a phase its owner.

    Each bound counts from the highest before it up to what the array takes, so that no step is
    negative and all steps add up.

    Parameters
    ----------
    chip : PhaseResult
        On the chip alone: neither DRAM nor the delivery of masks takes time.
    later : sequence of (owner, PhaseResult)
        On machines of which each times more; the last one is the machine itself.
    words : Vocabulary
        The machine's, the common ones included.

    Raises
    ------
    SpecError
        A bound of the array has a key that is no declared owner.
    """
    for owner in chip.stats.bounds:
        words.demand("owners", owner)
    total = (later[-1][1] if later else chip).stats.cycles
    drain = min(_stalled(chip.stats, words, drain=True), total)
    array = min(chip.stats.compute + _stalled(chip.stats, words, drain=False), total - drain)
    bounds = [(owner, min(cycles, array)) for owner, cycles in _array_bounds(chip, words)]
    bounds += [
        ("ports", chip.stats.cycles - drain),
        *((owner, one.stats.cycles - drain) for owner, one in later),
    ]
    owners: Owners = {}
    reached = 0
    for owner, bound in bounds:
        step = min(bound, total - drain) - reached
        if step > 0:
            owners[owner] = owners.get(owner, 0) + step
            reached += step
    owners[DRAIN] = owners.get(DRAIN, 0) + total - reached
    if sum(owners.values()) != total:
        raise ArchonsimError(
            f"{chip.name} {chip.phase}: owners have {sum(owners.values())} of {total} cycles"
        )
    return {owner: cycles for owner, cycles in owners.items() if cycles}


class _Relatives:
    """A machine and those that differ from it in memory, each made ready for a workload once."""

    def __init__(
        self,
        workload: Workload,
        machine: Machine,
        spec: Any,
        policy: MaskPolicy,
        on_step: Callable[[str], None],
    ) -> None:
        self._workload, self._machine, self._spec, self._policy, self._on_step = (
            workload,
            machine,
            spec,
            policy,
            on_step,
        )
        self._words = words_of(machine)
        self._ready: list[tuple[Any, Simulation]] = []

    def _run(self, spec: Any, image: ImageInputs) -> list[PhaseResult]:
        known = [simulation for other, simulation in self._ready if other == spec]
        if not known:
            known = [prepare(self._machine, self._workload, spec)]
            self._ready.append((spec, known[0]))
        return known[0].run(image, self._on_step)

    def _check_same(self, whole: list[PhaseResult], other: list[PhaseResult]) -> None:
        """Refuse a machine whose phases depend on how long its memory takes."""
        names = [[(one.name, one.phase) for one in results] for results in (whole, other)]
        if names[0] != names[1]:
            raise SpecError(
                f"architecture {self._machine.name!r}: runs on relaxed memories have other phases"
                f" than the machine itself ({len(names[1])}, not {len(names[0])}); no waterfall"
            )

    def bars(self, number: int) -> list[Bars]:
        """Return one waterfall for each phase of one image."""
        image = image_inputs(self._workload, self._policy, number)
        whole = self._run(self._spec, image)
        traffic = {key for one in whole for key in one.stats.traffic}
        runs = [
            (owner, whole if spec is self._spec else self._run(spec, image))
            for owner, spec in steps(self._spec, traffic, self._words)
        ]
        chip = self._run(chip_alone(self._spec, self._words), image)
        for other in (chip, *(results for _, results in runs)):
            self._check_same(whole, other)
        return [
            Bars(
                name=one.name,
                block=one.block,
                phase=one.phase,
                owners=owners_of_phase(
                    chip[at], [(owner, results[at]) for owner, results in runs], self._words
                ),
                words=self._words,
            )
            for at, one in enumerate(whole)
        ]


def _mean(same: Sequence[Bars]) -> Bars:
    """Average the same phase over images; one image stays as it is, in integers."""
    if len(same) == 1:
        return same[0]
    total = add_up(same, same[0].name, same[0].block, same[0].phase)
    return replace(
        total, owners={owner: cycles / len(same) for owner, cycles in total.owners.items()}
    )


def explain(
    workload: Workload,
    machine: Machine,
    spec: Any,
    *,
    images: Sequence[int] | None = (0,),
    masks: MaskPolicy | None = None,
    on_step: Callable[[str], None] = lambda name: None,
) -> Waterfall:
    """Find out who owns each cycle of a run in ``cycle`` fidelity.

    Parameters
    ----------
    workload, machine, spec, images, masks
        As in :func:`archonsim.runs.simulate.simulate`.
    on_step : function of a layer's or block's name
        Called when it is done, in each of :func:`archonsim.explain.relax.runs` runs of each image.

    Raises
    ------
    MaskError
        The workload has no weights or masks where the machine needs them.
    """
    policy = masks or MaskPolicy()
    numbers = choose_images(workload, images)
    relatives = _Relatives(
        keeping(workload, sum(1 for _ in workload.blocks())), machine, spec, policy, on_step
    )
    found = [relatives.bars(number) for number in numbers]
    return Waterfall(
        arch=machine.name,
        workload=workload.name,
        masks=str(policy),
        seed=policy.seed,
        image_numbers=tuple(numbers),
        clock_mhz=spec.clock_mhz,
        phases=tuple(_mean(same) for same in zip(*found, strict=True)),
        provenance=workload.provenance,
        digest=workload.digest,
        machine=to_table(spec),
        words=words_of(machine),
    )
