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
        self.ticks_per_cycle, self._ticks_per_word = rate.numerator, rate.denominator
        self._entry_words, self._free_from = entry_words, free_from
        self._free_at = 0
        self.last_span = (0, 0)
        self.counts = {"conflict_cycles": 0}
        self._waited = 0

    def in_bursts(self, words: int) -> int:
        """Return `words`: a port moves no more than asked."""
        return words

    def settle(self) -> None:
        """Do nothing: banks are free the cycle after their last access."""

    def reserve(self, words: int, at: int, direction: Direction, address: int) -> Slot:
        """Queue a transfer of consecutive words from `address` on."""
        entry, offset = divmod(address, self._entry_words)
        start = max(at * self.ticks_per_cycle, self._free_at)
        first, self._free_at, waited = claim(
            self._free_from,
            start,
            self.ticks_per_cycle,
            self._ticks_per_word,
            words,
            entry,
            offset,
            self._entry_words,
        )
        self._waited += waited
        self.counts["conflict_cycles"] = -(-self._waited // self.ticks_per_cycle)
        self.last_span = first, self._free_at
        free = -(-self._free_at // self.ticks_per_cycle)
        return Slot(first // self.ticks_per_cycle, free, free)
