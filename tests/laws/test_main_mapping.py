"""ARCHON's main phase as a loop nest: totals, costs against a plain walk, buffers and ports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archonsim.machines.archon.main_cache import choose
from archonsim.machines.archon.main_mapping import (
    GroupPlaces,
    MainMapping,
)
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.phases import PhaseResult
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.trace.fused_weight import NONE, FusedWeight, fuse
from archonsim.tracefile.find import find_workload
from tests.laws.test_archon import BLOCKS, SETTINGS, run, total, workload_of
from tests.strategies import UNLIMITED, archon, replace_spec

FUSIONET = Path(__file__).parents[2] / "workloads" / "fusionet_c10.h5"
DIGITS = FUSIONET.with_name("fusionet_digits.h5")
MAPPED = ("main_order=mapped", "mask_fetch=charged")
NESTS = st.builds(
    lambda order, out, channel, levels: MainMapping(
        order=tuple(order),
        out_block=out,
        channel_block=channel,
        levels=levels,
        ahead=(0, 0, 0, 0),
    ),
    order=st.permutations(["g", "o", "k", "c"]),
    out=st.integers(1, 12),
    channel=st.integers(1, 8),
    levels=st.tuples(*(st.integers(0, 4) for _ in range(4))),
)


def fused_of(work: Workload) -> tuple[Block, FusedWeight]:
    block = next(iter(work.blocks()))
    assert work.trace is not None
    return block, fuse(block, work.trace)


def main(work: Workload, *overrides: str) -> PhaseResult:
    return next(one for one in run(work, archon(*overrides)) if one.phase == "main")


@SETTINGS
@given(block=BLOCKS, mapping=NESTS, balanced=st.booleans(), seed=st.integers(0, 99))
def test_every_group_is_streamed_once_in_the_order_of_the_loops(
    block: Block, mapping: MainMapping, balanced: bool, seed: int
) -> None:
    places = GroupPlaces(*fused_of(workload_of(block, seed=seed)))
    nest = places.nest(mapping, balanced=balanced)
    assert sorted(nest.groups.tolist()) == list(range(len(places.g)))
    assert nest.step_first[0] == 0
    assert nest.step_first[-1] == len(nest.groups)
    assert (np.diff(nest.step_first) > 0).all()
    for step in range(nest.steps):
        groups = nest.groups[nest.step_first[step] : nest.step_first[step + 1]]
        assert len(set(places.g[groups])) == 1
        assert len(set(places.k[groups])) == 1
        assert len(set(places.o[groups] // mapping.out_block)) == 1
    inner = [np.where(nest.loops[name] == NONE, 10**6, nest.loops[name]) for name in mapping.order]
    keys = list(zip(*(column.tolist() for column in inner), strict=True))
    assert keys == sorted(keys)


@SETTINGS
@given(block=BLOCKS, seed=st.integers(0, 99), balanced=st.booleans(), fetch=st.booleans())
def test_another_order_does_the_same_work(
    block: Block, seed: int, balanced: bool, fetch: bool
) -> None:
    work = workload_of(block, seed=seed)
    order = "balanced" if balanced else "published"
    masks = "charged" if fetch else "once"
    published = main(work, "main_order=published", "mask_fetch=once")
    mapped = main(
        work, "main_order=mapped", f"group_order={order}", f"mask_fetch={masks}", *UNLIMITED
    )
    for one in (published, mapped):
        assert one.stats.cycles == one.stats.compute + sum(one.stats.stalls.values())
    assert mapped.stats.compute == published.stats.compute
    assert mapped.stats.adds == published.stats.adds
    assert mapped.stats.macs == published.stats.macs
    if not fetch:
        assert not mapped.stats.stalls["masks"]


@SETTINGS
@given(block=BLOCKS, seed=st.integers(0, 99), words=st.integers(1, 200), more=st.integers(1, 200))
def test_larger_buffers_wider_ports_and_links_never_cost_cycles_in_the_search(
    block: Block, seed: int, words: int, more: int
) -> None:
    block, fused = fused_of(workload_of(block, seed=seed))

    def cycles(spec: ArchonSpec) -> int:
        return choose(block, fused, spec).cost.cycles

    small = replace_spec(archon(), "pe", prediction_buffer_words=words)
    base = cycles(small)
    assert cycles(replace_spec(small, "pe", prediction_buffer_words=words + more)) <= base
    assert cycles(replace_spec(small, "pe", psum_words=64)) <= base
    assert cycles(replace_spec(small, "pe", main_ifmap_words=24)) <= base
    assert cycles(replace_spec(small, "pe", mask_links=True)) <= base
    assert cycles(replace_spec(small, "prediction_glb", read_words_per_cycle=32)) <= base
    assert cycles(replace_spec(small, "glb", read_words_per_cycle=64)) <= base


@SETTINGS
@given(block=BLOCKS, seed=st.integers(0, 99), width=st.integers(1, 16), more=st.integers(1, 16))
def test_a_wider_port_never_costs_cycles_in_one_mapping(
    block: Block, seed: int, width: int, more: int
) -> None:
    """The engine, with the mapping that the narrow port asks for."""
    work = workload_of(block, seed=seed)
    narrow = f"prediction_glb.read_words_per_cycle={width}"
    wide = f"prediction_glb.read_words_per_cycle={width + more}"
    blocks = fused_of(work)
    same = (choose(*blocks, archon(*MAPPED, port)).mapping for port in (narrow, wide))
    assume(len(set(same)) == 1)
    assert main(work, *MAPPED, wide).stats.cycles <= main(work, *MAPPED, narrow).stats.cycles


@SETTINGS
@given(block=BLOCKS, seed=st.integers(0, 99))
def test_words_that_are_counted_are_words_that_were_fetched(block: Block, seed: int) -> None:
    work = workload_of(block, seed=seed)
    stats = main(work, *MAPPED, *UNLIMITED).stats
    assert (
        stats.actions["prediction_glb", "read", "mask"]
        == stats.traffic["prediction_glb", "read", "mask"]
    )
    fetched = stats.traffic["prediction_glb", "read", "mask"]
    assert bool(fetched) == bool(stats.compute)


#: What stalls on full FIFOs, which the search does not know, may cost beside what it saves.
FIFO_NOISE = 1.001


@pytest.mark.parametrize(
    "better",
    [
        "pe.prediction_buffer_words=256",
        "pe.prediction_buffer_words=1024",
        "pe.main_ifmap_words=24",
        "pe.psum_words=64",
        "pe.mask_links=true",
        "prediction_glb.read_words_per_cycle=32",
        "glb.read_words_per_cycle=64",
    ],
)
def test_a_better_machine_takes_no_longer_on_the_digits(better: str) -> None:
    work = find_workload(str(DIGITS))

    def cycles(*overrides: str) -> int:
        return sum(one.stats.cycles for one in run(work, archon(*overrides)))

    assert cycles(better) <= cycles() * FIFO_NOISE


@pytest.mark.parametrize("fetch", ["once", "charged"])
def test_the_mapped_order_beats_the_published_one_on_the_digits(fetch: str) -> None:
    work = find_workload(str(DIGITS))
    mapped, published = (
        run(work, archon(f"mask_fetch={fetch}", f"main_order={order}"))
        for order in ("mapped", "published")
    )
    assert sum(one.stats.cycles for one in mapped) < sum(one.stats.cycles for one in published)


@pytest.mark.skipif(not FUSIONET.exists(), reason="needs workloads/fusionet_c10.h5")
def test_fusionets_main_phases_on_image_0() -> None:
    """Today's figures: the published order as before, mapped ones with every cause of stalls."""
    work = find_workload(str(FUSIONET))

    def mains(*overrides: str) -> dict[str, int]:
        phases = [one for one in run(work, archon(*overrides)) if one.phase == "main"]
        found = {"cycles": sum(one.stats.cycles for one in phases)}
        for one in phases:
            for cause, cycles in one.stats.stalls.items():
                found[cause] = found.get(cause, 0) + cycles
        return found

    published = ("main_order=published", "mask_fetch=once", "group_order=published")
    assert mains(*published) == {
        "cycles": 661_007, "broadcast": 95_566, "dram": 28_095, "glb": 11_921, "drain": 365,
    }  # fmt: skip
    as_published = (*published, "prediction_sums=free", "requantise=free")
    assert total(run(work, archon(*as_published))) == 1_105_599
    assert mains() == {
        "cycles": 916_728, "broadcast": 97_379, "dram": 60_119, "glb": 2_048, "drain": 362,
        "masks": 231_760,
    }  # fmt: skip
