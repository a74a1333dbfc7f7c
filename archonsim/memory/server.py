"""Channels and ports that serve transfers one after the other, at an exact rational rate."""

from __future__ import annotations

from fractions import Fraction
from math import lcm
from typing import NamedTuple, Protocol

from archonsim.stats.counts import Direction


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


class Server(Protocol):
    """Something that serves transfers in the order in which they are reserved.

    There is no choice to make, so its times are sums and maxima of earlier times, and a faster
    server can never make anything later (a marked graph).

    Attributes
    ----------
    ticks_per_cycle : int
        Parts of a cycle in which it keeps its time, so that nothing is rounded.
    last_span : (int, int)
        Start and end, in ticks, of the latest reservation.
    counts : dict of name to int
        What happened in it, for statistics.
    """

    @property
    def ticks_per_cycle(self) -> int:
        """Parts of a cycle."""

    @property
    def last_span(self) -> tuple[int, int]:
        """Start and end of the latest reservation."""

    @property
    def counts(self) -> dict[str, int]:
        """What happened so far."""

    def reserve(self, words: int, at: int, direction: Direction, address: int) -> Slot:
        """Queue a transfer of `words` 16-bit words, at least one, that can start in cycle `at`."""

    def in_bursts(self, words: int) -> int:
        """Round `words` up to what the server moves."""

    def settle(self) -> None:
        """Forget what earlier transfers left behind, once all of them are through."""


class RateServer:
    """A channel or port with a rate.

    Each reservation takes ``words / rate`` cycles, with no rounding in between: 25.6 words a cycle
    are 128 words in 5 cycles.

    Parameters
    ----------
    words_per_cycle : Fraction or None
        None: unlimited, transfers take no time.
    latency_cycles : int or Fraction
        Added behind the server; transfers overlap in it.
    burst_words : int
        Transfers are rounded up to a multiple.
    turnaround_cycles : int or Fraction
        The server idles so long between a read and a write, and back.

    Attributes
    ----------
    free_at : int
        Tick in which it is done with the latest transfer.
    direction : {"read", "write"} or None
        Of that transfer; None after `settle`.
    """

    def __init__(
        self,
        words_per_cycle: Fraction | None,
        latency_cycles: Fraction | int = 0,
        burst_words: int = 1,
        turnaround_cycles: Fraction | int = 0,
    ) -> None:
        # Time is kept in parts of a cycle, of which a word, latency and turnaround take a whole
        # number each.
        word, latency, turnaround = Fraction(0), Fraction(0), Fraction(0)
        if words_per_cycle is not None:
            word = 1 / words_per_cycle
            latency, turnaround = Fraction(latency_cycles), Fraction(turnaround_cycles)
        ticks = lcm(word.denominator, latency.denominator, turnaround.denominator)
        self.ticks_per_cycle = ticks
        self._ticks_per_word = int(word * ticks)
        self._latency = int(latency * ticks)
        self._turnaround = int(turnaround * ticks)
        self._burst = burst_words
        self.free_at = 0
        self.direction: Direction | None = None
        self.last_span = (0, 0)
        self.counts = {"turnarounds": 0}

    def reserve(self, words: int, at: int, direction: Direction = "read", address: int = 0) -> Slot:
        """Queue a transfer; addresses make no difference here."""
        earliest = self.free_at
        if direction != self.direction:
            if self.direction is not None:
                earliest += self._turnaround
                self.counts["turnarounds"] += 1
            self.direction = direction
        start = max(at * self.ticks_per_cycle, earliest)
        self.free_at = start + self.in_bursts(words) * self._ticks_per_word
        self.last_span = start, self.free_at
        ticks, latency = self.ticks_per_cycle, self._latency
        return Slot(
            (start + latency) // ticks,
            -(-self.free_at // ticks),
            -(-(self.free_at + latency) // ticks),
        )

    @property
    def rates(self) -> tuple[int, int, int, int]:
        """Ticks of a word, of the latency and of a turnaround, and words of a burst."""
        return self._ticks_per_word, self._latency, self._turnaround, self._burst

    def in_bursts(self, words: int) -> int:
        """Round `words` up to whole bursts."""
        return -(-words // self._burst) * self._burst

    def settle(self) -> None:
        """Let the next transfer go in either direction at once."""
        self.direction = None
