"""Windows and merged slices: nothing is lost, whatever the order of transfers and waits."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archonsim.engine.observer import Recorder
from archonsim.memory.server import RateServer
from archonsim.show.timeline.coarse import mean_level, merge, rate
from archonsim.stats.counts import Direction, Transfer
from archonsim.stats.timeline import Level, Moves
from archonsim.vocabulary.kinds import DataKind

Requests = list[tuple[tuple[Direction, DataKind], int, int]]

LABELS: list[tuple[Direction, DataKind]] = [
    ("read", "weight"),
    ("read", "input"),
    ("write", "output"),
]
TRANSFERS = st.lists(
    st.tuples(st.sampled_from(LABELS), st.integers(0, 90), st.integers(0, 40)),
    min_size=1,
    max_size=30,
)


def recorded(transfers: Requests, rate: Fraction | None) -> tuple[Moves, RateServer, int]:
    """Reserve one transfer after the other, each some cycles after the last, and write it down."""
    server, recorder, clock = RateServer(rate, 3, 8), Recorder(), 0
    for (direction, kind), words, gap in transfers:
        clock += gap
        if words:
            server.reserve(words, clock, direction)
        recorder.moved(Transfer("dram", direction, kind, words), words, server)
    moves = recorder.timeline.servers.get("dram", Moves(server.ticks_per_cycle))
    return moves, server, max([clock, *(-(-end // moves.ticks_per_cycle) for end in moves.end)])


def by_label(pairs: list[tuple[str, int]]) -> dict[str, int]:
    return {label: sum(words for name, words in pairs if name == label) for label, _ in pairs}


@given(
    TRANSFERS,
    st.sampled_from([Fraction(128, 5), Fraction(1), Fraction(1, 3), None]),
    st.integers(0, 50),
)
def test_merged_slices_keep_words_and_order(
    transfers: Requests, speed: Fraction | None, grain: int
) -> None:
    moves, server, _ = recorded(transfers, speed)
    slices = merge(moves, grain)
    asked = by_label(
        [(f"{direction}.{kind}", words) for (direction, kind), words, _ in transfers if words]
    )
    assert by_label([item for one in slices for item in one.words.items()]) == asked
    assert sum(one.moved for one in slices) == sum(
        server.in_bursts(words) for _, words, _ in transfers
    )
    assert sum(one.busy for one in slices) == sum(moves.end) - sum(moves.start)
    assert all(one.start <= one.start + one.busy <= one.end for one in slices)
    assert all(before.end <= after.start for before, after in pairwise(slices))


@given(TRANSFERS, st.integers(1, 20))
def test_the_number_of_slices_is_bounded(transfers: Requests, grain: int) -> None:
    moves, _, total = recorded(transfers, Fraction(4))
    assert len(merge(moves, grain)) <= 2 * (total // grain + 1)


def test_neighbours_of_one_kind_merge_and_others_do_not() -> None:
    weight, _, output = LABELS
    moves, _, _ = recorded(
        [(weight, 16, 0), (weight, 16, 0), (output, 8, 0), (weight, 8, 50)], Fraction(8)
    )
    slices = merge(moves, 0)
    assert [(one.start, one.end, one.words) for one in slices] == [
        (0, 32, {"read.weight": 32}),
        (32, 40, {"write.output": 8}),
        (400, 408, {"read.weight": 8}),
    ]
    assert [one.words for one in merge(moves, 5)] == [
        {"read.weight": 32, "write.output": 8},
        {"read.weight": 8},
    ]


@given(TRANSFERS, st.sampled_from([Fraction(128, 5), Fraction(1, 3), None]), st.integers(1, 60))
def test_rates_add_up_to_the_words_moved(
    transfers: Requests, speed: Fraction | None, window: int
) -> None:
    moves, server, total = recorded(transfers, speed)
    assume(total > 0)
    lengths = [min(window, total - start) for start in range(0, total, window)]
    means = [rate(moves, direction, total, window) for direction in ("read", "write")]
    moved = sum(server.in_bursts(words) for _, words, _ in transfers)
    assert sum(
        value * length for one in means for value, length in zip(one, lengths, strict=True)
    ) == pytest.approx(moved)
    if speed is not None:
        assert all(
            0 <= value <= float(speed) * (1 + 1e-9)
            for value in (sum(pair) for pair in zip(*means, strict=True))
        )


@given(
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from([-1, 1])), max_size=30),
    st.integers(1, 15),
)
def test_a_mean_level_is_the_mean_of_every_cycle(
    changes: list[tuple[int, int]], window: int
) -> None:
    level, clock = Level(), 0
    for gap, by in changes:
        clock += gap
        level.change(clock, by)
    total = clock + 7
    steps = list(zip(level.at, [by for _, by in changes], strict=True))
    each = [sum(by for at, by in steps if at <= cycle) for cycle in range(total)]
    expected = [
        sum(each[start : start + window]) / len(each[start : start + window])
        for start in range(0, total, window)
    ]
    assert mean_level(level, total, window) == pytest.approx(expected)
