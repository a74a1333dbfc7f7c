"""Ports of an on-chip buffer whose single-ported banks serve one entry a cycle, read or written.

A bank serves entries in the order in which transfers are reserved: the DMA's, as everywhere.
Without a conflict the ports' times are those of :class:`~archonsim.memory.server.RateServer`.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from archonsim.memory.bank_kernel import claim
from archonsim.memory.server import Slot
from archonsim.stats.counts import Direction


class BankedPort:
    """One direction of such a buffer.

    Parameters
    ----------
    words_per_cycle : int
        The port's width.
    entry_words : int
        16-bit words of one entry of a bank.
    free_from : (banks,) int64
        Cycle from which on each bank is free; the buffer's other port shares it.
    """

    def __init__(
        self, words_per_cycle: int, entry_words: int, free_from: NDArray[np.int64]
    ) -> None:
        # An entry narrower than a cycle's words shares the cycle with its neighbours, each in its
        # own bank.
        rate = Fraction(words_per_cycle)
        self.ticks_per_cycle, self.ticks_per_word = rate.numerator, rate.denominator
        self.entry_words, self.free_from = entry_words, free_from
        self.free_at = 0
        self.last_span = (0, 0)
        self.counts = {"conflict_cycles": 0}
        self.waited = 0

    def in_bursts(self, words: int) -> int:
        """Return `words`: a port moves no more than asked."""
        return words

    def settle(self) -> None:
        """Do nothing: banks are free the cycle after their last access."""

    def settle_at(self, free_at: int, waited: int) -> None:
        """Note the tick in which the port is free, and ticks that entries waited for banks."""
        self.free_at, self.waited = free_at, waited
        self.counts["conflict_cycles"] = -(-waited // self.ticks_per_cycle)

    def reserve(self, words: int, at: int, direction: Direction, address: int) -> Slot:
        """Queue a transfer of consecutive words from `address` on."""
        entry, offset = divmod(address, self.entry_words)
        start = max(at * self.ticks_per_cycle, self.free_at)
        first, self.free_at, waited = claim(
            self.free_from,
            start,
            self.ticks_per_cycle,
            self.ticks_per_word,
            words,
            entry,
            offset,
            self.entry_words,
        )
        self.settle_at(self.free_at, self.waited + waited)
        self.last_span = first, self.free_at
        free = -(-self.free_at // self.ticks_per_cycle)
        return Slot(first // self.ticks_per_cycle, free, free)
