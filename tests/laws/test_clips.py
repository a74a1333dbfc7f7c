"""What must hold for every run where activations are clipped, a ReLU6's say."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.dataflow.tile import output_tiles
from archonsim.explain.attribute import explain
from archonsim.explain.ledger import keep_ledger
from archonsim.machines.archon import MACHINE
from archonsim.machines.archon.forecast import block_groups, fused_candidates
from archonsim.machines.archon.fused import clip_beats
from archonsim.machines.archon.main_cache import group_beats
from archonsim.machines.archon.main_mapping import GroupPlaces, MainMapping
from archonsim.machines.archon.main_profile import expected_survivors, kept_shares
from archonsim.machines.archon.main_schedule import schedule
from archonsim.machines.archon.prediction_buffer import tile_mask_bits
from archonsim.machines.archon.traffic import masks_on_chip
from archonsim.machines.registry import machine, machine_names, machine_spec
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.runs.simulate import simulate
from archonsim.stats.counts import PhaseStats
from archonsim.trace.fused_weight import fuse
from archonsim.trace.synthetic_inputs import with_inputs
from archonsim.trace.tensors import MemoryTrace
from tests.examples import examples
from tests.laws.test_archon import BLOCKS, run, workload_of
from tests.laws.test_main_mapping import NESTS
from tests.strategies import archon, make_block

SETTINGS = examples(25)
SHARES = st.sampled_from([0.05, 0.5, 1.0])


def main_stats(work: Workload, *overrides: str, masks: str = "trace") -> PhaseStats:
    """Of the main phase of a workload's only block."""
    (found,) = (one.stats for one in run(work, archon(*overrides), masks) if one.phase == "main")
    return found


def only(work: Workload) -> Block:
    (block,) = work.blocks()
    return block


@SETTINGS
@given(block=BLOCKS, density=st.floats(0, 1), clipped=SHARES, seed=st.integers(0, 99))
def test_adds_are_what_the_activations_ask_for(
    block: Block, density: float, clipped: float, seed: int
) -> None:
    """Counted pixel by pixel from the three layers' weights, without the fused ones."""
    work = workload_of(block, density=density, seed=seed, clipped=clipped)
    block = only(work)
    stats = main_stats(work)
    assert work.trace is not None
    fused = fuse(block, work.trace)
    assert fused_candidates(block, work.trace) == fused.candidates
    assert block_groups(block) >= fused.groups
    terms, clips = counted(block, work)
    assert stats.adds == terms + clips
    assert stats.activity["clip_terms.adds"] == clips


def counted(block: Block, work: Workload) -> tuple[int, int]:
    """Count the terms of passed and of clipped activations, over all output pixels."""
    assert work.trace is not None
    trace = work.trace.block(block.name, 0)
    one, two, three = (work.trace.layer(layer.name) for layer in block.layers)
    late = block.order == "pw-pw-dw"
    dw, pw2 = (three, two) if late else (two, three)
    inputs = np.count_nonzero(one.weight.reshape(len(one.weight), -1), axis=1) + (one.shift != 0)
    mids = block.mid_channels // block.groups
    outs = block.layers[1 if late else 2].out_channels // block.groups
    live = np.zeros((outs * block.groups, block.mid_channels), bool)  # PW2 from m to o
    for o, place in itertools.product(range(len(live)), range(mids)):
        m = block.pw2_reads[o // outs * mids + place]
        live[o, m] = pw2.weight[o, place, 0, 0] != 0
    taps = dw.weight.reshape(len(dw.weight), -1) != 0
    states1 = windows(block, trace.keep1.states())  # (M, K * K, pixels)
    passed1, clipped1 = states1 == 1, states1 == 2
    if late:
        states2 = windows(block, trace.keep2.states()) * taps[:, :, None]
        before = live.astype(int) @ (inputs[:, None] * passed1.reshape(len(passed1), -1))
        limits = live.astype(int) @ clipped1.reshape(len(clipped1), -1)
        shifts = (two.shift != 0)[:, None]
        second = states2.reshape(len(states2), -1)
        return int(((before + shifts) * (second == 1)).sum()), int(
            (limits * (second == 1)).sum() + (second == 2).sum()
        )
    states2 = trace.keep2.states().reshape(len(trace.keep2.packed), -1)
    fan = live.sum(axis=0)[:, None]  # outputs behind a mid channel
    before = (inputs[:, None, None] * passed1 * taps[:, :, None]).sum(axis=1)
    limits = (clipped1 * taps[:, :, None]).sum(axis=1)
    shifts = (two.shift != 0)[:, None]
    passed = (fan * (before + shifts) * (states2 == 1)).sum()
    return int(passed), int((fan * (limits * (states2 == 1) + (states2 == 2))).sum())


def windows(block: Block, states: np.ndarray) -> np.ndarray:
    """Return each tap's state at each output pixel, 0 outside the map."""
    dw = block.dw
    padded = np.pad(states, ((0, 0), dw.padding[:2], dw.padding[2:]))
    found = [
        padded[
            :,
            r : r + (dw.out_h - 1) * dw.stride_h + 1 : dw.stride_h,
            s : s + (dw.out_w - 1) * dw.stride_w + 1 : dw.stride_w,
        ].reshape(len(states), -1)
        for r, s in np.ndindex(dw.kernel_h, dw.kernel_w)
    ]
    return np.stack(found, axis=1)


@SETTINGS
@given(block=BLOCKS, density=st.floats(0, 1), clipped=SHARES, seed=st.integers(0, 99))
def test_to_clip_instead_of_passing_never_adds_a_multiplication(
    block: Block, density: float, clipped: float, seed: int
) -> None:
    work = workload_of(block, density=density, seed=seed, clipped=clipped)
    as_is, passing = main_stats(work), main_stats(work, masks="unclipped")
    assert as_is.macs <= passing.macs
    assert passing.activity["clip_terms.adds"] == 0
    assert as_is.compute == passing.compute  # the stream does not depend on the image


@examples(12)
@given(block=BLOCKS, seed=st.integers(0, 99))
def test_where_nothing_is_clipped_the_terms_cost_their_beats_and_masks_and_nothing_else(
    block: Block, seed: int
) -> None:
    """The third value unused: the same products and sums, more beats of the same width."""
    work = workload_of(block, seed=seed)
    ends = dataclasses.replace(block, clips=(6.0, 6.0))
    third = dataclasses.replace(work, items=(ends,))
    two, three = main_stats(work, masks="all"), main_stats(third, masks="all")
    assert (two.macs, two.adds) == (three.macs, three.adds)
    assert work.trace is not None
    more = clip_beats(fuse(ends, work.trace), archon())
    fresh = fuse(ends, work.trace).groups - fuse(block, work.trace).groups
    tiles = len(list(output_tiles(block.dw, 8, 8)))
    assert three.compute - two.compute == more * tiles
    assert more >= fresh  # groups that have clip terms alone take a beat each


@examples(8)
@given(block=BLOCKS, clipped=SHARES, seed=st.integers(0, 99))
def test_every_cycle_has_an_owner(block: Block, clipped: float, seed: int) -> None:
    work = workload_of(block, seed=seed, clipped=clipped)
    fall = explain(work, MACHINE, archon())
    main = next(one for one in fall.phases if one.phase == "main")
    report = simulate(work, MACHINE, archon())
    assert [one.cycles for one in fall.phases] == [layer.cycles for layer in report.layers]
    assert work.trace is not None
    if clip_beats(fuse(only(work), work.trace), archon()) == 0:
        assert "clips" not in main.owners
    without = explain(work, MACHINE, archon("bias_terms=untimed"))
    assert not any("clips" in one.owners for one in without.phases)


def test_clip_terms_own_their_beats() -> None:
    block = make_block(channels=8, mid=52, out=12)
    work = workload_of(block, density=0.1, weights=1.0, clipped=0.1)
    block = only(work)
    assert work.trace is not None
    beats = clip_beats(fuse(block, work.trace), archon())
    assert beats == (12 * 9 + 12) * 3  # 52 terms of a group take 3 beats of 24
    owners = explain(work, MACHINE, archon()).phases[-1].owners
    assert owners["clips"] == beats


@SETTINGS
@given(block=BLOCKS)
def test_masks_that_may_clip_take_two_bits_an_activation(block: Block) -> None:
    """On chip, and on their way to a tile; one bit where a ReLU has no upper end."""
    tile = next(iter(output_tiles(block.dw, 8, 8)))
    none, first, second, both = (
        tile_mask_bits(dataclasses.replace(block, clips=one), tile)
        for one in ((0, 0), (6, 0), (0, 6), (6, 6))
    )
    assert both == 2 * none
    assert first + second == 3 * none
    assert none < first < both
    words = -(-sum(one.out_channels * one.out_h * one.out_w for one in block.layers[:2]) // 16)
    fits = archon(f"prediction_glb.words={2 * words}")
    ends = dataclasses.replace(block, clips=(6.0, 6.0))
    assert masks_on_chip(ends, fits)
    assert not masks_on_chip(ends, archon(f"prediction_glb.words={max(1, 2 * words - 2)}"))
    assert masks_on_chip(block, archon(f"prediction_glb.words={words}"))


@SETTINGS
@given(block=BLOCKS, mapping=NESTS, seed=st.integers(0, 99))
def test_clip_terms_come_last_and_bring_their_own_bits(
    block: Block, mapping: MainMapping, seed: int
) -> None:
    """The stream is that of two values, then theirs; nothing before them is fetched twice."""
    work, spec = workload_of(block, seed=seed), archon()
    assert work.trace is not None
    fused = [
        fuse(dataclasses.replace(block, clips=clips), work.trace)
        for clips in ((0.0, 0.0), (6.0, 0.0), (6.0, 6.0))
    ]
    plans = []
    for one in fused:
        places, beats = GroupPlaces(block, one), group_beats(one, spec)
        nest = places.nest(mapping)
        assert (np.diff(one.plane[nest.groups].astype(int)) >= 0).all()
        plans.append((nest, schedule(places, nest, mapping, beats, (False, False))))
    plain, first, both = plans
    for nest, plan in (first, both):
        assert np.array_equal(nest.groups[: fused[0].groups], plain[0].groups)
        before = int((nest.planes == 0).sum())
        for operand in ("keep1", "keep2", "input", "psum"):
            early = {s: n for s, n in plan.fetches[operand].items() if s < before}
            assert early == plain[1].fetches[operand]
        assert plan.fetches["input"] == plain[1].fetches["input"]
    if (fused[1].plane == 1).any():
        start = int((first[0].planes == 0).sum())
        assert start in first[1].fetches["keep1"]  # what says clipped
        assert both[1].fetches["keep1"] == first[1].fetches["keep1"]
    if (fused[2].plane == 2).any():
        assert int((both[0].planes < 2).sum()) in both[1].fetches["keep2"]


def test_predictions_compare_once_more_for_each_sum() -> None:
    """With requantise=compare; otherwise the sums of two-valued masks, to the cycle."""
    block = make_block(channels=8, mid=24, out=8, size=(16, 16))
    for requantise in ("compare", "mac", "free"):
        two, three = (
            run(workload_of(block, clipped=clipped), archon(f"requantise={requantise}"))
            for clipped in (0.0, 0.2)
        )
        sums = 24 * 16 * 16
        for plain, clips in zip(two[:2], three[:2], strict=True):
            key = ("adders", "narrow_add", "compute")
            more = clips.stats.actions[key] - plain.stats.actions[key]
            assert more == (sums if requantise == "compare" else 0)
            moved = ("dram", "read", "weight")
            words = clips.stats.traffic[moved] - plain.stats.traffic[moved]
            assert words == (24 if requantise == "compare" else 0)
            written = clips.stats.traffic["prediction_glb", "write", "mask"]
            assert written == 2 * plain.stats.traffic["prediction_glb", "write", "mask"]


@SETTINGS
@given(block=BLOCKS, clipped=SHARES, seed=st.integers(0, 99))
def test_expectations_are_sums_of_products_of_shares(
    block: Block, clipped: float, seed: int
) -> None:
    work = workload_of(block, seed=seed, clipped=clipped, images=2)
    block = only(work)
    assert work.trace is not None
    fused, shares = fuse(block, work.trace), kept_shares(work.trace, block, 0)
    other = work.trace.block(block.name, 1)
    of = [
        [(mask.states() == state).mean(axis=(1, 2)) for state in (1, 2)]
        for mask in (other.keep1, other.keep2)
    ]
    found = expected_survivors(fused, block, shares)
    group = np.repeat(np.arange(fused.groups), np.diff(fused.start))
    late = block.order == "pw-pw-dw"
    expected = np.zeros(fused.groups)
    for at, number in enumerate(group):
        m, clip = int(fused.mid[at]), int(fused.plane[number] > 0)
        own = int(fused.out[number]) if late else m
        alone = m < 0 if late else fused.tap[number] < 0
        expected[number] += of[1][clip][own] if alone else of[1][0][own] * of[0][clip][m]
    assert found == pytest.approx(expected)
    run(work, archon("group_order=profiled"))


@pytest.mark.parametrize("name", machine_names())
def test_every_machine_runs_on_such_a_trace(name: str) -> None:
    """To machines that skip zeros, what is clipped is as good as what is passed."""
    block = make_block(channels=8, mid=16, out=8, size=(9, 9))
    made = workload_of(block, clipped=0.3)
    assert isinstance(made.trace, MemoryTrace)
    work = with_inputs(made, made.trace, 0.5)[0]
    found = machine(name)
    report = simulate(work, found, machine_spec(found))
    assert report.total_cycles > 0
    if name != "archon":
        one = dataclasses.replace(only(work), clips=(0.0, 0.0))
        blocks = {
            key: dataclasses.replace(
                trace, **{mask: getattr(trace, mask).passing() for mask in MASKS}
            )
            for key, trace in made.trace.blocks.items()
        }
        assert isinstance(work.trace, MemoryTrace)
        passing = dataclasses.replace(
            work, items=(one,), trace=dataclasses.replace(work.trace, blocks=blocks)
        )
        assert simulate(passing, found, machine_spec(found)).layers == report.layers


MASKS = ("keep1", "keep2", "true1", "true2")


def test_a_ledger_books_them_as_kept() -> None:
    work = workload_of(make_block(channels=8, mid=24, out=8), clipped=0.3)
    book = keep_ledger(work, MACHINE, archon())
    assert work.trace is not None
    trace = work.trace.block("b1", 0)
    kept = int((trace.keep1 & trace.true1).count())
    assert book.relus[0].counts.hits == kept
    assert book.relus[0].counts.clipped == trace.keep1.clipped()
    assert book.relus[0].values.hits == kept
