"""A resource that serves transfers one after the other, at an exact rational rate."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple


class Slot(NamedTuple):
    """When a transfer happens.

    Attributes
    ----------
    first : int
        Cycle in which its first data arrive.
    free : int
        Cycle in which the server is done with it; what is written is safe then.
    arrival : int
        Cycle from whose start on all its data can be used.
    """

    first: int
    free: int
    arrival: int


class Server:
    """An in-order channel or port.

    Reservations are served in the order in which they are made, each for ``words / rate`` cycles, with no rounding in
    between: 25.6 words a cycle are 128 words in 5 cycles. There is no choice to make, so the times are sums and maxima of
    earlier times, and a faster server can never make anything later (a marked graph).

    Parameters
    ----------
    words_per_cycle : Fraction or None
        None: unlimited, transfers take no time.
    latency_cycles : int
        Added behind the server; transfers overlap in it.
    burst_words : int
        Transfers are rounded up to a multiple.
    """

    def __init__(self, words_per_cycle: Fraction | None, latency_cycles: int = 0, burst_words: int = 1) -> None:
        # Time is kept in parts of a cycle, of which a word takes a whole number.
        self._parts_per_cycle = 1 if words_per_cycle is None else words_per_cycle.numerator
        self._parts_per_word = 0 if words_per_cycle is None else words_per_cycle.denominator
        self._latency = 0 if words_per_cycle is None else latency_cycles
        self._burst = burst_words
        self._free_at = 0
        self.words = 0
        self.busy_parts = 0

    def reserve(self, words: int, at: int) -> Slot:
        """Queue a transfer of `words` 16-bit words that can start in cycle `at`."""
        if words == 0:
            return Slot(at, at, at)
        moved = self.in_bursts(words)
        start = max(at * self._parts_per_cycle, self._free_at)
        self._free_at = start + moved * self._parts_per_word
        self.words += moved
        self.busy_parts += moved * self._parts_per_word
        free = -(-self._free_at // self._parts_per_cycle)
        return Slot(start // self._parts_per_cycle + self._latency, free, free + self._latency)

    def in_bursts(self, words: int) -> int:
        """Round `words` up to whole bursts."""
        return -(-words // self._burst) * self._burst

    @property
    def ticks_per_cycle(self) -> int:
        """Parts of a cycle in which the server keeps its time."""
        return self._parts_per_cycle

    def last_span(self, words: int) -> tuple[int, int]:
        """Start and end, in ticks, of the latest reservation, which was for `words`."""
        return self._free_at - self.in_bursts(words) * self._parts_per_word, self._free_at
