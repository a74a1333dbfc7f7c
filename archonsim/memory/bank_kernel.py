"""Numba kernel: entries of an on-chip buffer claim their banks, one cycle each."""

from __future__ import annotations

from archonsim.kernels import njit


@njit(cache=True)
def claim(free_from, ticks, ticks_per_cycle, ticks_per_word, words, entry, offset, entry_words):  # type: ignore[no-untyped-def]
    """Move `words` from word `offset` of entry number `entry` on.

    Parameters
    ----------
    free_from : (banks,) int64
        Cycle from which on each bank is free; updated.
    ticks : int
        When the port can start, in parts of a cycle.
    ticks_per_cycle, ticks_per_word : int
        The port's rate.

    Returns
    -------
    first, end : int
        When the first entry starts and the last one is through, in ticks.
    waited : int
        Ticks in which an entry waited for its bank.
    """
    banks = len(free_from)
    first, waited = -1, 0
    while words > 0:
        bank = entry % banks
        free = free_from[bank] * ticks_per_cycle
        if free > ticks:
            waited += free - ticks
            ticks = free
        first = ticks if first < 0 else first
        free_from[bank] = ticks // ticks_per_cycle + 1
        here = min(words, entry_words - offset)
        ticks += here * ticks_per_word
        words -= here
        entry, offset = entry + 1, 0
    return first, ticks, waited
