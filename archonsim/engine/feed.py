"""Reads of running tiles: operands that PEs fetch from on-chip buffers, step by step.

The order of the reads is known before a phase starts (the order of the tiles' steps), and each
waits only for room in a scratchpad and for its port, so that times are sums and maxima of earlier
ones, as those of the DMA are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from archonsim.memory.server import Slot
from archonsim.stats.counts import PhaseStats, Transfer

#: Reserves words of a transfer from a cycle on.
Reserve = Callable[[Transfer, int, int], Slot]


@dataclass(slots=True)
class _Scratchpad:
    """When the tile before an operand's current one was given up, and when the current one is."""

    since: int
    until: int


class Feed:
    """The reads of one phase.

    Parameters
    ----------
    reserve : function of (transfer, words, cycle)
        Takes the port's time.
    stats : PhaseStats
        Counts the words.
    start : int
        Cycle in which the phase starts: scratchpads are empty.
    """

    def __init__(self, reserve: Reserve, stats: PhaseStats, start: int) -> None:
        self._reserve, self._stats, self._start = reserve, stats, start
        self._held: dict[str, _Scratchpad] = {}

    def fetch(self, operand: str, transfer: Transfer, ahead: int, not_before: int) -> int:
        """Fetch the next tile of an operand.

        Parameters
        ----------
        operand : str
            Names the scratchpad's share.
        transfer : Transfer
            All words of the tile, from its buffer.
        ahead : int
            Words of it that fit in addition to the current tile and move while it is used; the rest
            wait until it is not used any more.
        not_before : int
            Cycle from which the buffer has the data.

        Returns
        -------
        int
            Cycle from whose start on the tile can be used.
        """
        held = self._held.setdefault(operand, _Scratchpad(self._start, self._start))
        self._stats.move(transfer)
        arrival = not_before
        for words, free in ((ahead, held.since), (transfer.words - ahead, held.until)):
            if words:
                slot = self._reserve(transfer, words, max(free, not_before))
                arrival = max(arrival, slot.arrival)
        held.since = held.until
        return arrival

    def used(self, operand: str, until: int) -> None:
        """Keep an operand's current tile in use until a cycle (the one after its last use)."""
        if operand in self._held:
            self._held[operand].until = max(self._held[operand].until, until)

    def store(self, transfer: Transfer, at: int) -> None:
        """Write a tile back, from a cycle on; nothing waits for it."""
        self._stats.move(transfer)
        self._reserve(transfer, transfer.words, at)
