"""Beats and chunks of a block's stream, against lists that are written the long way."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archonsim.pe.beats import BeatStream, cut
from archonsim.pe.deal_kernel import deal
from tests.examples import examples
from tests.strategies import TileCase, tile_cases


@examples(40)
@given(
    case=tile_cases(),
    lanes=st.integers(1, 5),
    per_lane=st.integers(1, 4),
    order=st.sampled_from(["rotate", "fixed"]),
    width=st.none() | st.integers(1, 30),
    flags=st.tuples(st.booleans(), st.booleans()),
)
def test_groups_are_dealt_out_in_beats(
    case: TileCase,
    lanes: int,
    per_lane: int,
    order: str,
    width: int | None,
    flags: tuple[bool, bool],
) -> None:
    skip_empty, bias = flags
    stream = cut(
        case.fused,
        lanes=lanes,
        per_lane=per_lane,
        lane_order=order,
        skip_empty=skip_empty,
        bias=bias,
        width=width,
    )
    most = min(lanes * per_lane, width or lanes * per_lane)
    sizes = np.diff(case.fused.start).tolist()
    sent = [
        (size, mac)
        for size, mac in zip(sizes, (~case.fused.is_bias).tolist(), strict=True)
        if (size or not skip_empty) and (mac or bias)
    ]
    beats = [
        (group, min(most, size - at))
        for group, (size, _) in enumerate(sent)
        for at in range(0, max(size, 1), most)
    ]
    starts = [sum(size for _, size in beats[:at]) for at in range(len(beats) + 1)]
    assert stream.group.tolist() == [group for group, _ in beats]
    assert stream.start.tolist() == starts
    turn = lanes if order == "rotate" else 1
    assert stream.lane.tolist() == [at % turn for at in starts[:-1]]
    assert stream.is_mac.tolist() == [mac for _, mac in sent]
    assert (stream.beats, stream.groups) == (len(beats), len(sent))


@examples(10)
@given(case=tile_cases(), lanes=st.integers(1, 3))
def test_everything_is_sent_unless_it_is_asked_for(case: TileCase, lanes: int) -> None:
    stream = cut(case.fused, lanes=lanes, per_lane=2)
    assert stream.is_mac.tolist() == (~case.fused.is_bias).tolist()
    assert stream.lane.tolist() == [at % lanes for at in stream.start[:-1].tolist()]
    assert stream.bytes == sum(one.nbytes for one in stream.arrays)


@examples(40)
@given(
    case=tile_cases(),
    bits=st.sampled_from([1, 7, 16, 20]),
    words=st.integers(1, 12),
    per_group=st.sampled_from([0, 7, 16]),
)
def test_chunks_are_whole_groups_of_about_so_many_words(
    case: TileCase, bits: int, words: int, per_group: int
) -> None:
    stream = case.stream
    first, sizes = stream.chunks(bits, words, per_group)
    groups = stream.group.tolist()
    ends, taken, at = [], [], 0
    for group in range(stream.groups):
        beats = [beat for beat, one in enumerate(groups) if one == group]
        at += int(stream.start[beats[-1] + 1] - stream.start[beats[0]]) * bits + per_group
        if at >= 16 * words:
            ends.append(beats[-1] + 1)
            taken.append(at)
            at = 0
    # What is left is a chunk of its own; groups of no bits go with the last.
    if at or not ends:
        ends.append(stream.beats)
        taken.append(at)
    ends[-1] = stream.beats
    assert first.tolist() == [0, *ends]
    least = 1 if stream.beats else 0
    assert sizes.tolist() == [max(least, -(-one // 16)) for one in taken]


@examples(20)
@given(case=tile_cases(), data=st.data())
def test_readers_of_a_row_are_counted_candidate_by_candidate(
    case: TileCase, data: st.DataObject
) -> None:
    stream = case.stream
    beats = data.draw(st.none() | st.integers(0, stream.beats))
    column = stream.column.tolist()
    some = column[: int(stream.start[stream.beats if beats is None else beats])]
    rows = len(case.table)
    assert stream.readers(rows, beats).tolist() == [some.count(row) for row in range(rows)]


def test_a_chunk_ends_with_the_group_that_fills_it() -> None:
    stream = BeatStream(
        column=np.zeros(8, np.int32),
        start=np.array([0, 4, 8], np.int32),
        lane=np.zeros(2, np.int32),
        group=np.array([0, 1], np.int32),
        is_mac=np.ones(2, np.bool_),
        lanes=1,
    )
    first, sizes = stream.chunks(16, 4)
    assert (first.tolist(), sizes.tolist()) == ([0, 1, 2], [4, 4])


def test_one_candidate_more_than_a_beat_holds_takes_another_beat() -> None:
    sizes = np.array([0, 3, 4, 1, 7], np.int64)
    start, lane, group = (np.full(count, -1, np.int32) for count in (9, 8, 8))
    deal(sizes, 3, 2, True, start, lane, group)
    assert start.tolist() == [0, 0, 3, 6, 7, 8, 11, 14, 15]
    assert group.tolist() == [0, 1, 2, 2, 3, 4, 4, 4]
    assert lane.tolist() == [0, 0, 1, 0, 1, 0, 1, 0]
