"""What must hold for every run of ARCHON, whatever the workload."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.machines.archon import MACHINE
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.phases import PhaseResult
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.networks import network
from archonsim.network.workload import Provenance, Workload
from archonsim.trace.algebra import shuffle
from archonsim.trace.image import image_inputs
from archonsim.trace.synthetic import synthesize
from archonsim.trace.synthetic_clips import with_clips
from archonsim.trace.what_if import MaskPolicy
from tests.examples import examples
from tests.strategies import UNLIMITED, archon, make_block, replace_spec


def workload_of(
    *blocks: Block,
    density: float = 0.5,
    weights: float = 0.4,
    seed: int = 0,
    clipped: float = 0.0,
    images: int = 1,
) -> Workload:
    """Blocks with synthetic weights and masks."""
    shapes = Workload(
        name="small", items=blocks, provenance=Provenance(network="small", dataset="none")
    )
    made = synthesize(
        shapes,
        seed=seed,
        density1=density,
        density2=density,
        weight_density=(weights,) * 3,
        images=images,
    )
    return (with_clips(*made, clipped) if clipped else made)[0]


@cache
def digits() -> Workload:
    return synthesize(network("fusionet_digits"), seed=1)[0]


def run(work: Workload, spec: ArchonSpec, masks: str = "trace") -> list[PhaseResult]:
    image = image_inputs(work, MaskPolicy.parse(masks), 0)
    return MACHINE.prepare(work, spec).run(image, lambda name: None)


def total(results: list[PhaseResult]) -> int:
    return sum(one.stats.cycles for one in results)


BLOCKS = st.builds(
    make_block,
    channels=st.sampled_from([4, 8]),
    mid=st.sampled_from([8, 24, 52]),
    out=st.sampled_from([4, 12, 40]),
    groups=st.sampled_from([1, 2, 4]),
    size=st.tuples(st.integers(3, 20), st.integers(3, 20)),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    late=st.booleans(),
    shuffle=st.sampled_from([0, 2, 4]),
)
SETTINGS = examples(40)


@SETTINGS
@given(block=BLOCKS, density=st.floats(0, 1), seed=st.integers(0, 1000))
def test_cycles_have_one_owner_each(block: Block, density: float, seed: int) -> None:
    for one in run(workload_of(block, density=density, seed=seed), archon()):
        assert one.stats.cycles == one.stats.compute + sum(one.stats.stalls.values())
        assert min(one.stats.stalls.values(), default=0) >= 0


@SETTINGS
@given(block=BLOCKS, density=st.floats(0, 1), seed=st.integers(0, 1000))
def test_with_unlimited_dram_cycle_is_never_below_ideal(
    block: Block, density: float, seed: int
) -> None:
    work, spec = workload_of(block, density=density, seed=seed), archon("dram.model=unlimited")
    for cycle, ideal in zip(run(work, spec), MACHINE.ideal(work, spec), strict=True):
        assert (cycle.name, cycle.phase) == (ideal.name, ideal.phase)
        assert cycle.stats.cycles >= ideal.stats.cycles


@SETTINGS
@given(density=st.floats(0, 1), seed=st.integers(0, 1000))
def test_without_stalls_main_differs_from_ideal_by_its_drains_alone(
    density: float, seed: int
) -> None:
    """Dimensions that divide, room for every candidate, bias terms untimed, memory unlimited."""
    work = workload_of(
        make_block(channels=8, mid=32, out=8, groups=2, size=(16, 24)), density=density, seed=seed
    )
    spec = replace_spec(archon(*UNLIMITED, "bias_terms=untimed"), "pe", adders=16, fifo_depth=64)
    cycle, ideal = run(work, spec)[-1], MACHINE.ideal(work, spec)[-1]
    assert set(cycle.stats.stalls) <= {"drain"}
    assert cycle.stats.cycles - cycle.stats.stalls["drain"] == ideal.stats.cycles


@SETTINGS
@given(
    block=BLOCKS,
    seed=st.integers(0, 1000),
    slow=st.floats(0.5, 60),
    factor=st.floats(1, 8),
    latency=st.integers(0, 200),
    less=st.integers(0, 200),
    order=st.sampled_from(["layer", "channel"]),
    weights=st.sampled_from(["stream", "cache"]),
)
def test_more_bandwidth_and_less_latency_never_cost_cycles(
    block: Block,
    seed: int,
    slow: float,
    factor: float,
    latency: int,
    less: int,
    order: str,
    weights: str,
) -> None:
    work = workload_of(
        block,
        make_block(
            channels=block.out_channels,
            mid=16,
            out=4,
            size=(block.dw.out_h, block.dw.out_w),
            index=2,
        ),
        seed=seed,
    )
    base = archon(f"prediction_order={order}", f"weights={weights}")
    before = replace_spec(base, "dram", gigabytes_per_second=slow, latency_cycles=latency)
    after = replace_spec(
        base, "dram", gigabytes_per_second=slow * factor, latency_cycles=max(0, latency - less)
    )
    assert total(run(work, after)) <= total(run(work, before))


@SETTINGS
@given(
    block=BLOCKS,
    seed=st.integers(0, 1000),
    port=st.sampled_from(["glb", "prediction_glb"]),
    words=st.integers(1, 16),
    factor=st.integers(1, 8),
)
def test_wider_ports_never_cost_cycles(
    block: Block, seed: int, port: str, words: int, factor: int
) -> None:
    work = workload_of(block, seed=seed)
    before = replace_spec(archon(), port, read_words_per_cycle=words, write_words_per_cycle=words)
    after = replace_spec(
        archon(), port, read_words_per_cycle=words * factor, write_words_per_cycle=words * factor
    )
    assert total(run(work, after)) <= total(run(work, before))


def test_unlimited_dram_is_the_limit_of_bandwidth() -> None:
    fast = replace_spec(archon(), "dram", gigabytes_per_second=1e6, latency_cycles=0)
    unlimited = [one.stats.cycles for one in run(digits(), archon("dram.model=unlimited"))]
    for limited, free in zip(run(digits(), fast), unlimited, strict=True):
        # A transfer takes at least the rest of the cycle that it ends in, once a tile or chunk.
        assert free <= limited.stats.cycles <= free * 1.05 + 5


@pytest.mark.parametrize(("more", "less"), [("all", "trace"), ("trace", "random:0")])
def test_fewer_survivors_never_cost_cycles(more: str, less: str) -> None:
    assert total(run(digits(), archon(), less)) <= total(run(digits(), archon(), more))


def test_adds_and_macs_are_counted_from_the_masks() -> None:
    """Against plain sums over pixels, with no array in sight."""
    from archonsim.trace.fused_weight import fuse

    work = digits()
    assert work.trace is not None
    mains = {one.name: one.stats for one in run(work, archon()) if one.phase == "main"}
    for block in work.blocks():
        trace, fused, dw = work.trace.block(block.name, 0), fuse(block, work.trace), block.dw
        keep1 = np.pad(trace.keep1.unpack(), ((0, 0), dw.padding[:2], dw.padding[2:]))
        keep2 = trace.keep2.unpack().astype(bool)
        adds = macs = 0
        for i in range(fused.groups):
            mids, tap = fused.mid[fused.start[i] : fused.start[i + 1]], int(fused.tap[i])
            alive = keep2[mids]
            if tap >= 0:
                r, s = divmod(tap, dw.kernel_w)
                rows = slice(r, r + (dw.out_h - 1) * dw.stride_h + 1, dw.stride_h)
                cols = slice(s, s + (dw.out_w - 1) * dw.stride_w + 1, dw.stride_w)
                alive = alive & keep1[mids, rows, cols].astype(bool)
            adds += int(alive.sum())
            macs += 0 if fused.is_bias[i] else int(alive.any(0).sum())
        assert (mains[block.name].adds, mains[block.name].macs) == (adds, macs)


@pytest.mark.parametrize("shuffled", [0, 4])
def test_adds_are_counted_from_the_masks_with_the_depthwise_layer_last(shuffled: int) -> None:
    """Against loops over output channels, taps and mid channels, by the network's definition."""
    block = make_block(
        channels=8, mid=24, out=12, groups=4, size=(9, 7), stride=2, late=True, shuffle=shuffled
    )
    work = workload_of(block)
    assert work.trace is not None
    trace, dw = work.trace.block("b1", 0), block.dw
    w1, w2, wd = (
        work.trace.layer(layer.name).weight.reshape(layer.out_channels, -1)
        for layer in block.layers
    )
    b1, b2 = (work.trace.layer(layer.name).shift for layer in block.layers[:2])
    numbers = np.arange(24, dtype=np.float32).reshape(-1, 1, 1)
    reads = shuffle(numbers, shuffled).astype(int).flatten()
    margin = ((0, 0), dw.padding[:2], dw.padding[2:])
    keep1, keep2 = (
        np.pad(mask.unpack().astype(bool), margin) for mask in (trace.keep1, trace.keep2)
    )
    adds = 0
    for o, r, s in itertools.product(range(12), range(3), range(3)):
        if wd[o, r * 3 + s] == 0:
            continue
        at = slice(r, r + 2 * dw.out_h - 1, 2), slice(s, s + 2 * dw.out_w - 1, 2)
        adds += int(keep2[(o, *at)].sum()) * int(b2[o] != 0)
        for j, m in enumerate(reads[o // 3 * 6 : o // 3 * 6 + 6]):
            terms = (w2[o, j] != 0) * (np.count_nonzero(w1[m]) + int(b1[m] != 0))
            adds += terms * int((keep1[(m, *at)] & keep2[(o, *at)]).sum())
    phases = run(work, archon())
    assert [one.phase for one in phases] == ["predict_pw1", "predict_pw2", "main"]
    assert phases[-1].stats.adds == adds


def test_skipping_zero_ternary_weights_saves_additions_and_cycles() -> None:
    plain, skipping = run(digits(), archon()), run(digits(), archon("skip_zero_ternary=true"))
    pairs = [
        (one, two)
        for one, two in zip(plain, skipping, strict=True)
        if one.phase.startswith("predict")
    ]
    assert all(two.stats.adds < one.stats.adds == one.stats.adds_possible for one, two in pairs)
    assert all(two.stats.compute <= one.stats.compute for one, two in pairs)
    assert sum(two.stats.compute for _, two in pairs) < sum(one.stats.compute for one, _ in pairs)


#: A change to every key of the description that must show in the figures of some workload.
CHANGES = {
    "clock_mhz": 2000.0, "pe.rows": 4, "pe.cols": 4, "pe.adders": 3, "pe.candidates_per_adder": 3,
    "pe.fifo_depth": 4, "pe.ifmap_words": 1, "pe.psum_words": 1, "pe.main_ifmap_words": 3,
    "pe.prediction_buffer_words": 1, "pe.mask_links": True, "main_order": "published",
    "group_order": "published", "mask_fetch": "once", "glb.model": "unlimited", "glb.words": 5000,
    "glb.read_words_per_cycle": 1, "glb.write_words_per_cycle": 1,
    "prediction_glb.model": "unlimited", "prediction_glb.words": 10,
    "prediction_glb.read_words_per_cycle": 1, "prediction_glb.write_words_per_cycle": 1,
    "dram.model": "unlimited", "dram.gigabytes_per_second": 5.0, "dram.latency_cycles": 7,
    "dram.burst_words": 512, "dram.free": ["weight"], "dram.turnaround_cycles": 20,
    "dram.latency_ns": 7.0, "dram.turnaround_ns": 40.0,
    "dram.write_queue_words": 100_000, "dram.device": "hbm2", "glb.banks": 2, "glb.entry_words": 1,
    "prediction_glb.banks": 2, "prediction_glb.entry_words": 32, "dma.tile_buffers": 3,
    "dma.chunk_words": 16, "dma.stream_chunks": 1, "lane_order": "fixed", "skip_empty_groups": True,
    "bias_terms": "untimed", "prediction_order": "channel", "weights": "cache",
    "skip_zero_ternary": True, "index_bits": 60, "value_bits": 60, "group_count_bits": 60,
    "prediction_sums": "pads", "requantise": "mac", "pe.lookups_per_cycle": 2,
    "pe.psum_pads": "single",
}  # fmt: skip

#: Keys whose effect tests/laws/test_archon_options.py and test_main_book.py show, and those of
#: energy: tests/laws/test_energy.py, tests/published.
ELSEWHERE = {
    "mapping",
    "windows",
    "overlap_prediction",
    "technology",
    "energy_rules",
    "fused_density",
    "survival",
}


#: Keys that only count with others.
BESIDE = {
    # Sums that fit their registers leave few inputs to hold.
    "pe.ifmap_words": ("prediction_sums=free",),
    # Ports that deliver each mask once a tile are busy enough for their banks to show.
    "prediction_glb.entry_words": ("main_order=published", "mask_fetch=once"),
}


@cache
def wide() -> Workload:
    """A block whose predicted map does not fit beside its input, so that it is spilled."""
    block = make_block(channels=16, mid=512, out=8, size=(32, 32))
    return workload_of(block, weights=0.1)


def test_every_key_is_changed_below() -> None:
    from archonsim.spec.load import known_keys

    assert sorted({*ELSEWHERE, *CHANGES}) == sorted(known_keys(ArchonSpec))


@pytest.mark.sampled(4)
@pytest.mark.parametrize("key", CHANGES)
def test_every_key_has_an_effect(key: str) -> None:
    """A flag without an effect is worse than no flag."""

    def figures(spec: ArchonSpec) -> list[object]:
        return [
            dataclasses.astuple(
                dataclasses.replace(one.stats, activity=Counter(), actions=Counter())
            )
            for work in (digits(), wide())
            for one in run(work, spec)
        ]

    part, _, name = key.rpartition(".")
    beside: tuple[str, ...] = (
        (f"{part}.model=banks",) if name in ("banks", "entry_words", "device") else ()
    )
    beside += BESIDE.get(key, ())
    assert figures(archon(*beside, f"{key}={CHANGES[key]}".lower())) != figures(archon(*beside))


def test_prediction_order_and_cached_weights_move_less_data() -> None:
    block = make_block(channels=8, mid=512, out=8, groups=1, size=(32, 32))
    work = workload_of(block, weights=0.05)
    spec = replace_spec(archon(), "glb", words=20_000)

    def dram(spec: ArchonSpec, kind: str) -> int:
        return sum(
            words
            for one in run(work, spec)
            for key, words in one.stats.traffic.items()
            if (key[0], key[2]) == ("dram", kind)
        )

    by_channel = dataclasses.replace(spec, prediction_order="channel")
    assert dram(by_channel, "map") == 0 < dram(spec, "map")
    cached = dataclasses.replace(spec, weights="cache")
    assert dram(cached, "weight") < dram(spec, "weight")


@SETTINGS
@given(block=BLOCKS, seed=st.integers(0, 1000))
def test_dram_gives_every_input_and_weight_word_as_often_as_it_must(
    block: Block, seed: int
) -> None:
    """Inputs once a prediction; ternary weights at 2 bits, rounded up to words a tile.

    A layer's weights once.
    """
    layer = dataclasses.replace(block.pw1, name="plain", activation="none")
    shapes = Workload(
        name="small", items=(layer,), provenance=Provenance(network="small", dataset="none")
    )
    plain = run(synthesize(shapes, seed=seed)[0], archon())[0].stats.traffic
    assert plain["dram", "read", "weight"] == layer.weights
    assert plain["dram", "read", "input"] == layer.in_channels * layer.in_h * layer.in_w
    assert plain["dram", "write", "output"] == layer.out_channels * layer.out_h * layer.out_w
    first = run(workload_of(block, seed=seed), archon())[0].stats.traffic
    assert first["dram", "read", "input"] == block.in_channels * block.pw1.in_h * block.pw1.in_w
    ternary = -(-block.pw1.weights * 2 // 16)
    parameters = 2 * block.pw1.out_channels
    assert ternary + parameters <= first["dram", "read", "weight"] <= ternary + parameters + 64


def test_layer_kinds_outside_blocks_are_timed_or_free() -> None:
    plain = [one.name for one in run(digits(), archon()) if one.phase == "layer"]
    assert plain == [
        item.name for item in digits().items if isinstance(item, Layer) and item.is_compute
    ]
