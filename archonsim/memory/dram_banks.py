"""A DRAM channel with banks and open rows.

Bursts move in the order in which they are asked for; rows are opened ahead of their bursts, as soon
as the transfer is known and the bank is done with its old row, in the same order. Every rule is
"not before", so again all times are sums and maxima of earlier ones.
:mod:`archonsim.memory.dram_reference` steps the same rules clock by clock.

For burst i, in bank b and row r, of a transfer asked for at time t:

- its row is open, or is opened at ``max(t + RP if another row is open, activation of b + RAS + RP,
  end of b's data (+ WR after a write) + RP, last activation of any bank + RRD)``; data of an open
  row is not precharged before its last burst is done;
- its data start at ``max(t, activation of b + RCD) + CL`` (CWL for writes), and not before the data
  of burst i - 1 are through (``+ WTR`` or ``RTW`` where the direction changes).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from archonsim.memory.server import Slot
from archonsim.spec.dram_device import DramDevice
from archonsim.stats.counts import Direction


@dataclass(slots=True)
class Bank:
    """One bank; times in ticks.

    Attributes
    ----------
    row : int
        The open one; -1 for none.
    activated : int
        When it was opened.
    precharge_from : int
        When it may be closed.
    """

    row: int = -1
    activated: int = 0
    precharge_from: int = 0


@dataclass(frozen=True, slots=True)
class Ticks:
    """A device's times in ticks of a clock that both it and the array count in.

    Attributes
    ----------
    per_cycle, per_clock : int
        Ticks of the array's and of the bus's clock.
    burst, rcd, rp, ras, rrd, wr, wtr, rtw, controller : int
    data : dict of direction to int
        From a command to its data.
    """

    per_cycle: int
    per_clock: int
    burst: int
    rcd: int
    rp: int
    ras: int
    rrd: int
    wr: int
    wtr: int
    rtw: int
    controller: int
    data: dict[Direction, int]

    @classmethod
    def of(cls, device: DramDevice, clock_mhz: float) -> Ticks:
        """Convert to ticks; the only place that does."""
        ratio = device.clock_mhz / Fraction(str(clock_mhz))
        per_clock = ratio.denominator

        def ticks(nanoseconds: float) -> int:
            return device.clocks(nanoseconds) * per_clock

        return cls(
            per_cycle=ratio.numerator,
            per_clock=per_clock,
            burst=device.burst_length // 2 * per_clock,
            rcd=ticks(device.rcd_ns),
            rp=ticks(device.rp_ns),
            ras=ticks(device.ras_ns),
            rrd=ticks(device.rrd_ns),
            wr=ticks(device.wr_ns),
            wtr=ticks(device.wtr_ns),
            rtw=ticks(device.rtw_ns),
            controller=ticks(device.controller_ns),
            data={"read": ticks(device.cl_ns), "write": ticks(device.cwl_ns)},
        )


class BankServer:
    """The channel.

    Parameters
    ----------
    device : DramDevice
    clock_mhz : float
        Of the array.

    Attributes
    ----------
    free_at : int
        Tick in which the data of the latest burst are through.
    direction : {"read", "write"} or None
        Of that burst; None after `settle`.
    banks : list of Bank
    last_activation : int
        Tick of the latest activation of any bank.
    """

    def __init__(self, device: DramDevice, clock_mhz: float) -> None:
        self.device, self.ticks = device, Ticks.of(device, clock_mhz)
        self.free_at = 0
        self.settle()
        self.ticks_per_cycle = self.ticks.per_cycle
        self.last_span = (0, 0)
        self.counts = {"turnarounds": 0, "row_hits": 0, "row_misses": 0}

    def in_bursts(self, words: int) -> int:
        """Round `words` up to whole bursts."""
        burst = self.device.burst_words
        return -(-words // burst) * burst

    def settle(self) -> None:
        """Close all rows."""
        self.banks = [Bank() for _ in range(self.device.banks)]
        self.last_activation = -self.ticks.rrd
        self.direction: Direction | None = None

    def reserve(self, words: int, at: int, direction: Direction, address: int) -> Slot:
        """Queue a transfer of consecutive words from `address`, which starts a burst, on."""
        asked, left, first = at * self.ticks_per_cycle, self.in_bursts(words), -1
        while left:
            page, offset = divmod(address, self.device.row_words)
            here = min(left, self.device.row_words - offset)
            start = self._row(page, here // self.device.burst_words, asked, direction)
            first = start if first < 0 else first
            address, left = address + here, left - here
        self.last_span = first, self.free_at
        per_cycle, controller = self.ticks_per_cycle, self.ticks.controller
        free = -(-self.free_at // per_cycle)
        return Slot(
            (first + controller) // per_cycle, free, -(-(self.free_at + controller) // per_cycle)
        )

    def _row(self, page: int, bursts: int, asked: int, direction: Direction) -> int:
        """Move bursts of one row; return when their data start."""
        ticks, bank = self.ticks, self.banks[page % self.device.banks]
        if bank.row == page:
            self.counts["row_hits"] += bursts
        else:
            self._open(bank, page, asked)
            self.counts["row_misses"] += 1
            self.counts["row_hits"] += bursts - 1
        bus = self.free_at
        if direction != self.direction:
            if self.direction is not None:
                bus += ticks.wtr if direction == "read" else ticks.rtw
                self.counts["turnarounds"] += 1
            self.direction = direction
        start = max(bus, max(asked, bank.activated + ticks.rcd) + ticks.data[direction])
        self.free_at = start + bursts * ticks.burst
        bank.precharge_from = max(
            bank.precharge_from, self.free_at + (ticks.wr if direction == "write" else 0)
        )
        return start

    def _open(self, bank: Bank, page: int, asked: int) -> None:
        ready = asked if bank.row < 0 else max(asked, bank.precharge_from) + self.ticks.rp
        bank.row, bank.activated = page, max(ready, self.last_activation + self.ticks.rrd)
        bank.precharge_from = bank.activated + self.ticks.ras
        self.last_activation = bank.activated
