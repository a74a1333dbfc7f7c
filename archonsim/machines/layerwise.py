"""What machines share that run a network layer by layer.

Blocks unfused, no masks, one phase called ``layer`` each.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from simpy import Event

from archonsim.engine.clock import Clock
from archonsim.engine.contract import Phase
from archonsim.engine.observer import SILENT, Observer
from archonsim.engine.pipeline import run_phases
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import OnStep
from archonsim.memory.system import MemorySystem
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.spec.parts import DmaSpec, PrefetchSpec
from archonsim.stats.counts import PhaseStats
from archonsim.trace.image import ImageInputs

DOUBLE_BUFFERED = PrefetchSpec(tile_buffers=2)


def no_stream(prefetch: PrefetchSpec) -> DmaSpec:
    """Return a DMA where nothing streams into a running tile.

    All its data are there when it starts.
    """
    return DmaSpec(tile_buffers=prefetch.tile_buffers, chunk_words=1, stream_chunks=1)


@dataclass(frozen=True, slots=True)
class LayerStep:
    """A layer that takes time.

    Attributes
    ----------
    layer : Layer
    block : int or None
        Number of the block that it belongs to.
    """

    layer: Layer
    block: int | None


def layer_steps(workload: Workload) -> list[LayerStep]:
    """List all layers that multiply, those of blocks included."""
    steps = []
    for item in workload.items:
        block, layers = (item.index, item.layers) if isinstance(item, Block) else (None, (item,))
        steps += [LayerStep(layer, block) for layer in layers if layer.is_compute]
    return steps


def ideal_results(
    workload: Workload, pes: int, cycles: Callable[[Layer], int]
) -> list[PhaseResult]:
    """Evaluate a closed form for every layer."""
    results = []
    for step in layer_steps(workload):
        taken = cycles(step.layer)
        stats = PhaseStats(cycles=taken, compute=taken, macs=step.layer.macs)
        results.append(PhaseResult(step.layer.name, step.block, "layer", stats, pes))
    return results


class LayerwiseSimulation:
    """A workload on such a machine; nothing in it depends on the image.

    Parameters
    ----------
    steps : sequence of LayerStep
    phase : function of a layer
        Cuts it into tiles.
    memory : function without arguments
        Builds the memories, idle, in a new run.
    pes : int
    prefetch : PrefetchSpec
    charged : function of a PhaseResult, or None
        Returns it with its energy.
    """

    def __init__(
        self,
        steps: Sequence[LayerStep],
        phase: Callable[[Layer], Phase],
        memory: Callable[[], MemorySystem],
        pes: int,
        prefetch: PrefetchSpec = DOUBLE_BUFFERED,
        charged: Callable[[PhaseResult], PhaseResult] | None = None,
    ) -> None:
        self._steps, self._phase, self._memory, self._pes, self._dma = (
            steps,
            phase,
            memory,
            pes,
            no_stream(prefetch),
        )
        self._charged = charged or (lambda result: result)

    def run(
        self, image: ImageInputs, on_step: OnStep, observer: Observer = SILENT
    ) -> list[PhaseResult]:
        """Simulate one image; nothing is asked of it."""
        env = Clock()
        results: list[PhaseResult] = []
        env.process(self._run(env, on_step, observer, results))
        env.run()
        return results

    def _run(
        self,
        env: Clock,
        on_step: OnStep,
        observer: Observer,
        results: list[PhaseResult],
    ) -> Generator[Event, Any, None]:
        memory = self._memory()
        for step in self._steps:
            done: list[PhaseStats] = []
            yield env.process(
                run_phases(env, memory, self._dma, [self._phase(step.layer)], done, observer)
            )
            results.append(
                self._charged(PhaseResult(step.layer.name, step.block, "layer", done[0], self._pes))
            )
            on_step(step.layer.name)
