"""What must hold for every machine's memories.

Better ones never cost cycles, and nothing is lost on the way.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.machines.registry import machine, machine_spec
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.result.values import Number
from archonsim.runs.simulate import simulate
from archonsim.spec.dram_device import DramDevice, load_device
from archonsim.spec.load import to_toml
from archonsim.tracefile.reader import open_workload
from tests.laws.test_archon import BLOCKS, SETTINGS, workload_of
from tests.strategies import make_block

ROOT = Path(__file__).parents[2]
MACHINES = ("archon", "dense", "systolic")


def cycles(name: str, work: Workload, *overrides: str) -> list[Number]:
    """Cycles of each phase."""
    found = machine(name)
    return [
        layer.cycles for layer in simulate(work, found, machine_spec(found, None, overrides)).layers
    ]


def two_blocks(block: Block, seed: int) -> Workload:
    second = make_block(
        channels=block.out_channels, mid=16, out=4, size=(block.dw.out_h, block.dw.out_w), index=2
    )
    return workload_of(block, second, seed=seed)


#: (what it is changed to, from what): the former is the better memory.
BETTER = [
    (("dma.tile_buffers=3",), ()),
    (("dma.tile_buffers=5",), ("dma.tile_buffers=4",)),
    (("dram.turnaround_cycles=3",), ("dram.turnaround_cycles=20",)),
    (("dram.free=['weight']",), ()),
    (("dram.free=['weight', 'mask']",), ("dram.free=['weight']",)),
    (
        ("dram.free=['weight', 'mask', 'map', 'input', 'output', 'psum']",),
        ("dram.free=['weight', 'mask']",),
    ),
    (("dram.model=unlimited",), ("dram.model=banks",)),
    (("dram.model=banks", "dram.free=['input']"), ("dram.model=banks",)),
    (("glb.model=ports",), ("glb.model=banks",)),
    (("glb.model=banks", "glb.banks=8"), ("glb.model=banks", "glb.banks=4")),
    (("glb.model=banks", "glb.banks=50"), ("glb.model=banks", "glb.banks=25")),
]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("better", "worse"), BETTER, ids=lambda pair: " ".join(pair))
@pytest.mark.parametrize("name", MACHINES)
def test_better_memory_never_costs_cycles(
    name: str, better: tuple[str, ...], worse: tuple[str, ...]
) -> None:
    if name == "systolic" and any(text.startswith("glb") for text in (*better, *worse)):
        pytest.skip("a systolic array has no GLB")

    @SETTINGS
    @given(
        block=BLOCKS,
        seed=st.integers(0, 1000),
        speed=st.sampled_from([1.0, 6.4, 25.6, 51.2]),
        queue=st.sampled_from([0, 64, 512]),
    )
    def check(block: Block, seed: int, speed: float, queue: int) -> None:
        work = two_blocks(block, seed)
        modelled = any(text.startswith("dram.model") for text in (*better, *worse))
        # A rate counts with the fixed model alone.
        base = (
            ()
            if modelled
            else (f"dram.gigabytes_per_second={speed}", f"dram.write_queue_words={queue}")
        )
        pairs = zip(
            cycles(name, work, *base, *better), cycles(name, work, *base, *worse), strict=True
        )
        assert all(one <= two for one, two in pairs)

    check()


def device_file(path: Path, device: DramDevice, **changes: Any) -> str:
    path.write_text(to_toml({**dataclasses.asdict(device), **changes}))
    return str(path)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("preset", ["lpddr4-3200", "ddr4-2400", "hbm2"])
def test_twice_the_dram_banks_or_a_wider_bus_never_cost_cycles(
    name: str, preset: str, tmp_path: Path
) -> None:
    device = load_device(preset)
    few = device_file(tmp_path / "few.toml", device, banks=2)
    many = device_file(tmp_path / "many.toml", device, banks=4)
    quick = device_file(
        tmp_path / "quick.toml", device, banks=2, rcd_ns=5.0, rp_ns=5.0, cl_ns=5.0, wtr_ns=2.0
    )
    work = two_blocks(make_block(channels=8, mid=96, out=8, size=(20, 20)), 1)
    slow, *better = (
        cycles(name, work, "dram.model=banks", f"dram.device={one}") for one in (few, many, quick)
    )
    for found in better:
        assert all(one <= two for one, two in zip(found, slow, strict=True))
    assert sum(better[1]) < sum(slow)


@pytest.mark.parametrize("name", ["archon", "dense", "sparse", "systolic", "fuse"])
def test_unlimited_dram_gives_the_cycles_from_before_dram_was_modelled_in_detail(name: str) -> None:
    """Recorded with the first version, whose DRAM had a rate and a latency and nothing else.

    The sparse array's are newer: since its tiles follow the mapping's loops, not its compute
    cycles, there are more of them, and less to wait for before the first. ARCHON's main phases had
    the published order then, masks reached its PEs for nothing, and predictions were additions
    alone.
    """
    known = json.loads((ROOT / "tests" / "data" / "unlimited_dram_cycles.json").read_text("utf-8"))
    work = open_workload(ROOT / "workloads" / "fusionet_digits.h5")
    published = (
        "main_order=published",
        "mask_fetch=once",
        "prediction_sums=free",
        "requantise=free",
    ) * (name == "archon")
    assert cycles(name, work, "dram.model=unlimited", *published) == known[name]


@SETTINGS
@given(block=BLOCKS, seed=st.integers(0, 1000))
def test_models_move_the_same_words(block: Block, seed: int) -> None:
    """How long data take changes nothing about which data move."""
    found, work = machine("archon"), two_blocks(block, seed)

    def words(*overrides: str) -> list[dict[str, float]]:
        return [
            layer.traffic
            for layer in simulate(work, found, machine_spec(found, None, overrides)).layers
        ]

    assert (
        words()
        == words("dram.model=banks", "glb.model=banks", "dma.tile_buffers=4")
        == words("dram.model=unlimited")
    )
