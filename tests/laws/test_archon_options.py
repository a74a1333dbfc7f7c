"""The parameters for what is unpublished.

Masks that do not fit, large windows, overlap, capacities.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from archonsim.dataflow.tile import output_tiles
from archonsim.engine.contract import FixedTile
from archonsim.errors import SpecError
from archonsim.machines.archon.prediction_buffer import refetched_words
from archonsim.machines.archon.windows import in_window_order, window_passes
from archonsim.machines.phases import PhaseResult
from archonsim.network.block import Block
from archonsim.network.networks import network
from archonsim.network.workload import Workload
from archonsim.stats.counts import Transfer
from archonsim.trace.fused_weight import FusedWeight, fuse
from tests.laws.test_archon import BLOCKS, SETTINGS, run, total, workload_of
from tests.strategies import UNLIMITED, archon, make_block, replace_spec


def two_blocks(block: Block, seed: int) -> Workload:
    second = make_block(
        channels=block.out_channels, mid=24, out=4, size=(block.dw.out_h, block.dw.out_w), index=2
    )
    return workload_of(block, second, seed=seed)


def mains(results: list[PhaseResult]) -> list[PhaseResult]:
    return [one for one in results if one.phase == "main"]


# --- masks and the prediction buffer


@given(BLOCKS, st.integers(1, 200), st.integers(1, 50))
def test_a_larger_prediction_buffer_never_refetches_more(
    block: Block, words: int, more: int
) -> None:
    small, large = (
        sum(
            refetched_words(block, tile, replace_spec(archon(), "pe", prediction_buffer_words=size))
            for tile in tiles
        )
        for tiles, size in (
            (list(output_tiles(block.dw, 8, 8)), words),
            (list(output_tiles(block.dw, 8, 8)), words + more),
        )
    )
    assert 0 <= large <= small


def test_a_buffer_for_all_masks_of_a_window_refetches_nothing() -> None:
    block = make_block(channels=8, mid=32, out=8, size=(16, 16))
    bits = 32 * (block.taps + 1)
    tile, *_ = output_tiles(block.dw, 8, 8)
    assert (
        refetched_words(
            block, tile, replace_spec(archon(), "pe", prediction_buffer_words=bits // 16)
        )
        == 0
    )
    assert (
        refetched_words(
            block, tile, replace_spec(archon(), "pe", prediction_buffer_words=bits // 16 - 1)
        )
        > 0
    )


def test_fusionets_first_block_refetches_what_the_published_buffer_cannot_keep() -> None:
    """By hand: 592 bits a group mask, so 2 of 9 pixels stay beside the PE's own.

    8 channels, 8 outputs a group, corner tile.
    """
    block = next(iter(network("fusionet_c10").blocks()))
    tile = next(iter(output_tiles(block.dw, 8, 8)))
    assert (tile.halo, tile.pixels, block.mid_channels) == (81, 64, 2368)
    bits = 8 * 2368 * (81 * (2 + 7 * 8) / 9 + 64) - 2368 * (81 + 64)
    assert refetched_words(block, tile, archon()) == bits / 16


@SETTINGS
@given(block=BLOCKS, seed=st.integers(0, 1000))
def test_refetched_masks_are_counted_always_and_take_time_when_asked_to(
    block: Block, seed: int
) -> None:
    work = workload_of(block, seed=seed)
    once, again = (
        mains(run(work, archon("main_order=published", f"mask_fetch={how}")))
        for how in ("once", "charged")
    )
    for one, two in zip(once, again, strict=True):
        words = one.stats.activity["prediction_buffer.refetched_words"]
        assert two.stats.activity["prediction_buffer.refetched_words"] == words
        key = ("prediction_glb", "read", "mask")
        assert two.stats.traffic[key] - one.stats.traffic[key] == words
        assert two.stats.cycles >= max(one.stats.cycles, words // 16)


# --- nothing to send


@pytest.mark.parametrize("order", ["published", "mapped"])
@pytest.mark.parametrize("late", [False, True])
def test_a_block_whose_fused_weights_are_all_zero_takes_the_time_of_its_maps(
    late: bool, order: str
) -> None:
    """No candidate, no bias group: nothing is broadcast, and maps move all the same."""
    work = workload_of(make_block(channels=4, mid=8, out=4, size=(12, 12), late=late), weights=0)
    overrides = ("skip_empty_groups=true", "bias_terms=untimed", f"main_order={order}")
    (main,) = mains(run(work, archon(*overrides)))
    assert (main.stats.compute, main.stats.macs, main.stats.adds) == (0, 0, 0)
    assert main.stats.cycles == sum(main.stats.stalls.values()) > 0
    (free,) = mains(run(work, archon(*overrides, *UNLIMITED)))
    assert free.stats.cycles == 0


# --- windows


@SETTINGS
@given(block=BLOCKS, seed=st.integers(0, 1000), pad=st.integers(5, 24))
def test_cutting_windows_changes_the_order_of_groups_and_nothing_else(
    block: Block, seed: int, pad: int
) -> None:
    work = workload_of(block, seed=seed)
    assert work.trace is not None
    fused = fuse(block, work.trace)
    cut = in_window_order(fused, block, pad)

    def groups(one: FusedWeight) -> list[tuple[int, ...]]:
        return [
            (
                int(one.channel[i]),
                int(one.out[i]),
                int(one.tap[i]),
                *one.mid[one.start[i] : one.start[i + 1]],
            )
            for i in range(one.groups)
        ]

    assert sorted(groups(cut)) == sorted(groups(fused))
    assert np.isclose(cut.value.sum(), fused.value.sum())
    rows = max(1, min(block.dw.kernel_h, pad // block.dw.kernel_w))
    each = block.in_channels if block.order == "pw-pw-dw" else block.in_channels // block.groups
    passes = [
        (int(c) % each, int(k) // (rows * block.dw.kernel_w))
        for c, k in zip(cut.channel, cut.tap, strict=True)
        if c >= 0
    ]
    changes = 1 + sum(one != two for one, two in pairwise(passes))
    assert changes == each * window_passes(block, pad), "each round of a channel is one stretch"
    whole, pieces = (
        mains(run(work, archon(f"pe.main_ifmap_words={size}")))[0].stats for size in (25, pad)
    )
    assert (pieces.adds, pieces.macs, pieces.compute) == (whole.adds, whole.macs, whole.compute)


def test_windows_that_do_not_fit_are_refused_with_the_numbers() -> None:
    work = workload_of(make_block(channels=4, mid=8, out=4, kernel=5))
    assert run(work, archon())
    with pytest.raises(
        SpecError,
        match=r"block b1: its window of 5 x 5 inputs does not fit pe.main_ifmap_words, which is 12",
    ):
        run(work, archon("windows=refuse"))
    with pytest.raises(SpecError, match=r"pe.main_ifmap_words is 4, make it at least 5"):
        run(work, archon("pe.main_ifmap_words=4"))


# --- overlap


@SETTINGS
@given(
    block=BLOCKS,
    seed=st.integers(0, 1000),
    speed=st.sampled_from([1.0, 6.4, 25.6]),
    factor=st.integers(1, 4),
)
def test_overlap_never_costs_cycles_and_keeps_the_law_of_bandwidth(
    block: Block, seed: int, speed: float, factor: int
) -> None:
    work = two_blocks(block, seed)
    off = replace_spec(archon(), "dram", gigabytes_per_second=speed)
    slow = replace_spec(archon("overlap_prediction=true"), "dram", gigabytes_per_second=speed)
    fast = replace_spec(
        archon("overlap_prediction=true"), "dram", gigabytes_per_second=speed * factor
    )
    assert total(run(work, fast)) <= total(run(work, slow)) <= total(run(work, off))


def test_overlap_hides_a_prediction_behind_the_tiles_before_the_last() -> None:
    work = workload_of(
        *(make_block(channels=8, mid=64, out=8, size=(24, 24), index=index) for index in (1, 2))
    )
    off, on = run(work, archon()), run(work, archon("overlap_prediction=true"))
    hidden = on[3].stats.activity["overlap.hidden_cycles"]
    assert on[3].phase == "predict_pw1"
    assert 0 < hidden == off[3].stats.compute - on[3].stats.compute
    assert on[0].stats.activity["overlap.hidden_cycles"] == 0
    assert total(on) < total(off)
    unhindered = run(work, archon("overlap_prediction=true", *UNLIMITED))
    assert unhindered[3].stats.cycles < run(work, archon(*UNLIMITED))[3].stats.cycles
    assert all(0 < one.utilization <= 1 for one in unhindered), (
        "additions done earlier count for the cycles they took there"
    )


# --- capacities


def test_a_tile_that_cannot_be_split_is_refused_with_the_numbers() -> None:
    work = workload_of(make_block(channels=16, mid=32, out=8, size=(32, 32)))
    with pytest.raises(
        SpecError,
        match=(
            r"b1, main: 2 buffers .* take 4224 words, and 3000 of the GLB's 3000 are free; .* 4224"
        ),
    ):
        run(work, archon("glb.words=3000"))


@SETTINGS
@given(block=BLOCKS, seed=st.integers(0, 1000), words=st.integers(2000, 9000))
def test_splitting_tiles_to_fit_loses_nothing(block: Block, seed: int, words: int) -> None:
    work = workload_of(block, seed=seed)
    small, large = (
        replace_spec(archon("prediction_order=layer"), "glb", words=size)
        for size in (words, 10 * words)
    )
    try:
        split = run(work, small)
    except SpecError:
        reject()
    for one, two in zip(split, run(work, large), strict=True):
        assert (one.stats.compute, one.stats.adds, one.stats.macs) == (
            two.stats.compute,
            two.stats.adds,
            two.stats.macs,
        )


@given(st.integers(1, 40), st.integers(0, 500), st.integers(0, 500), st.integers(1, 60))
def test_pieces_of_a_tile_add_up(cycles: int, words: int, adds: int, parts: int) -> None:
    tile = FixedTile(
        cycles=cycles, loads=[Transfer("dram", "read", "input", words)], adds=adds, macs=3 * adds
    )
    pieces = tile.split(parts)
    assert len(pieces) == parts
    assert sum(piece.cycles for piece in pieces) == cycles
    assert sum(piece.loads[0].words for piece in pieces) == words
    assert (sum(piece.adds for piece in pieces), sum(piece.macs for piece in pieces)) == (
        adds,
        3 * adds,
    )


def test_weights_are_cached_where_they_fit_beside_the_tiles() -> None:
    work = workload_of(make_block(channels=8, mid=256, out=8, size=(32, 32)), weights=0.3)

    def streamed(glb_words: int) -> int:
        spec = replace_spec(archon("weights=cache"), "glb", words=glb_words)
        return run(work, spec)[-1].stats.traffic["dram", "read", "weight"]

    assert streamed(200_000) * 16 == streamed(8_000), "16 tiles: once for all, or once for each"
