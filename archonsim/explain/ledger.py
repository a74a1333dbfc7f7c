"""The prediction ledger: what predictors got wrong, and what each kind of error cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from archonsim.errors import MaskError
from archonsim.explain.magnitudes import relu_magnitudes
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import Machine, Simulation
from archonsim.machines.registry import words_of
from archonsim.machines.running import prepare
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.result.inspect import compare_masks
from archonsim.result.ledger import MASKS, Cost, Ledger, ReluLedger
from archonsim.spec.load import to_table
from archonsim.trace.image import image_inputs
from archonsim.trace.kept_trace import keeping
from archonsim.trace.trace_parts import block_of, traced_blocks
from archonsim.trace.what_if import MaskPolicy, no_masks
from archonsim.tracefile.find import choose_images


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
    """Count mispredictions of a workload and their costs on a machine, in ``cycle`` fidelity.

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
