"""The compiled pass of a phase against the events that define it: every time and count, and events.

Whoever watches a run has it carried by SimPy, so that an observer that ignores everything gives the
definition's answer.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.engine.clock import Clock
from archonsim.engine.compiled import can_compile
from archonsim.engine.contract import FixedTile, Phase, RunningTile
from archonsim.engine.observer import SILENT, Observer
from archonsim.engine.pipeline import run_phases
from archonsim.machines.archon import MACHINE
from archonsim.machines.registry import machine, machine_names, machine_spec
from archonsim.memory.system import MemorySystem
from archonsim.network.block import Block
from archonsim.spec.parts import BufferSpec, DmaSpec, DramSpec
from archonsim.stats.counts import PhaseStats, Transfer
from archonsim.trace.image import image_inputs
from archonsim.trace.what_if import MaskPolicy
from tests.examples import examples
from tests.laws.test_archon import BLOCKS, digits, workload_of
from tests.pairs.test_pipeline import BUFFERS, CLOCK_MHZ, DMAS, DRAMS, transfers
from tests.strategies import archon, make_block

#: Several phases, one after the other: what a server remembers must be handed on.
PHASES = st.lists(
    st.lists(
        st.builds(
            FixedTile,
            cycles=st.integers(0, 40),
            loads=transfers("read", large=True),  # in pieces, if they are the first tile's
            stores=transfers("write"),
            macs=st.integers(0, 3),
        ),
        min_size=1,
        max_size=9,
    ),
    min_size=1,
    max_size=3,
)


def watched(
    phases: Sequence[Phase],
    memories: tuple[DramSpec, BufferSpec],
    dma: DmaSpec,
    observer: Observer,
) -> tuple[list[PhaseStats], int]:
    env, done = Clock(), list[PhaseStats]()
    memory = MemorySystem(memories[0], {"glb": memories[1]}, CLOCK_MHZ)
    env.process(run_phases(env, memory, dma, phases, done, observer))
    env.run()
    return done, env.events


@examples(300)
@given(
    tiles=PHASES,
    dram=DRAMS,
    glb=BUFFERS,
    dma=DMAS,
    models=st.tuples(
        st.sampled_from(["fixed", "banks", "unlimited"]),
        st.sampled_from(["ports", "banks", "unlimited"]),
    ),
    free=st.booleans(),
)
def test_phases_of_fixed_tiles(
    tiles: list[list[FixedTile]],
    dram: DramSpec,
    glb: BufferSpec,
    dma: DmaSpec,
    models: tuple[Any, Any],
    free: bool,
) -> None:
    phases = [Phase(name="layer", tiles=some, stream_from=["dram"] * len(some)) for some in tiles]
    dram = replace(dram, model=models[0], free=("output",) if free and models[0] == "fixed" else ())
    memories = dram, replace(glb, model=models[1], banks=3, entry_words=2)
    quick, few = watched(phases, memories, dma, SILENT)
    assert quick == watched(phases, memories, dma, Observer())[0]
    assert few <= 3 + len(phases)  # a process, and the clock goes on once a phase


OPTIONS = (
    ["main_order=mapped", "main_order=published"],
    ["mask_fetch=charged", "mask_fetch=once", "mask_fetch=charged"],
    ["pe.rows=8", "pe.rows=3", "pe.rows=20"],
    ["pe.fifo_depth=5", "pe.fifo_depth=4", "pe.fifo_depth=12"],
    ["pe.adders=6", "pe.adders=1", "pe.adders=9"],
    ["pe.psum_pads=double", "pe.psum_pads=single"],
    ["weights=stream", "weights=cache"],
    ["prediction_glb.words=48", "prediction_glb.words=4096"],
    [
        "dram.model=fixed",
        "dram.model=banks",
        "dram.model=unlimited",
        "dram.free=['weight', 'mask']",
    ],
    ["glb.model=ports", "glb.model=banks", "prediction_glb.model=unlimited"],
    ["dma.stream_chunks=1", "dma.stream_chunks=2", "dma.stream_chunks=5"],
    ["dma.tile_buffers=2", "dma.tile_buffers=4"],
    ["dma.chunk_words=16", "dma.chunk_words=256"],
    ["pe.prediction_buffer_words=8", "pe.prediction_buffer_words=128"],
    ["pe.psum_words=4", "pe.psum_words=32"],
)
SETTINGS_OF_ARCHON = st.tuples(*(st.sampled_from(some) for some in OPTIONS))


def check_archon(
    block: Block, density: float, settings: Sequence[str], seed: int, clipped: float = 0.0
) -> None:
    work = workload_of(block, density=density, seed=seed, clipped=clipped)
    spec = archon(*settings)
    image = image_inputs(work, MaskPolicy(), 0)
    simulation = MACHINE.prepare(work, spec)
    watched = simulation.run(image, lambda name: None, Observer())
    assert simulation.run(image, lambda name: None) == watched


@pytest.mark.parametrize("turn", range(5))
def test_archon_on_a_small_block(turn: int) -> None:
    """Options drawn by chance; the published order has few of them."""
    chance = random.Random(turn)
    settings = [chance.choice(some) for some in OPTIONS]
    settings[0] = f"main_order={'published' if turn == 1 else 'mapped'}"
    settings[2] = "pe.rows=3"
    settings.append("pe.cols=3")
    block = make_block(channels=4, mid=6, out=10, size=(6, 5), late=turn == 1, stride=1 + turn % 2)
    check_archon(block, 0.6, settings, turn)


@examples(120)
@given(
    block=BLOCKS,
    density=st.floats(0, 1),
    clipped=st.sampled_from([0.0, 0.4]),
    settings=SETTINGS_OF_ARCHON,
    seed=st.integers(0, 99),
)
def test_archon(
    block: Block, density: float, clipped: float, settings: tuple[str, ...], seed: int
) -> None:
    check_archon(block, density, settings, seed, clipped)


@pytest.mark.parametrize("name", machine_names())
# Ticks of the second rate would overflow the kernel's 64 bits.
@pytest.mark.parametrize("rate", ["25.6", "1.116351102603299"])
def test_every_machine(name: str, rate: str) -> None:
    arch, work = machine(name), digits()
    spec = machine_spec(arch, None, [f"dram.gigabytes_per_second={rate}"])
    simulation = arch.prepare(work, spec)
    image = image_inputs(work, MaskPolicy(), 0)
    watched = simulation.run(image, lambda name: None, Observer())
    assert simulation.run(image, lambda name: None) == watched


class _Own(FixedTile):
    """A tile that does something of its own when it begins."""

    def begin(self, start: int) -> RunningTile:
        return super().begin(start + 1)


def test_tiles_and_kinds_of_a_plugin_are_left_to_simpy() -> None:
    plain = FixedTile(cycles=3, loads=[Transfer("dram", "read", "input", 8)])
    odd = FixedTile(cycles=3, loads=[Transfer("dram", "read", "halo", 8)])
    for tile, compiled in ((plain, True), (_Own(cycles=3), False), (odd, False)):
        assert can_compile(Phase(name="layer", tiles=[tile], stream_from=["dram"])) is compiled


@pytest.mark.parametrize("latency", [0.0, 400.0])
def test_what_is_remembered_of_a_phase_is_of_the_same_machine(latency: float) -> None:
    """A phase of fixed time, again and again; on a slower memory, and with other buffers."""
    tile = FixedTile(
        cycles=3,
        loads=[Transfer("dram", "read", "input", 64)],
        stores=[Transfer("dram", "write", "output", 64)],
    )
    phase = Phase(name="layer", tiles=[tile] * 5, stream_from=["dram"] * 5)
    dram = replace(archon().dram, latency_cycles=None, latency_ns=latency)
    glb, dma = archon().glb, archon().dma
    for one in (dram, dram, replace(dram, gigabytes_per_second=1.0), dram):
        for other in (dma, replace(dma, tile_buffers=2), dma):
            found = watched([phase, phase], (one, glb), other, SILENT)[0]
            assert found == watched([phase, phase], (one, glb), other, Observer())[0]
