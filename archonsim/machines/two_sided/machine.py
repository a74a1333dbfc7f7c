"""Such arrays as machines: layers one after the other, images differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Generic, TypeVar

from archonsim.engine.observer import SILENT, Observer
from archonsim.machines.layerwise import layer_steps
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import OnStep
from archonsim.machines.two_sided.bits import BitSource, Nonzero
from archonsim.machines.two_sided.spec import TwoSidedSpec
from archonsim.machines.two_sided.work import LayerModel, LayerWork
from archonsim.machines.two_sided.worked import WorkedSimulation
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.spec.resources import Resources
from archonsim.stats.counts import PhaseStats
from archonsim.trace.image import ImageInputs

S = TypeVar("S", bound=TwoSidedSpec)


class TwoSidedMachine(ABC, Generic[S]):
    """An array that skips zeros of both operands.

    A machine of this kind says what a layer takes (`model`).
    """

    #: Shapes that state N:M sparsity run at that density.
    skips_stated_zeros = True
    excludes: tuple[str, ...] = (
        "pooling, channel shuffles, residual sums, packing of outputs, host transfers",
    )
    ideal_includes: tuple[str, ...] = (
        (
            "every product of a non-zero weight and a non-zero activation, all multipliers busy in"
            " every cycle; the mean over the trace's first images"
        ),
    )
    ideal_excludes: tuple[str, ...] = (
        "imbalance, edges, on-chip network, all memory; pooling, residual sums",
    )

    @abstractmethod
    def model(self, layer: Layer, nonzero: Nonzero, spec: S) -> LayerModel:
        """Make a layer ready for the array."""

    @abstractmethod
    def resources(self, spec: S) -> Resources:
        """PEs, buffers and area."""

    @abstractmethod
    def energy_sizes(self, spec: S) -> dict[str, int]:
        """16-bit words of one instance of each memory that energy is charged for."""

    def skips(self, layer: Layer) -> bool:
        """Whether zeros of a layer can be skipped at all."""
        return True

    def ideal(self, workload: Workload, spec: S) -> list[PhaseResult]:
        """Evaluate the closed form: products over multipliers."""
        source = BitSource(workload, spec)
        results = []
        for at, step in enumerate(source.steps):
            macs = source.products(at) if self.skips(step.layer) else step.layer.macs
            cycles = -(-macs // spec.multipliers)
            stats = PhaseStats(cycles=cycles, compute=cycles, macs=macs)
            results.append(
                PhaseResult(step.layer.name, step.block, "layer", stats, spec.multipliers)
            )
        return results

    def prepare(self, workload: Workload, spec: S) -> TwoSidedSimulation[S]:
        """Make a workload ready for ``cycle`` fidelity."""
        return TwoSidedSimulation(self, workload, spec)

    def remarks(self, workload: Workload, spec: S) -> tuple[str, ...]:
        """Say of how many layers the zeros of the input are known."""
        source = BitSource(workload, spec)
        if workload.trace is None:
            return ("no weights and activations: every product that the shapes state",)
        if not spec.skips_inputs:
            return ()
        known, layers = source.known_layers(), len(source.steps)
        if known == layers:
            return (f"zero activations as traced in all {layers} layers",)
        return (
            f"zero activations known in {known} of {layers} layers; inputs of the others count as"
            " not zero (the file has no activation bits of them)",
        )

    def steps(self, workload: Workload) -> int:
        """Layers that one image runs."""
        return len(layer_steps(workload))


class TwoSidedSimulation(Generic[S]):
    """A workload on such an array.

    Raises
    ------
    MaskError
        The workload has shapes only.
    """

    def __init__(self, machine: TwoSidedMachine[S], workload: Workload, spec: S) -> None:
        self._machine, self._spec = machine, spec
        self._source = BitSource(workload, spec)
        self._source.check()
        self._inner = WorkedSimulation(
            self._source.steps, self._work, spec, machine.energy_sizes(spec)
        )

    @cached_property
    def _models(self) -> list[LayerModel]:
        return [
            self._machine.model(step.layer, self._source.weights(step.layer), self._spec)
            for step in self._source.steps
        ]

    def _work(self, at: int, image: ImageInputs) -> LayerWork:
        return self._models[at].work(self._source.inputs(at, image))

    def run(
        self, image: ImageInputs, on_step: OnStep, observer: Observer = SILENT
    ) -> list[PhaseResult]:
        """Simulate one image."""
        return self._inner.run(image, on_step, observer)
