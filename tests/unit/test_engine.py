"""Small parts of the engine, by numbers that are counted by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from archonsim.engine.clock import Clock
from archonsim.engine.contract import FixedTile, Phase, no_bounds
from archonsim.engine.dma_order import Request
from archonsim.stats.counts import PhaseStats, Transfer


def test_a_clock_counts_what_it_processes() -> None:
    clock = Clock()
    assert (clock.now, clock.events) == (0, 0)
    for delay in (2, 3):
        clock.timeout(delay)
    clock.step()
    assert (clock.now, clock.events) == (2, 1)
    clock.step()
    assert (clock.now, clock.events) == (3, 2)
    assert Clock(7).now == 7


def test_a_fixed_tile_counts_what_it_is_given_and_nothing_else() -> None:
    read = Transfer("glb", "read", "input", 5)
    tile = FixedTile(cycles=9, macs=2, adds=3, adds_possible=4, accesses=[read, read])
    stats = PhaseStats()
    running = tile.begin(20)
    assert (running.run(0, 25, "dram"), running.queued, running.finish(stats)) == (29, 0, 29)
    assert stats == PhaseStats(
        compute=9,
        macs=2,
        adds=3,
        adds_possible=4,
        traffic=Counter({("glb", "read", "input"): 10}),
    )
    assert (tuple(tile.chunks), tuple(tile.along)) == ((0,), ())
    bare = PhaseStats()
    FixedTile(cycles=1).count(bare)
    assert bare == PhaseStats(compute=1)
    assert Phase(name="layer", tiles=[tile], stream_from=["dram"]).bounds is no_bounds
    assert no_bounds(stats) == {}


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_pieces_of_a_fixed_tile_are_even_and_add_up(parts: int) -> None:
    tile = FixedTile(
        cycles=20,
        macs=21,
        adds=22,
        adds_possible=23,
        loads=[Transfer("dram", "read", "input", 24), Transfer("dram", "read", "weight", 3)],
        stores=[Transfer("dram", "write", "output", 25)],
        accesses=[Transfer("glb", "read", "input", 26)],
    )
    pieces = tile.split(parts)
    assert len(pieces) == parts
    for name, total in (("cycles", 20), ("macs", 21), ("adds", 22), ("adds_possible", 23)):
        each = [getattr(piece, name) for piece in pieces]
        assert (sum(each), max(each) - min(each) <= 1) == (total, True)
    for name, totals in (("loads", [24, 3]), ("stores", [25]), ("accesses", [26])):
        lists = [getattr(piece, name) for piece in pieces]
        for number, total in enumerate(totals):
            each = [some[number].words for some in lists]
            assert (sum(each), max(each) - min(each) <= 1) == (total, True)


@pytest.mark.parametrize(("words", "of", "grain"), [(100, 3, 1), (100, 3, 8), (5, 4, 4), (0, 2, 1)])
def test_pieces_of_a_request_are_whole_grains_but_for_the_last(
    words: int, of: int, grain: int
) -> None:
    pieces = [Request("load", 0, piece, of) for piece in range(of)]
    shares = [piece.share(words, grain) for piece in pieces]
    assert sum(shares) == words
    assert not any(share % grain for share in shares[:-1])
    assert all(abs(share - words / of) <= 2 * grain for share in shares)
    assert [piece.is_first for piece in pieces] == [True, *[False] * (of - 1)]
    assert [piece.is_last for piece in pieces] == [*[False] * (of - 1), True]
