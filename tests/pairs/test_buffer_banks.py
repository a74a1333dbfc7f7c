"""Banked buffers against their definition, word by word, and the laws that they keep."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archonsim.memory.buffer_banks import BankedPort
from archonsim.memory.buffer_reference import Access, step_ports
from archonsim.memory.server import RateServer
from tests.examples import examples

ACCESSES = st.lists(
    st.tuples(
        st.sampled_from(["read", "write"]),
        st.integers(1, 40),
        st.integers(0, 9),
        st.integers(0, 200),
    ),
    min_size=1,
    max_size=8,
)
SIZES = st.tuples(st.integers(1, 16), st.integers(1, 16), st.integers(1, 6), st.integers(1, 7))
Drawn = list[tuple[str, int, int, int]]


def in_time(drawn: Drawn) -> list[Access]:
    """Turn gaps between requests into cycles."""
    now, accesses = 0, []
    for direction, words, gap, address in drawn:
        now += gap
        accesses.append(Access(direction, words, now, address))  # type: ignore[arg-type]
    return accesses


def spans(
    accesses: list[Access], read: int, write: int, entry: int, banks: int
) -> list[tuple[Fraction, Fraction]]:
    free_from = np.zeros(banks, np.int64)
    ports = {
        "read": BankedPort(read, entry, free_from),
        "write": BankedPort(write, entry, free_from),
    }
    found = []
    for one in accesses:
        port = ports[one.direction]
        port.reserve(one.words, one.at, one.direction, one.address)
        start, end = port.last_span
        found.append((Fraction(start, port.ticks_per_cycle), Fraction(end, port.ticks_per_cycle)))
    return found


@examples(300)
@given(ACCESSES, SIZES)
def test_ports_move_each_word_when_the_definition_moves_it(
    drawn: Drawn, sizes: tuple[int, int, int, int]
) -> None:
    read, write, entry, banks = sizes
    accesses = in_time(drawn)
    assert spans(accesses, *sizes) == step_ports(
        accesses, {"read": read, "write": write}, entry, banks
    )


@examples(200)
@given(ACCESSES, SIZES, st.integers(1, 4))
def test_wider_ports_and_twice_the_banks_never_delay_an_access(
    drawn: Drawn, sizes: tuple[int, int, int, int], factor: int
) -> None:
    read, write, entry, banks = sizes
    accesses = in_time(drawn)
    before = spans(accesses, *sizes)
    for better in (
        (read * factor, write, entry, banks),
        (read, write + factor, entry, banks),
        (read, write, entry, 2 * banks),
    ):
        assert all(
            late[1] <= early[1]
            for late, early in zip(spans(accesses, *better), before, strict=True)
        )


@given(ACCESSES, st.integers(1, 16), st.integers(1, 6))
def test_without_conflicts_a_port_is_a_plain_one(drawn: Drawn, width: int, entry: int) -> None:
    """Every access in entries of its own, more banks than entries."""
    plain, free_from = RateServer(Fraction(width)), np.zeros(10_000, np.int64)
    port = BankedPort(width, entry, free_from)
    for number, one in enumerate(in_time(drawn)):
        address = 1000 * entry * number
        assert port.reserve(one.words, one.at, "read", address) == plain.reserve(one.words, one.at)
    assert port.counts["conflict_cycles"] == 0


def test_two_streams_that_hit_a_bank_take_turns() -> None:
    """One bank: a read and a write of 4 entries each take 8 cycles together."""
    free_from = np.zeros(1, np.int64)
    read, write = (BankedPort(4, 4, free_from) for _ in range(2))
    assert (read.last_span, read.free_at, read.waited) == ((0, 0), 0, 0)
    assert read.counts == {"conflict_cycles": 0}
    assert read.reserve(16, 3, "read", 0).free == 7
    assert write.reserve(16, 3, "write", 400).free == 11
    assert write.counts["conflict_cycles"] == 4
    assert write.last_span == (4 * 7, 4 * 11)
