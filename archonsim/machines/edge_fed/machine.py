"""What arrays that are fed from buffers at their edges have in common, as machines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from archonsim.dataflow.operands import BufferSizes, buffer_accesses, group_demand
from archonsim.dataflow.systolic import Folds, Gemm
from archonsim.engine.contract import Phase
from archonsim.machines.edge_fed.array_energy import EdgeBuffered, own_areas, with_energy
from archonsim.machines.edge_fed.array_phase import array_phase
from archonsim.machines.layerwise import LayerwiseSimulation, ideal_results, layer_steps
from archonsim.machines.phases import PhaseResult
from archonsim.memory.system import MemorySystem
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.spec.parts import ArraySpec, DramSpec, PrefetchSpec
from archonsim.spec.resources import Resources
from archonsim.vocabulary.vocabulary import Vocabulary

#: Part of what the cycles of such a machine include.
MEMORIES = (
    "DRAM bandwidth and latency, double-buffered input, filter and output memories; layers run one"
    " after the other"
)


class EdgeFedSpec(EdgeBuffered, Protocol):
    """What the descriptions of such machines have in common.

    A protocol and no base class: fields of a base class would come first wherever a description is
    printed or stored.
    """

    @property
    def clock_mhz(self) -> float:
        """Clock of the array."""

    @property
    def pe(self) -> ArraySpec:
        """The array."""

    @property
    def dram(self) -> DramSpec:
        """Off-chip memory."""

    @property
    def dma(self) -> PrefetchSpec:
        """How far loads run ahead."""


def buffer_sizes(spec: EdgeFedSpec) -> BufferSizes:
    """Return the capacities of the three memories, in 16-bit words."""
    return BufferSizes(spec.ifmap_sram.words, spec.filter_sram.words, spec.ofmap_sram.words)


def product_phase(layer: Layer, spec: EdgeFedSpec, folds: Folds, cycles: int) -> Phase:
    """Cut a layer that runs as matrix products, a group at a time, into tiles.

    Parameters
    ----------
    layer : Layer
    spec : EdgeFedSpec
    folds : Folds
        Of one group's product.
    cycles : int
        Of the whole layer in the array.
    """
    gemm, buffers = Gemm.of(layer), buffer_sizes(spec)
    demand = group_demand(layer, gemm, folds, buffers).repeat(gemm.groups)
    accesses = buffer_accesses(gemm, folds)
    return array_phase(layer, demand, cycles, accesses, buffers, gemm.groups * folds.busy_cycles)


S = TypeVar("S", bound=EdgeFedSpec)


class EdgeFedMachine(ABC, Generic[S]):
    """An array with an input, a filter and an output memory at its edges.

    Layers run one after the other, whatever the image. A machine of this kind says how many cycles
    a layer takes in the array (`cycles`), and how it is cut into tiles (`phase`).
    """

    vocabulary = Vocabulary()
    excludes: tuple[str, ...] = (
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
    ideal_excludes: tuple[str, ...] = (
        "all memory; pooling, shuffles, sums and activations; sparsity",
    )

    @abstractmethod
    def cycles(self, layer: Layer, spec: S) -> int:
        """Cycles of a layer in the array, with no memory."""

    @abstractmethod
    def phase(self, layer: Layer, spec: S) -> Phase:
        """Cut a layer into tiles."""

    def ideal(self, workload: Workload, spec: S) -> list[PhaseResult]:
        """Evaluate the closed forms: compute cycles alone."""
        return ideal_results(workload, spec.pe.count, lambda layer: self.cycles(layer, spec))

    def prepare(self, workload: Workload, spec: S) -> LayerwiseSimulation:
        """Make a workload ready for ``cycle`` fidelity."""
        return LayerwiseSimulation(
            layer_steps(workload),
            lambda layer: self.phase(layer, spec),
            lambda: MemorySystem(spec.dram, {}, spec.clock_mhz),
            spec.pe.count,
            spec.dma,
            lambda result: with_energy(result, spec),
        )

    def resources(self, spec: S) -> Resources:
        """PEs and buffers; area only if the technology has the array's own parts."""
        sizes = buffer_sizes(spec)
        words = sizes.ifmap + sizes.filter + sizes.ofmap
        return Resources(
            pes=spec.pe.count, buffer_words=words, parts=own_areas(spec, spec.pe.count)
        )

    def steps(self, workload: Workload) -> int:
        """Layers that one image runs."""
        return len(layer_steps(workload))
