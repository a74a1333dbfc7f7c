"""Plain layers on an Eyeriss-like row-stationary array."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

from simpy import Event

from archonsim.engine.clock import Clock
from archonsim.engine.contract import Phase
from archonsim.engine.observer import SILENT, Observer
from archonsim.engine.pipeline import run_phases
from archonsim.machines.dense.energy import count_actions, energy_of
from archonsim.machines.dense.layers import MappedLayer, map_layers
from archonsim.machines.dense.spec import DenseSpec
from archonsim.machines.dense.tiles import layer_phase, shares, tile_count
from archonsim.machines.layerwise import layer_steps, no_stream
from archonsim.machines.phases import PhaseResult
from archonsim.machines.registry import BlockMasks
from archonsim.memory.system import MemorySystem
from archonsim.spec.resources import Resources, area_parts
from archonsim.stats.counts import PhaseStats
from archonsim.workload.workload import Workload


class DenseMachine:
    """The dense baseline of ICS'21, as a machine that ``archonsim run`` knows."""

    name = "dense"
    summary = "Eyeriss-like row-stationary array (ICS'21's dense baseline): every MAC is done"
    spec_type = DenseSpec
    preset = (resources.files("archonsim.machines.dense") / "preset.toml").read_text("utf-8")
    includes = (
        "every MAC of every layer by its mapping, blocks layer by layer; scratchpad and GLB ports",
        "DRAM bandwidth and latency, double-buffered tiles; every map goes through DRAM, layers run one after the other",
    )
    excludes = ("pooling, channel shuffles, residual sums, activations, filling and draining the array, host transfers",)
    ideal_includes = ("every MAC of every layer by its mapping; scratchpad and GLB ports",)
    ideal_excludes = ("DRAM time, pooling, residual sums, filling and draining the array: the authors' model",)

    def ideal(self, workload: Workload, spec: DenseSpec) -> list[PhaseResult]:
        """Evaluate the mappings."""
        results = []
        for mapped in map_layers(workload, spec):
            words = mapped.words("dram", "weight")[0]
            result = ideal_result(mapped, spec, mapped.cycles, mapped.macs, words)
            results.append(with_energy(result, mapped, spec, workload.name))
        return results

    def prepare(self, workload: Workload, spec: DenseSpec) -> DenseSimulation:
        """Make a workload ready for ``cycle`` fidelity."""
        return DenseSimulation(workload, spec)

    def resources(self, spec: DenseSpec) -> Resources:
        """PEs, buffers and area."""
        return row_stationary_resources(spec)

    def steps(self, workload: Workload) -> int:
        """Layers that one image runs."""
        return len(layer_steps(workload))


def row_stationary_resources(spec: DenseSpec) -> Resources:
    """PEs, buffers and area; a PE's scratchpads count at their published size."""
    parts = area_parts("dense", spec.pe.count, {"glb": spec.glb.words})
    return Resources(pes=spec.pe.count, buffer_words=spec.glb.words, parts=parts)


def ideal_result(
    mapped: MappedLayer, spec: DenseSpec, cycles: int, macs: int, weight_words: int, phase: str = "layer"
) -> PhaseResult:
    """Put a closed-form result together: all cycles compute, and the words that the mapping moves."""
    stats = PhaseStats(cycles=cycles, compute=cycles, macs=macs)
    (tile,) = layer_phase(mapped, [cycles], macs, weight_words).tiles
    for transfer in (*tile.loads, *tile.stores):
        stats.move(transfer)
    return PhaseResult(mapped.layer.name, mapped.block, phase, stats, spec.pe.count)


def with_energy(result: PhaseResult, mapped: MappedLayer, spec: DenseSpec, workload: str) -> PhaseResult:
    """Count what the layer's PEs and memories do, and charge it."""
    count_actions(result.stats, mapped, spec, workload)
    return replace(result, energy=energy_of(result.stats, spec))


class DenseSimulation:
    """A workload on the dense array; no image changes it."""

    def __init__(self, workload: Workload, spec: DenseSpec) -> None:
        self._spec, self._workload = spec, workload.name
        self._phases: list[tuple[MappedLayer, Phase]] = []
        for mapped in map_layers(workload, spec):
            cycles = shares(mapped.cycles, tile_count(mapped, mapped.cycles))
            # Behind the mapping's own loops come the ports of pads and GLB that cannot keep up with it.
            bounds = {"mapping": mapped.mapping.cycles * mapped.problem.groups, "ports": mapped.cycles}
            words = mapped.words("dram", "weight")[0]
            self._phases.append((mapped, layer_phase(mapped, cycles, mapped.macs, words, bounds=bounds)))

    def run(self, masks: BlockMasks, on_step: Callable[[str], None], observer: Observer = SILENT) -> list[PhaseResult]:
        """Simulate one image."""
        results = run_layers(self._phases, self._spec, on_step, observer)
        # Energy counts accesses, and time does not change them.
        return [
            with_energy(one, mapped, self._spec, self._workload) for one, (mapped, _) in zip(results, self._phases, strict=True)
        ]


def run_layers(
    phases: Sequence[tuple[MappedLayer, Phase]], spec: DenseSpec, on_step: Callable[[str], None], observer: Observer
) -> list[PhaseResult]:
    """Run layers one after the other on the array and its memories."""
    env = Clock()
    memory = MemorySystem(spec.dram, {"glb": spec.glb}, spec.clock_mhz)
    results: list[PhaseResult] = []

    def process() -> Generator[Event, Any, None]:
        for mapped, phase in phases:
            done: list[PhaseStats] = []
            yield env.process(run_phases(env, memory, no_stream(spec.dma), [phase], done, observer))
            results.append(PhaseResult(mapped.layer.name, mapped.block, phase.name, done[0], spec.pe.count))
            on_step(mapped.layer.name)

    env.process(process())
    env.run()
    return results
