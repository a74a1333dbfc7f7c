"""The systolic array as a machine: folds from ``dataflow.systolic``, memory from the engine."""

from __future__ import annotations

from importlib import resources

from archonsim.dataflow.operands import BufferSizes, buffer_accesses, group_demand
from archonsim.dataflow.systolic import Gemm, fold, layer_cycles
from archonsim.engine.contract import Phase
from archonsim.machines.edge_fed.array_energy import with_energy
from archonsim.machines.edge_fed.array_phase import array_phase
from archonsim.machines.layerwise import LayerwiseSimulation, ideal_results, layer_steps
from archonsim.machines.phases import PhaseResult
from archonsim.machines.systolic.spec import SystolicSpec
from archonsim.memory.system import MemorySystem
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.spec.resources import Resources
from archonsim.vocabulary.vocabulary import Vocabulary


def _cycles(layer: Layer, spec: SystolicSpec) -> int:
    return layer_cycles(layer, spec.pe.rows, spec.pe.cols, spec.dataflow, spec.timing)


def _phase(layer: Layer, spec: SystolicSpec) -> Phase:
    gemm = Gemm.of(layer)
    folds = fold(gemm, spec.pe.rows, spec.pe.cols, spec.dataflow, spec.timing)
    buffers = BufferSizes(spec.ifmap_sram.words, spec.filter_sram.words, spec.ofmap_sram.words)
    demand = group_demand(layer, gemm, folds, buffers).repeat(gemm.groups)
    busy = gemm.groups * folds.busy_cycles
    return array_phase(
        layer, demand, _cycles(layer, spec), buffer_accesses(gemm, folds), buffers, busy
    )


class SystolicMachine:
    """A plain systolic array, as a machine that ``archonsim run`` knows."""

    name = "systolic"
    summary = (
        "plain systolic array: output, weight or input stationary; SCALE-Sim's, DATE'21's or a"
        " drained array's cycles"
    )
    spec_type = SystolicSpec
    preset = (resources.files("archonsim.machines.systolic") / "preset.toml").read_text("utf-8")
    vocabulary = Vocabulary()
    includes = (
        (
            "fill and drain of every fold in the chosen timing convention; grouped and depthwise"
            " layers a group at a time"
        ),
        (
            "DRAM bandwidth and latency, double-buffered input, filter and output memories; layers"
            " run one after the other"
        ),
    )
    excludes = (
        (
            "pooling, shuffles, sums and activations; host transfers; overlap of one fold with the"
            " next"
        ),
        "sparsity: zero weights and activations are multiplied",
        (
            "energy, unless the technology has the array's SRAMs and registers: none are published"
            " (docs/energy.md)"
        ),
    )
    ideal_includes = (
        (
            "fill and drain of every fold in the chosen timing convention; grouped and depthwise"
            " layers a group at a time"
        ),
    )
    ideal_excludes = ("all memory; pooling, shuffles, sums and activations; sparsity",)

    def ideal(self, workload: Workload, spec: SystolicSpec) -> list[PhaseResult]:
        """Evaluate the closed forms: compute cycles alone."""
        return ideal_results(workload, spec.pe.count, lambda layer: _cycles(layer, spec))

    def prepare(self, workload: Workload, spec: SystolicSpec) -> LayerwiseSimulation:
        """Make a workload ready for ``cycle`` fidelity."""
        return LayerwiseSimulation(
            layer_steps(workload),
            lambda layer: _phase(layer, spec),
            lambda: MemorySystem(spec.dram, {}, spec.clock_mhz),
            spec.pe.count,
            spec.dma,
            lambda result: with_energy(result, spec),
        )

    def resources(self, spec: SystolicSpec) -> Resources:
        """PEs and buffers; no area is published."""
        words = spec.ifmap_sram.words + spec.filter_sram.words + spec.ofmap_sram.words
        return Resources(pes=spec.pe.count, buffer_words=words)

    def steps(self, workload: Workload) -> int:
        """Layers that one image runs."""
        return len(layer_steps(workload))
