"""Servers as rows of numbers: what a compiled pass reserves on, and hands back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.memory import server_kernel as row
from archonsim.memory.buffer_banks import BankedPort
from archonsim.memory.dram_banks import Bank, BankServer
from archonsim.memory.server import RateServer, Server
from archonsim.stats.counts import Direction

Ints = NDArray[np.int64]
WAYS: tuple[Direction, ...] = ("read", "write")


@dataclass(slots=True)
class Rows:
    """Servers, banks and streams, as :mod:`archonsim.memory.server_kernel` takes them.

    Attributes
    ----------
    servers : (n, COLUMNS) int64
    banks : (n, 3) int64
    addresses : (n,) int64
        Next address of each stream.
    """

    servers: Ints
    banks: Ints
    addresses: Ints

    @property
    def arrays(self) -> tuple[Ints, Ints, Ints]:
        """What the kernel takes."""
        return self.servers, self.banks, self.addresses

    def copy(self) -> Rows:
        """Return the same, for a trial."""
        return Rows(self.servers.copy(), self.banks.copy(), self.addresses.copy())


#: Largest ticks of a cycle, and of anything else, that a compiled pass takes: 2^40 cycles, and 2^34
#: words, then stay within 64 bits. Rates of many decimals have more.
MOST_PER_CYCLE, MOST_TICKS = 1 << 22, 1 << 28


def within_bits(servers: Iterable[Server]) -> bool:
    """Whether times of all servers stay within the 64 bits of a compiled pass."""
    for one in servers:
        if isinstance(one, RateServer):
            cycle, others = one.ticks_per_cycle, one.rates
        elif isinstance(one, BankServer):
            cycle, others = one.ticks.per_cycle, (one.ticks.burst, one.ticks.controller, 0, 0)
        elif isinstance(one, BankedPort):
            cycle, others = one.ticks_per_cycle, (one.ticks_per_word, 0, 0, 0)
        else:
            return False
        if cycle > MOST_PER_CYCLE or max(others) > MOST_TICKS:
            return False
    return True


def pack(servers: Iterable[Server], addresses: Iterable[int]) -> Rows:
    """Write servers down."""
    table: list[list[int]] = []
    banks: list[tuple[int, int, int]] = []
    shared: dict[int, int] = {}
    for one in servers:
        if isinstance(one, RateServer):
            table.append(_rate(one))
        elif isinstance(one, BankServer):
            table.append(_dram(one, len(banks)))
            banks += [(bank.row, bank.activated, bank.precharge_from) for bank in one.banks]
        elif isinstance(one, BankedPort):
            free = one.free_from
            if id(free) not in shared:
                shared[id(free)] = len(banks)
                banks += [(0, 0, cycle) for cycle in free.tolist()]
            table.append(_port(one, shared[id(free)]))
        else:
            raise TypeError(f"no row for a server of type {type(one).__name__}")
    return Rows(
        np.array(table, np.int64),
        np.array(banks, np.int64).reshape(-1, 3),
        np.fromiter(addresses, np.int64),
    )


def _row(columns: dict[int, int]) -> list[int]:
    found = [0] * row.COLUMNS
    for at, value in columns.items():
        found[at] = value
    return found


def _way(direction: Direction | None) -> int:
    return -1 if direction is None else WAYS.index(direction)


def _rate(one: RateServer) -> list[int]:
    ticks_per_word, latency, turnaround, burst = one.rates
    return _row(
        {
            row.KIND: row.RATE,
            row.PER_CYCLE: one.ticks_per_cycle,
            row.PER_WORD: ticks_per_word,
            row.LATENCY: latency,
            row.TURNAROUND: turnaround,
            row.BURST: burst,
            row.FREE_AT: one.free_at,
            row.WAY: _way(one.direction),
            row.TURNS: one.counts["turnarounds"],
        }
    )


def _dram(one: BankServer, first: int) -> list[int]:
    ticks, device = one.ticks, one.device
    return _row(
        {
            row.KIND: row.DRAM_BANKS,
            row.PER_CYCLE: ticks.per_cycle,
            row.PER_WORD: ticks.burst,
            row.LATENCY: ticks.controller,
            row.BURST: device.burst_words,
            row.FREE_AT: one.free_at,
            row.WAY: _way(one.direction),
            row.TURNS: one.counts["turnarounds"],
            row.ROW_WORDS: device.row_words,
            row.BANKS_FROM: first,
            row.BANKS: device.banks,
            row.RCD: ticks.rcd,
            row.RP: ticks.rp,
            row.RAS: ticks.ras,
            row.RRD: ticks.rrd,
            row.WR: ticks.wr,
            row.WTR: ticks.wtr,
            row.RTW: ticks.rtw,
            row.CL: ticks.data["read"],
            row.CWL: ticks.data["write"],
            row.ACTIVATION: one.last_activation,
            row.HITS: one.counts["row_hits"],
            row.MISSES: one.counts["row_misses"],
        }
    )


def _port(one: BankedPort, first: int) -> list[int]:
    return _row(
        {
            row.KIND: row.PORT_BANKS,
            row.PER_CYCLE: one.ticks_per_cycle,
            row.PER_WORD: one.ticks_per_word,
            row.BURST: 1,
            row.FREE_AT: one.free_at,
            row.ROW_WORDS: one.entry_words,
            row.BANKS_FROM: first,
            row.BANKS: len(one.free_from),
            row.WAITED: one.waited,
        }
    )


def unpack(rows: Rows, servers: Iterable[Server]) -> None:
    """Bring servers to where a compiled pass has left them."""
    banks = rows.banks
    for one, found in zip(servers, rows.servers.tolist(), strict=True):
        first = found[row.BANKS_FROM]
        way = found[row.WAY]
        if isinstance(one, RateServer):
            one.free_at, one.direction = found[row.FREE_AT], None if way < 0 else WAYS[way]
            one.counts["turnarounds"] = found[row.TURNS]
        elif isinstance(one, BankServer):
            one.free_at, one.direction = found[row.FREE_AT], None if way < 0 else WAYS[way]
            one.banks = [Bank(*bank) for bank in banks[first : first + len(one.banks)].tolist()]
            one.last_activation = found[row.ACTIVATION]
            one.counts |= {
                "turnarounds": found[row.TURNS],
                "row_hits": found[row.HITS],
                "row_misses": found[row.MISSES],
            }
        elif isinstance(one, BankedPort):
            one.free_from[:] = banks[first : first + len(one.free_from), row.CLOSE_FROM]
            one.settle_at(found[row.FREE_AT], found[row.WAITED])
