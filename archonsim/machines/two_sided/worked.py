"""A simulation of layers whose passes are worked out one by one, before memory moves anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from archonsim.engine.contract import Phase
from archonsim.engine.observer import SILENT, Observer
from archonsim.machines.charge import charge
from archonsim.machines.layerwise import LayerStep, LayerwiseSimulation
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import OnStep
from archonsim.machines.two_sided.work import LayerWork, layer_phase
from archonsim.memory.system import MemorySystem
from archonsim.network.layer import Layer
from archonsim.spec.parts import BufferSpec, DramSpec, PrefetchSpec
from archonsim.spec.technology import load_technology
from archonsim.trace.image import ImageInputs


class Chip(Protocol):
    """What such a simulation asks of a description."""

    @property
    def multipliers(self) -> int:
        """Products a cycle."""

    @property
    def clock_mhz(self) -> float:
        """Of the array."""

    @property
    def dram(self) -> DramSpec:
        """Off-chip memory."""

    @property
    def glb(self) -> BufferSpec:
        """On-chip buffer."""

    @property
    def dma(self) -> PrefetchSpec:
        """How far loads run ahead."""

    @property
    def technology(self) -> str:
        """Name or path of what actions cost."""


class WorkedSimulation:
    """Layers one after the other, what each takes being worked out when it starts.

    Parameters
    ----------
    steps : sequence of LayerStep
    work : function of a step's place and an image
        What its layer takes for the image.
    chip : Chip
    sizes : mapping of component to words
        One instance of each memory that energy is charged for.
    """

    def __init__(
        self,
        steps: Sequence[LayerStep],
        work: Callable[[int, ImageInputs], LayerWork],
        chip: Chip,
        sizes: Mapping[str, int],
    ) -> None:
        self._steps, self._work, self._chip, self._sizes = steps, work, chip, sizes

    def run(
        self, image: ImageInputs, on_step: OnStep, observer: Observer = SILENT
    ) -> list[PhaseResult]:
        """Simulate one image."""
        chip = self._chip
        places = {step.layer.name: at for at, step in enumerate(self._steps)}
        works: dict[str, LayerWork] = {}

        def phase(layer: Layer) -> Phase:
            works[layer.name] = self._work(places[layer.name], image)
            return layer_phase(layer, works[layer.name], chip.multipliers)

        inner = LayerwiseSimulation(
            self._steps,
            phase,
            lambda: MemorySystem(chip.dram, {"glb": chip.glb}, chip.clock_mhz),
            chip.multipliers,
            chip.dma,
            lambda result: self._charged(result, works[result.name]),
        )
        return inner.run(image, on_step, observer)

    def _charged(self, result: PhaseResult, work: LayerWork) -> PhaseResult:
        stats = result.stats
        stats.actions.update(stats.traffic)
        stats.actions.update(work.actions)
        stats.activity.update(work.activity)
        technology = load_technology(self._chip.technology)
        return replace(result, energy=charge(stats.actions, technology, self._sizes))
