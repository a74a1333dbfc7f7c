"""Servers: exact times of transfers, and the order in which the DMA works."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.engine.contract import FixedTile, Phase
from archonsim.engine.dma_order import dma_order
from archonsim.errors import SpecError
from archonsim.memory.server import RateServer
from archonsim.memory.system import MemorySystem
from archonsim.spec.parts import DramSpec
from archonsim.stats.counts import Direction, Transfer


def test_bandwidth_is_kept_without_rounding() -> None:
    """25.6 words a cycle are 128 in 5 cycles: five transfers of 128 words end every 5 cycles."""
    server = RateServer(Fraction(128, 5))
    assert [server.reserve(128, 0).free for _ in range(3)] == [5, 10, 15]
    assert [server.reserve(32, 0).free for _ in range(4)] == [
        17,
        18,
        19,
        20,
    ]  # 16.25, 17.5, 18.75, 20


def test_a_server_starts_idle() -> None:
    server = RateServer(Fraction(2))
    assert (server.last_span, server.free_at, server.direction) == ((0, 0), 0, None)
    assert server.counts == {"turnarounds": 0}
    assert server.rates == (1, 0, 0, 1)


def test_latency_is_added_behind_the_channel_and_overlaps() -> None:
    server = RateServer(Fraction(4), latency_cycles=100)
    slots = [server.reserve(40, 0) for _ in range(2)]
    assert [(slot.first, slot.free, slot.arrival) for slot in slots] == [
        (100, 10, 110),
        (110, 20, 120),
    ]


def test_bursts_are_moved_whole() -> None:
    server = RateServer(Fraction(1), burst_words=8)
    assert server.reserve(9, 0).free == 16
    assert server.last_span == (0, 16)


def test_an_unlimited_server_takes_no_time() -> None:
    assert RateServer(None, latency_cycles=50, turnaround_cycles=9).reserve(10**9, 7, "write") == (
        7,
        7,
        7,
    )


def test_the_channel_idles_where_the_direction_changes() -> None:
    channel = RateServer(Fraction(4), turnaround_cycles=8)
    ends = [
        channel.reserve(40, 0, direction).free for direction in ("read", "read", "write", "read")
    ]
    assert ends == [10, 20, 38, 56]
    assert channel.counts == {"turnarounds": 2}


def moved(
    memory: MemorySystem, transfers: list[tuple[Direction, int, int]]
) -> tuple[list[int], list[tuple[str, int]]]:
    """Reserve (direction, words, cycle) at DRAM.

    Return the cycles of `free`, and what moved in its order.
    """
    order: list[tuple[str, int]] = []
    free = []
    for direction, words, at in transfers:
        one = Transfer("dram", direction, "output" if direction == "write" else "input", words)
        free.append(
            memory.reserve(
                one,
                words,
                at,
                lambda transfer, count, server: order.append((transfer.direction, count)),
            ).free
        )
    return free, order


def test_writes_wait_for_each_other_in_the_controller() -> None:
    dram = DramSpec(
        gigabytes_per_second=4,
        latency_cycles=0,
        burst_words=4,
        turnaround_cycles=5,
        write_queue_words=80,
    )
    memory = MemorySystem(dram, {}, 500)  # 4 words a cycle
    free, order = moved(
        memory,
        [("write", 40, 0), ("read", 40, 0), ("write", 40, 3), ("read", 40, 3), ("write", 8, 20)],
    )
    assert order == [("read", 40), ("write", 40), ("write", 40), ("read", 40)]
    assert free == [
        0,
        10,
        35,
        50,
        35,
    ]  # a write is safe once the queue has room: when the last batch is through
    assert memory.flush(60, lambda *_: None) == 62
    assert memory.counts == {"dram.turnarounds": 3}


def test_a_wrong_device_is_refused_whatever_the_model() -> None:
    with pytest.raises(SpecError, match="unknown DRAM device 'ddr9'"):
        MemorySystem(
            DramSpec(gigabytes_per_second=4, latency_cycles=9, burst_words=4, device="ddr9"),
            {},
            500,
        )


def test_kinds_that_are_free_take_no_time_and_are_not_told_of() -> None:
    dram = DramSpec(gigabytes_per_second=4, latency_cycles=9, burst_words=4, free=("input",))
    assert moved(MemorySystem(dram, {}, 500), [("read", 400, 7), ("read", 400, 8)]) == ([7, 8], [])


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 200)), max_size=20),
    st.integers(1, 64),
    st.integers(1, 7),
    st.integers(0, 40),
    st.integers(1, 16),
)
def test_server_agrees_with_one_that_moves_word_by_word(
    requests: list[tuple[int, int]], words: int, cycles: int, latency: int, burst: int
) -> None:
    """Each word takes cycles/words of a cycle, one after the other, none before its request."""
    server = RateServer(Fraction(words, cycles), latency, burst)
    clock, free = 0, Fraction(0)
    for count, gap in requests:
        clock += gap
        slot = server.reserve(count, clock)
        begin = max(free, Fraction(clock))
        for _ in range(-(-count // burst) * burst):
            free = max(free, Fraction(clock)) + Fraction(cycles, words)
        assert slot.first == int(begin) + latency
        assert slot.free == -(-free // 1)
        assert slot.arrival == slot.free + latency


def test_words_per_cycle_of_the_preset() -> None:
    dram = DramSpec(gigabytes_per_second=25.6, latency_cycles=0, burst_words=4)
    assert dram.words_per_cycle(500) == Fraction(128, 5)


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 100),
)
def test_dma_order_holds_everything_once_and_what_a_tile_needs_before_it(
    chunks: list[int], lead: int, lag: int, grain: int
) -> None:
    tiles = [FixedTile(cycles=1) for _ in chunks]
    for fixed, count in zip(tiles, chunks, strict=True):
        fixed.chunks = (1,) * count
    order = list(
        dma_order(Phase(name="layer", tiles=tiles, stream_from=["dram"] * len(tiles)), lead, lag)
    )
    for what in ("load", "store", "chunk"):
        for tile in range(len(tiles)):
            mine = [request for request in order if (request.what, request.tile) == (what, tile)]
            assert [request.piece for request in mine] == list(range(mine[0].of))
            shares = [request.share(1000, grain) for request in mine]
            assert sum(shares) == 1000
            assert all(share % grain == 0 for share in shares[:-1])
    at = {(request.what, request.tile, request.piece): place for place, request in enumerate(order)}
    for tile in range(1, len(tiles)):
        last_load = max(
            place for (what, number, _), place in at.items() if (what, number) == ("load", tile)
        )
        assert last_load < at["chunk", tile, 0], (
            "a tile's loads come before its stream, or the machine would hang"
        )
