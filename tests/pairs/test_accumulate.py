"""The bit-sliced accumulate kernel against the reference that steps every cycle, PE and lane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archonsim.pe.accumulate_kernel import Accumulator
from archonsim.pe.accumulate_reference import run_tile
from archonsim.pe.beats import BeatStream
from tests.examples import examples
from tests.strategies import TileCase, tile_cases


def run_kernel(
    case: TileCase, depth: int | None = None, table: np.ndarray | None = None
) -> Accumulator:
    array = Accumulator(case.stream, case.table if table is None else table, depth or case.depth, 0)
    array.run(0, case.stream.beats, 0)
    return array


@examples(500)
@given(case=tile_cases(), words=st.integers(1, 60), gap=st.integers(0, 3), data=st.data())
def test_every_cycle_and_count_agrees(
    case: TileCase, words: int, gap: int, data: st.DataObject
) -> None:
    assume(case.stream.beats > 0)
    first, size = case.stream.chunks(26, words)
    array = Accumulator(case.stream, case.table, case.depth, 0)
    arrival, arrivals, pushed, queued = 0, [], [], []
    for chunk in range(len(size)):
        arrival += data.draw(st.integers(0, gap)) * int(size[chunk])
        arrivals += [arrival] * int(first[chunk + 1] - first[chunk])
        pushed.append(array.run(int(first[chunk]), int(first[chunk + 1]), arrival))
        queued.append(array.queued)
    reference = run_tile(case.stream, case.survives, case.depth, arrivals)
    assert pushed == [reference.beat_cycles[beat - 1] for beat in first[1:]]
    assert queued == [reference.queued[beat - 1] for beat in first[1:]]
    assert array.last_retire + 1 == reference.cycles
    assert array.broadcast_stall == reference.broadcast_stall
    assert array.weight_wait == reference.weight_wait
    assert array.adds == reference.adds
    assert array.macs == reference.macs
    assert array.sums == reference.sums


@examples(100)
@given(case=tile_cases())
def test_adds_are_the_survivors(case: TileCase) -> None:
    assume(case.stream.beats > 0)
    assert run_kernel(case).adds == int(np.bitwise_count(case.table[case.stream.column]).sum())


@examples(100)
@given(case=tile_cases(), seed=st.integers(0, 2**32 - 1))
def test_packing_of_pes_into_words_does_not_matter(case: TileCase, seed: int) -> None:
    """Scatter the PEs of one word over two: nothing changes."""
    # Each number of words is compiled anew, in seconds.
    assume(case.stream.beats > 0 and case.table.shape[1] == 1)
    pes, words = case.rows * case.cols, 2
    bits = np.array(case.survives, bool)
    scattered = np.zeros((len(case.table), words * 64), bool)
    scattered[:, np.random.default_rng(seed).permutation(words * 64)[:pes]] = bits.T
    packed = np.packbits(scattered, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    one, other = run_kernel(case), run_kernel(case, table=packed)
    assert (one.last_retire, one.broadcast_stall, one.adds, one.macs) == (
        other.last_retire,
        other.broadcast_stall,
        other.adds,
        other.macs,
    )


@examples(100)
@given(case=tile_cases(), deeper=st.integers(1, 8))
def test_deeper_fifos_never_cost_cycles(case: TileCase, deeper: int) -> None:
    assume(case.stream.beats > 0)
    assert run_kernel(case, depth=case.depth + deeper).last_retire <= run_kernel(case).last_retire


@examples(100)
@given(case=tile_cases(), seed=st.integers(0, 2**32 - 1))
def test_fewer_survivors_never_cost_cycles(case: TileCase, seed: int) -> None:
    assume(case.stream.beats > 0)
    fewer = case.table & np.random.default_rng(seed).integers(0, 2**64, case.table.shape, np.uint64)
    assert run_kernel(case, table=fewer).last_retire <= run_kernel(case).last_retire


@pytest.mark.parametrize(("depth", "stall"), [(4, 3), (5, 2), (6, 1), (7, 0), (8, 0)])
def test_a_full_fifo_holds_the_beat_exactly_until_there_is_room(depth: int, stall: int) -> None:
    """Two beats of four survivors for one lane.

    4 entries, one popped, 4 more need depth - 4 + 1 free places.
    """
    stream = BeatStream(
        column=np.zeros(8, np.int32),
        start=np.array([0, 4, 8], np.int32),
        lane=np.zeros(2, np.int32),
        group=np.array([0, 1], np.int32),
        is_mac=np.array([True, True]),
        lanes=1,
    )
    array = Accumulator(stream, np.array([[1]], np.uint64), depth, 0)
    assert array.run(0, 2, 0) == 1 + stall
    assert array.broadcast_stall == stall
    assert array.last_retire == 8  # pushed from cycle 0 on, popped one by one in cycles 1 to 8


def test_a_tile_does_not_end_before_its_last_beat() -> None:
    """One group of three beats whose only survivor is in the first.

    Popped in cycle 1, but complete in cycle 2.
    """
    stream = BeatStream(
        column=np.array([0, 1, 1], np.int32),
        start=np.array([0, 1, 2, 3], np.int32),
        lane=np.zeros(3, np.int32),
        group=np.zeros(3, np.int32),
        is_mac=np.array([True]),
        lanes=1,
    )
    array = Accumulator(stream, np.array([[1], [0]], np.uint64), 1, 0)
    array.run(0, 3, 0)
    assert array.last_retire == array.last_push == 2
    assert run_tile(stream, [[True, False]], 1, [0, 0, 0]).cycles == 3
