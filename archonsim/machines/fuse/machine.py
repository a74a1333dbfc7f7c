"""The FuSe array as a machine.

Lines from ``dataflow.row_broadcast``, everything else as on a plain systolic array.
"""

from __future__ import annotations

from importlib import resources

from archonsim.dataflow.operands import (
    BufferAccesses,
    BufferSizes,
    buffer_accesses,
    group_demand,
    line_demand,
)
from archonsim.dataflow.row_broadcast import fuse_cycles, is_line, line_folds
from archonsim.dataflow.systolic import Gemm, fold
from archonsim.engine.contract import Phase
from archonsim.machines.edge_fed.array_energy import with_energy
from archonsim.machines.edge_fed.array_phase import array_phase
from archonsim.machines.fuse.spec import FuseSpec
from archonsim.machines.layerwise import LayerwiseSimulation, ideal_results, layer_steps
from archonsim.machines.phases import PhaseResult
from archonsim.memory.system import MemorySystem
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.spec.resources import Resources
from archonsim.vocabulary.vocabulary import Vocabulary


def _cycles(layer: Layer, spec: FuseSpec) -> int:
    return fuse_cycles(layer, spec.pe.rows, spec.pe.cols, spec.timing)


def _phase(layer: Layer, spec: FuseSpec) -> Phase:
    rows, cols = spec.pe.rows, spec.pe.cols
    buffers = BufferSizes(spec.ifmap_sram.words, spec.filter_sram.words, spec.ofmap_sram.words)
    if is_line(layer):
        lines = line_folds(layer, rows, cols, spec.timing)
        # Each piece of a line takes in its own positions and the taps - 1 inputs behind them; a
        # weight goes to each row and fold.
        taps = layer.kernel_h * layer.kernel_w
        inputs, weights = (
            lines.count * lines.pieces * (cols + taps - 1),
            lines.count * lines.pieces * taps,
        )
        accesses = BufferAccesses(
            inputs, weights, layer.out_channels * layer.out_h * layer.out_w, 0
        )
        demand, busy = line_demand(layer, lines.folds, buffers), lines.folds * taps
        return array_phase(layer, demand, _cycles(layer, spec), accesses, buffers, busy)
    gemm = Gemm.of(layer)
    folds = fold(gemm, rows, cols, "os", "fuseconv")
    demand = group_demand(layer, gemm, folds, buffers).repeat(gemm.groups)
    busy = gemm.groups * folds.busy_cycles
    return array_phase(
        layer, demand, _cycles(layer, spec), buffer_accesses(gemm, folds), buffers, busy
    )


class FuseMachine:
    """FuSeConv's array, as a machine that ``archonsim run`` knows."""

    name = "fuse"
    summary = (
        "FuSe (DATE'21): systolic array with a weight broadcast wire a row for 1xK and Kx1"
        " depthwise layers"
    )
    spec_type = FuseSpec
    preset = (resources.files("archonsim.machines.fuse") / "preset.toml").read_text("utf-8")
    vocabulary = Vocabulary()
    includes = (
        (
            "fill of every fold, 1xK and Kx1 depthwise layers on the broadcast wires; other grouped"
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
            "fill of every fold, 1xK and Kx1 depthwise layers on the broadcast wires; other grouped"
            " layers a group at a time"
        ),
    )
    ideal_excludes = ("all memory; pooling, shuffles, sums and activations; sparsity",)

    def ideal(self, workload: Workload, spec: FuseSpec) -> list[PhaseResult]:
        """Evaluate the closed forms: compute cycles alone."""
        return ideal_results(workload, spec.pe.count, lambda layer: _cycles(layer, spec))

    def prepare(self, workload: Workload, spec: FuseSpec) -> LayerwiseSimulation:
        """Make a workload ready for ``cycle`` fidelity."""
        return LayerwiseSimulation(
            layer_steps(workload),
            lambda layer: _phase(layer, spec),
            lambda: MemorySystem(spec.dram, {}, spec.clock_mhz),
            spec.pe.count,
            spec.dma,
            lambda result: with_energy(result, spec),
        )

    def resources(self, spec: FuseSpec) -> Resources:
        """PEs and buffers; no area is published."""
        words = spec.ifmap_sram.words + spec.filter_sram.words + spec.ofmap_sram.words
        return Resources(pes=spec.pe.count, buffer_words=words)

    def steps(self, workload: Workload) -> int:
        """Layers that one image runs."""
        return len(layer_steps(workload))
