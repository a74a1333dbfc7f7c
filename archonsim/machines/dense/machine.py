"""Plain layers on an Eyeriss-like row-stationary array."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

from archonsim.dataflow.even import shares
from archonsim.engine.contract import Phase
from archonsim.engine.observer import SILENT, Observer
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import OnStep
from archonsim.machines.row_stationary.energy import count_actions, energy_of
from archonsim.machines.row_stationary.layers import MappedLayer, map_choices, map_layers
from archonsim.machines.row_stationary.machine import RowStationaryMachine
from archonsim.machines.row_stationary.run import ideal_result, quickest, run_layers
from archonsim.machines.row_stationary.spec import RowStationarySpec
from archonsim.machines.row_stationary.tiles import layer_phase, tile_count
from archonsim.network.workload import Workload
from archonsim.trace.image import ImageInputs


class DenseMachine(RowStationaryMachine[RowStationarySpec]):
    """The dense baseline of ICS'21, as a machine that ``archonsim run`` knows."""

    name = "dense"
    summary = "Eyeriss-like row-stationary array (ICS'21's dense baseline): every MAC is done"
    spec_type = RowStationarySpec
    preset = (resources.files("archonsim.machines.dense") / "preset.toml").read_text("utf-8")
    includes = (
        "every MAC of every layer by its mapping, blocks layer by layer; scratchpad and GLB ports",
        (
            "DRAM bandwidth and latency, double-buffered tiles; every map goes through DRAM, layers"
            " run one after the other"
        ),
    )
    excludes = (
        (
            "pooling, channel shuffles, residual sums, activations, filling and draining the array,"
            " host transfers"
        ),
    )
    ideal_includes = ("every MAC of every layer by its mapping; scratchpad and GLB ports",)
    ideal_excludes = (
        "DRAM time, pooling, residual sums, filling and draining the array: the authors' model",
    )

    def ideal(self, workload: Workload, spec: RowStationarySpec) -> list[PhaseResult]:
        """Evaluate the mappings."""
        results = []
        for mapped in map_layers(workload, spec):
            words = mapped.words("dram", "weight")[0]
            result = ideal_result(mapped, spec, mapped.cycles, mapped.macs, words)
            results.append(with_energy(result, mapped, spec, workload.name))
        return results

    def prepare(self, workload: Workload, spec: RowStationarySpec) -> DenseSimulation:
        """Make a workload ready for ``cycle`` fidelity."""
        return DenseSimulation(workload, spec)


def with_energy(
    result: PhaseResult, mapped: MappedLayer, spec: RowStationarySpec, workload: str
) -> PhaseResult:
    """Count what the layer's PEs and memories do, and charge it."""
    count_actions(result.stats, mapped, spec, workload)
    return replace(result, energy=energy_of(result.stats, spec))


def _phase(mapped: MappedLayer) -> Phase:
    cycles = shares(mapped.cycles, tile_count(mapped)).tolist()
    # Behind the mapping's own loops come the ports of pads and GLB that cannot keep up with it.
    bounds = {"mapping": mapped.mapping.cycles * mapped.problem.groups, "ports": mapped.cycles}
    words = mapped.words("dram", "weight")[0]
    return layer_phase(mapped, cycles, mapped.macs, words, bounds=bounds)


class DenseSimulation:
    """A workload on the dense array; no image changes it."""

    def __init__(self, workload: Workload, spec: RowStationarySpec) -> None:
        self._spec, self._workload = spec, workload.name
        self._phases: list[tuple[MappedLayer, Phase]] = []
        for choices in map_choices(workload, spec):
            phases = [(mapped, _phase(mapped)) for mapped in choices]
            self._phases.append(phases[quickest(phases, spec)])

    def run(
        self, image: ImageInputs, on_step: OnStep, observer: Observer = SILENT
    ) -> list[PhaseResult]:
        """Simulate one image."""
        results = run_layers(self._phases, self._spec, on_step, observer)
        # Energy counts accesses, and time does not change them.
        return [
            with_energy(one, mapped, self._spec, self._workload)
            for one, (mapped, _) in zip(results, self._phases, strict=True)
        ]
