"""A tile written down against the reference that steps, the kernel that runs, and the numbers."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archonsim.pe.accumulate_kernel import Accumulator
from archonsim.pe.accumulate_reference import ProcessingElement, _last_retire, run_tile
from archonsim.pe.fused_kernel import fused_output
from archonsim.pe.tile_trace import (
    ArraySizes,
    TileInputs,
    TileTrace,
    fixed_inputs,
    trace_tile,
    windows,
)
from tests.examples import examples
from tests.strategies import TileCase, make_block, tile_cases


def traced(case: TileCase, arrival: list[int], seed: int = 0, adder_bits: int = 20) -> TileTrace:
    block = case.block
    x = np.random.default_rng(seed).normal(
        size=(block.in_channels, block.layers[0].in_h, block.layers[0].in_w)
    )
    given = TileInputs(
        block=block,
        fused=case.sent,
        stream=case.stream,
        keep1=case.keep1,
        keep2=case.keep2,
        x=x.astype(np.float32),
    )
    sizes = ArraySizes(
        rows=case.rows, cols=case.cols, per_lane=4, depth=case.depth, adder_bits=adder_bits
    )
    return trace_tile(given, case.at, sizes, arrival)


def arrivals(case: TileCase, data: st.DataObject) -> list[int]:
    gaps = st.lists(st.integers(0, 3), min_size=case.stream.beats, max_size=case.stream.beats)
    return list(itertools.accumulate(data.draw(gaps)))


@examples(24)
@given(case=tile_cases(), data=st.data())
def test_every_cycle_level_and_retirement_is_the_references(
    case: TileCase, data: st.DataObject
) -> None:
    arrival = arrivals(case, data)
    tile = traced(case, arrival)
    stream, pes = case.stream, case.rows * case.cols
    assert np.array_equal(tile.survives.T, np.array(case.survives, bool)[:, stream.column])
    reference = run_tile(stream, case.survives, case.depth, arrival)
    assert tile.cycles == reference.cycles
    assert tile.beat_cycle.tolist() == reference.beat_cycles
    assert tile.levels.sum(axis=(1, 2)).tolist() == reference.queued
    assert int(tile.beat_wait.sum()) == reference.weight_wait
    assert int(tile.beat_stall.sum()) == reference.broadcast_stall
    assert (tile.adds, tile.macs) == (reference.adds, reference.macs)
    assert int(tile.has_sum.sum()) == reference.sums
    ends = dict(zip(stream.group.tolist(), reference.beat_cycles, strict=True))
    for number in range(pes):
        pe = ProcessingElement(stream.lanes, case.depth)
        now, found = 0, set()
        for beat, cycle in enumerate(reference.beat_cycles):
            for step in range(now, cycle + 1):
                pe.step(step)
            now = cycle + 1
            new = [0] * stream.lanes
            for place, at in enumerate(range(stream.start[beat], stream.start[beat + 1])):
                lane = (int(stream.lane[beat]) + place) % stream.lanes
                new[lane] += bool(case.survives[number][stream.column[at]])
            pe.push(new, int(stream.group[beat]))
            found |= {(number, int(stream.group[beat]))} if any(new) else set()
            assert tile.levels[beat, number].tolist() == [len(fifo) for fifo in pe.fifos]
        for step in range(now, now + case.depth):
            pe.step(step)
        for group in range(stream.groups):
            retire = _last_retire(pe, number, found, ends, group + 1)
            assert tile.retire[number, group] == retire


@examples(100)
@given(case=tile_cases(), data=st.data())
def test_totals_are_the_kernels(case: TileCase, data: st.DataObject) -> None:
    arrival = arrivals(case, data)
    tile = traced(case, arrival)
    array = Accumulator(case.stream, case.table, case.depth, 0)
    for beat, when in enumerate(arrival):
        assert array.run(beat, beat + 1, when) == tile.beat_cycle[beat]
        assert array.queued == tile.levels[beat].sum()
    assert array.last_retire + 1 == tile.cycles
    assert array.broadcast_stall == tile.beat_stall.sum()
    assert array.weight_wait == tile.beat_wait.sum()
    assert (array.adds, array.macs, array.sums) == (tile.adds, tile.macs, tile.has_sum.sum())
    assert tile.drain == array.last_retire - array.last_push


@examples(100)
@given(case=tile_cases(), seed=st.integers(0, 2**32 - 1))
def test_psums_are_the_blocks_output_in_fixed_point(case: TileCase, seed: int) -> None:
    """Computed by the functional kernel, which knows no tiles, from the same integers."""
    tile = traced(case, [0] * case.stream.beats, seed, adder_bits=40)
    assert tile.overflows == 0
    block = case.block
    x = np.random.default_rng(seed).normal(
        size=(block.in_channels, block.layers[0].in_h, block.layers[0].in_w)
    )
    fixed, fraction = fixed_inputs(x.astype(np.float32), 16)
    assert fraction == tile.fraction
    sizes = np.diff(case.sent.start)
    value = tile.weight * np.where(np.repeat(case.sent.is_bias, sizes), 2**fraction, 1)
    whole = dataclasses.replace(case.sent, constant=np.zeros(block.out_channels))
    output = fused_output(
        block,
        whole,
        fixed.astype(np.float32),
        case.keep1,
        case.keep2,
        value=value.astype(np.float64),
    )
    y, x0 = case.at
    part = output[:, y : y + case.rows, x0 : x0 + case.cols]
    psums = tile.psums.T.reshape(block.out_channels, case.rows, case.cols)
    inside = psums[:, : part.shape[1], : part.shape[2]]
    assert np.array_equal(inside, part)
    assert np.count_nonzero(psums) == np.count_nonzero(inside)


@examples(50)
@given(case=tile_cases(), bits=st.integers(16, 18))
def test_sums_that_the_adders_cannot_hold_wrap_and_are_counted(case: TileCase, bits: int) -> None:
    wide, narrow = (traced(case, [0] * case.stream.beats, 0, width) for width in (40, bits))
    assert np.all((wide.sums - narrow.sums) % 2**bits == 0)
    assert narrow.sums.min(initial=0) >= -(2 ** (bits - 1))
    assert narrow.sums.max(initial=0) < 2 ** (bits - 1)
    assert narrow.overflows == np.count_nonzero(wide.sums != narrow.sums)


def test_windows_are_the_maps_pixels() -> None:
    """5 x 4 pixels at stride 2, one row of padding above and below, one column at the right."""
    block = make_block(channels=2, mid=2, out=2, size=(5, 4), stride=2)
    maps = np.arange(1, 41).reshape(2, 5, 4)
    found = windows(maps, block, (0, 0), (4, 4)).reshape(4, 4, 2, 3, 3)
    assert found[1, 0, 1].tolist() == [[25, 26, 27], [29, 30, 31], [33, 34, 35]]
    assert found[0, 1, 0].tolist() == [[0, 0, 0], [3, 4, 0], [7, 8, 0]]
    assert not found[3:].any()  # 3 x 2 output pixels
    assert not found[:, 2:].any()
