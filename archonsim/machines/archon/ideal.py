"""The authors' analytic model of ARCHON, to the cycle (ICS'21; ``ideal`` fidelity).

Masks do not enter it, DRAM never limits, and phases add up::

    predict PW1 = floor((C/G) (M/G) HW_in / PEs * G / adders)       adders: narrow ones of a PE, 24
    predict DW  = floor(M K^2 HW_out / PEs / adders)
    predict PW2 = floor((M/G) (O/G) HW_in / PEs * G / adders)       ShuffleNet's second prediction
    main        = (C/G) K^2 O HW_out / PEs
    layer       = MACs / PEs

Source: closed forms fitted to the stored results of the authors' simulator; exact for every
FusioNet and MobileNetV2 block. For ShuffleNet it takes C/G input channels an output, too, though
the shuffle between PW1 and PW2 makes each depend on all C. Where PEs do not divide the last two, we
round up (own decision; the authors' cases all divide). Predictions round down, as published, so
that their utilization can exceed 1 by less than a cycle's share; one takes a cycle at least.
"""

from __future__ import annotations

from archonsim.machines.archon.energy import charged, predicted_layer
from archonsim.machines.archon.ideal_energy import layer_actions, main_actions, predict_actions
from archonsim.machines.archon.predicting import asked
from archonsim.machines.archon.published_energy import with_published_energy
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.phases import PhaseResult
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.stats.counts import PhaseStats


def _stats(cycles: int, *, macs: int = 0, adds: int = 0, possible: int = 0) -> PhaseStats:
    return PhaseStats(cycles=cycles, compute=cycles, macs=macs, adds=adds, adds_possible=possible)


def predict_cycles(operations: int, spec: ArchonSpec, lanes: int) -> int:
    """Cycles of a prediction on so many lanes of each PE: rounded down as published, but 0."""
    return max(1, operations // (spec.pe.count * lanes))


def _predict(block: Block, phase: str, spec: ArchonSpec) -> PhaseResult:
    layer, by = predicted_layer(block, phase), asked(block, phase)
    done, possible = by.load.operations(layer.macs), layer.macs * by.load.steps
    cycles = predict_cycles(done, spec, by.lanes(spec))
    stats = _stats(cycles, adds=done, possible=possible) if by.adds else _stats(cycles, macs=done)
    adders = by.lanes(spec) if by.adds else 0
    return PhaseResult(block.name, block.index, phase, stats, spec.pe.count, adders)


def _layer(layer: Layer, spec: ArchonSpec) -> PhaseStats:
    return _stats(-(-layer.macs // spec.pe.count), macs=layer.macs)


def _block(block: Block, spec: ArchonSpec) -> list[PhaseResult]:
    second = block.layers[1]
    pes = spec.pe.count
    last = block.layers[-1]
    macs = (
        block.in_channels
        // block.groups
        * block.taps
        * block.out_channels
        * last.out_h
        * last.out_w
    )
    main = _stats(-(-macs // pes), macs=macs)
    return [
        _predict(block, "predict_pw1", spec),
        _predict(block, f"predict_{second.role}", spec),
        PhaseResult(block.name, block.index, "main", main, pes),
    ]


def _with_energy(result: PhaseResult, item: Layer | Block, spec: ArchonSpec) -> PhaseResult:
    if isinstance(item, Layer):
        layer_actions(result.stats, item, spec)
    elif result.phase == "main":
        main_actions(result.stats, item, spec)
    else:
        predict_actions(result.stats, item, predicted_layer(item, result.phase), spec)
    return charged(result, spec)


def ideal(workload: Workload, spec: ArchonSpec) -> list[PhaseResult]:
    """Evaluate the analytic model for every layer and block of `workload`."""

    def charge_all(results: list[PhaseResult], item: Layer | Block) -> list[PhaseResult]:
        if spec.energy_rules == "ics21":
            return [with_published_energy(one, item, spec, workload.name) for one in results]
        return [_with_energy(one, item, spec) for one in results]

    results: list[PhaseResult] = []
    for item in workload.items:
        if isinstance(item, Block) and item.predicted:
            results += charge_all(_block(item, spec), item)
        else:
            layers = item.layers if isinstance(item, Block) else (item,)
            index = item.index if isinstance(item, Block) else None
            for one in layers:
                if one.is_compute:
                    results += charge_all(
                        [PhaseResult(one.name, index, "layer", _layer(one, spec), spec.pe.count)],
                        one,
                    )
    return results
