"""Numba kernel: channels and ports as rows of numbers, so that a compiled pass can reserve them.

The definitions are :mod:`~archonsim.memory.server`, :mod:`~archonsim.memory.dram_banks` and
:mod:`~archonsim.memory.buffer_banks`; :mod:`~archonsim.memory.system` writes the rows and reads
them back.
"""

from __future__ import annotations

import numpy as np

from archonsim.kernels import njit

#: What a server is.
RATE, DRAM_BANKS, PORT_BANKS = 0, 1, 2
#: Columns of a server's row: times in ticks, of which a cycle has PER_CYCLE.
KIND, PER_CYCLE, PER_WORD, LATENCY, TURNAROUND, BURST, FREE_AT, WAY, TURNS = range(9)
ROW_WORDS, BANKS_FROM, BANKS, WAITED = 9, 10, 11, 12
RCD, RP, RAS, RRD, WR, WTR, RTW, CL, CWL, ACTIVATION, HITS, MISSES = range(13, 25)
COLUMNS = 25
#: Columns of a bank: the open row (-1: none), when it was opened, when it may be closed; of a
#: port's bank only the last is used.
OPEN, OPENED, CLOSE_FROM = 0, 1, 2
#: With a type: whatever takes a plain int that numba knows is compiled once more for that int.
READ, WRITE = np.int64(0), np.int64(1)


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _rate(servers, one, words, at, way):  # type: ignore[no-untyped-def]
    """Queue a transfer at a server with a rate; return (first, free, arrival) in cycles."""
    earliest = servers[one, FREE_AT]
    if servers[one, WAY] != way:
        if servers[one, WAY] >= 0:
            earliest += servers[one, TURNAROUND]
            servers[one, TURNS] += 1
        servers[one, WAY] = way
    per_cycle, latency, burst = servers[one, PER_CYCLE], servers[one, LATENCY], servers[one, BURST]
    start = max(at * per_cycle, earliest)
    free = start + (words + burst - 1) // burst * burst * servers[one, PER_WORD]
    servers[one, FREE_AT] = free
    return (
        (start + latency) // per_cycle,
        (free + per_cycle - 1) // per_cycle,
        (free + latency + per_cycle - 1) // per_cycle,
    )


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _row(servers, banks, one, page, bursts, asked, way):  # type: ignore[no-untyped-def]
    """Move bursts of one row of a DRAM; return when their data start."""
    bank = servers[one, BANKS_FROM] + page % servers[one, BANKS]
    if banks[bank, OPEN] == page:
        servers[one, HITS] += bursts
    else:
        ready = asked
        if banks[bank, OPEN] >= 0:
            ready = max(asked, banks[bank, CLOSE_FROM]) + servers[one, RP]
        banks[bank, OPEN] = page
        opened = max(ready, servers[one, ACTIVATION] + servers[one, RRD])
        banks[bank, OPENED] = opened
        banks[bank, CLOSE_FROM] = opened + servers[one, RAS]
        servers[one, ACTIVATION] = opened
        servers[one, MISSES] += 1
        servers[one, HITS] += bursts - 1
    bus = servers[one, FREE_AT]
    if way != servers[one, WAY]:
        if servers[one, WAY] >= 0:
            bus += servers[one, WTR] if way == READ else servers[one, RTW]
            servers[one, TURNS] += 1
        servers[one, WAY] = way
    start = max(bus, max(asked, banks[bank, OPENED] + servers[one, RCD]) + servers[one, CL + way])
    free = start + bursts * servers[one, PER_WORD]
    servers[one, FREE_AT] = free
    closable = free + (servers[one, WR] if way == WRITE else 0)
    banks[bank, CLOSE_FROM] = max(banks[bank, CLOSE_FROM], closable)
    return start


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _dram(servers, banks, one, words, at, way, address):  # type: ignore[no-untyped-def]
    """Queue a transfer at a DRAM with banks."""
    per_cycle, burst, row = servers[one, PER_CYCLE], servers[one, BURST], servers[one, ROW_WORDS]
    left, first = (words + burst - 1) // burst * burst, -1
    while left:
        page = address // row
        here = min(left, row - address % row)
        start = _row(servers, banks, one, page, here // burst, at * per_cycle, way)
        first = start if first < 0 else first
        address, left = address + here, left - here
    free, behind = servers[one, FREE_AT], servers[one, LATENCY]
    return (
        (first + behind) // per_cycle,
        (free + per_cycle - 1) // per_cycle,
        (free + behind + per_cycle - 1) // per_cycle,
    )


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _port(servers, banks, one, words, at, address):  # type: ignore[no-untyped-def]
    """Queue a transfer at a port whose entries claim banks, one cycle each."""
    per_cycle, entry_words = servers[one, PER_CYCLE], servers[one, ROW_WORDS]
    entry, offset = address // entry_words, address % entry_words
    ticks, first = max(at * per_cycle, servers[one, FREE_AT]), -1
    while words > 0:
        bank = servers[one, BANKS_FROM] + entry % servers[one, BANKS]
        bank_free = banks[bank, CLOSE_FROM] * per_cycle
        if bank_free > ticks:
            servers[one, WAITED] += bank_free - ticks
            ticks = bank_free
        first = ticks if first < 0 else first
        banks[bank, CLOSE_FROM] = ticks // per_cycle + 1
        here = min(words, entry_words - offset)
        ticks += here * servers[one, PER_WORD]
        words -= here
        entry, offset = entry + 1, 0
    servers[one, FREE_AT] = ticks
    free = (ticks + per_cycle - 1) // per_cycle
    return first // per_cycle, free, free


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def reserve(memory, one, stream, words, at, way):  # type: ignore[no-untyped-def]
    """Queue a transfer.

    Parameters
    ----------
    memory : (servers, banks, addresses) of int64
        (servers, COLUMNS); (banks, 3); (streams,): the next address of each stream; all updated.
    one, stream : int
        Which server and stream.
    words : int
        At least one.
    at : int
        Cycle from which it can start.
    way : {READ, WRITE}

    Returns
    -------
    first, free, arrival : int
        As of :class:`archonsim.memory.server.Slot`.
    """
    servers, banks, addresses = memory
    kind, burst = servers[one, KIND], servers[one, BURST]
    address = addresses[stream]
    addresses[stream] = address + (words + burst - 1) // burst * burst
    if kind == RATE:
        return _rate(servers, one, words, at, way)
    if kind == DRAM_BANKS:
        return _dram(servers, banks, one, words, at, way, address)
    return _port(servers, banks, one, words, at, address)
