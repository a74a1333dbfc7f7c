"""What a banked on-chip buffer does, word by word.

The definition that :mod:`~archonsim.memory.buffer_banks` must meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from archonsim.stats.counts import Direction


class Access(NamedTuple):
    """Consecutive words through one of the two ports, not before cycle `at`."""

    direction: Direction
    words: int
    at: int
    address: int


def step_ports(
    accesses: Sequence[Access], words_per_cycle: dict[Direction, int], entry_words: int, banks: int
) -> list[tuple[Fraction, Fraction]]:
    """Return when each access's first word starts and its last is through, in cycles.

    A port moves one word after the other. With the first word of each entry it claims the entry's
    bank for the cycle; a bank that an access before claimed for this cycle or a later one makes it
    wait.
    """
    port_free = {direction: Fraction(0) for direction in words_per_cycle}
    claimed = [-1] * banks
    spans = []
    for access in accesses:
        now = max(port_free[access.direction], Fraction(access.at))
        begin = None
        for number in range(access.words):
            entry, inside = divmod(access.address + number, entry_words)
            if number == 0 or inside == 0:
                while claimed[entry % banks] >= int(now):
                    now = Fraction(int(now) + 1)
                claimed[entry % banks] = int(now)
            begin = now if begin is None else begin
            now += Fraction(1, words_per_cycle[access.direction])
        assert begin is not None
        port_free[access.direction] = now
        spans.append((begin, now))
    return spans
