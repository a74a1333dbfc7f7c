"""Running layers one after the other on a row-stationary array, and its closed form."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from simpy import Event

from archonsim.engine.clock import Clock
from archonsim.engine.contract import Phase
from archonsim.engine.observer import SILENT, Observer
from archonsim.engine.pipeline import run_phases
from archonsim.machines.layerwise import no_stream
from archonsim.machines.phases import PhaseResult
from archonsim.machines.row_stationary.layers import MappedLayer
from archonsim.machines.row_stationary.spec import RowStationarySpec
from archonsim.machines.row_stationary.tiles import layer_phase
from archonsim.memory.system import MemorySystem
from archonsim.stats.counts import PhaseStats


def ideal_result(
    mapped: MappedLayer,
    spec: RowStationarySpec,
    cycles: int,
    macs: int,
    weight_words: int,
    phase: str = "layer",
) -> PhaseResult:
    """Assemble a closed-form result: all cycles compute, traffic is the mapping's."""
    stats = PhaseStats(cycles=cycles, compute=cycles, macs=macs)
    (tile,) = layer_phase(mapped, [cycles], macs, weight_words).tiles
    for transfer in (*tile.loads, *tile.stores):
        stats.move(transfer)
    return PhaseResult(mapped.layer.name, mapped.block, phase, stats, spec.pe.count)


def quickest(choices: Sequence[tuple[MappedLayer, Phase]], spec: RowStationarySpec) -> int:
    """Return which of a layer's mappings takes the fewest cycles with its memories.

    Phases begin with idle memories, so each can be tried alone. A compiler could know as much.
    """

    def cycles(at: int) -> int:
        (result,) = run_layers([choices[at]], spec, lambda name: None, SILENT)
        return result.stats.cycles

    return min(range(len(choices)), key=cycles) if len(choices) > 1 else 0


def run_layers(
    phases: Sequence[tuple[MappedLayer, Phase]],
    spec: RowStationarySpec,
    on_step: Callable[[str], None],
    observer: Observer,
) -> list[PhaseResult]:
    """Run layers one after the other on the array and its memories."""
    env = Clock()
    memory = MemorySystem(spec.dram, {"glb": spec.glb}, spec.clock_mhz)
    results: list[PhaseResult] = []

    def process() -> Generator[Event, Any, None]:
        for mapped, phase in phases:
            done: list[PhaseStats] = []
            yield env.process(run_phases(env, memory, no_stream(spec.dma), [phase], done, observer))
            results.append(
                PhaseResult(mapped.layer.name, mapped.block, phase.name, done[0], spec.pe.count)
            )
            on_step(mapped.layer.name)

    env.process(process())
    env.run()
    return results
