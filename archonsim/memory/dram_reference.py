"""What a DRAM channel with banks does, stepped tick by tick.

The definition that :mod:`~archonsim.memory.dram_banks` must meet.

In each tick every bank may precharge or activate, and the head of the queue may start its data:
each as soon as no rule forbids it, bursts and activations in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from archonsim.memory.dram_banks import Ticks
from archonsim.stats.counts import Direction


@dataclass(frozen=True)
class Asked:
    """A transfer: consecutive whole bursts.

    Attributes
    ----------
    at : int
        Tick in which it is asked for.
    direction : {"read", "write"}
    first_burst, bursts : int
        Burst number ``first_burst`` of the memory, and how many.
    """

    at: int
    direction: Direction
    first_burst: int
    bursts: int


@dataclass
class _Burst:
    asked: Asked
    page: int
    starts: int = -1


@dataclass
class _Bank:
    row: int | None = None
    activated: int = 0
    closed_at: int | None = None
    waits_for: list[_Burst] = field(default_factory=list)
    recovered: int = 0


def step_channel(
    asked: Sequence[Asked], ticks: Ticks, banks: int, bursts_per_row: int
) -> list[tuple[int, int]]:
    """Return the ticks in which each transfer's first data start and its last are through."""
    bursts = [
        _Burst(one, (one.first_burst + number) // bursts_per_row)
        for one in asked
        for number in range(one.bursts)
    ]
    all_banks = [_Bank() for _ in range(banks)]
    for burst in bursts:
        all_banks[burst.page % banks].waits_for.append(burst)
    opens = _bursts_that_open(bursts, banks)
    now, done, last_activation, bus_until, direction = 0, 0, -ticks.rrd, 0, None
    while done < len(bursts):
        for bank in all_banks:
            _maybe_precharge(bank, now, ticks)
        while opens and _may_activate(
            opens[0], all_banks[opens[0].page % banks], now, last_activation, ticks
        ):
            burst = opens.pop(0)
            bank = all_banks[burst.page % banks]
            bank.row, bank.activated, bank.closed_at, last_activation = burst.page, now, None, now
        head = bursts[done]
        bank = all_banks[head.page % banks]
        if _may_start(head, bank, now, bus_until, direction, ticks):
            head.starts, direction, bus_until = now, head.asked.direction, now + ticks.burst
            bank.waits_for.pop(0)
            bank.recovered = max(
                bank.recovered, bus_until + (ticks.wr if direction == "write" else 0)
            )
            done += 1
            continue  # a burst of no length would let the next start in the same tick
        now += 1
    spans, place = [], 0
    for one in asked:
        mine = bursts[place : place + one.bursts]
        place += one.bursts
        spans.append((mine[0].starts, mine[-1].starts + ticks.burst))
    return spans


def _bursts_that_open(bursts: Sequence[_Burst], banks: int) -> list[_Burst]:
    """The bursts, in order, whose row is not the one that the bank's burst before them used."""
    rows: dict[int, int] = {}
    found = []
    for burst in bursts:
        if rows.get(burst.page % banks) != burst.page:
            found.append(burst)
        rows[burst.page % banks] = burst.page
    return found


def _maybe_precharge(bank: _Bank, now: int, ticks: Ticks) -> None:
    """Close a row that the bank's next pending burst does not need, as soon as it may be closed."""
    if bank.row is None or not bank.waits_for:
        return
    wanted = bank.waits_for[0]
    if wanted.page == bank.row or wanted.asked.at > now:
        return
    if now >= bank.activated + ticks.ras and now >= bank.recovered:
        bank.row, bank.closed_at = None, now


def _may_activate(burst: _Burst, bank: _Bank, now: int, last_activation: int, ticks: Ticks) -> bool:
    if bank.row is not None or burst.asked.at > now or now < last_activation + ticks.rrd:
        return False
    if not bank.waits_for or bank.waits_for[0] is not burst:
        return False
    return bank.closed_at is None or now >= bank.closed_at + ticks.rp


def _may_start(
    burst: _Burst, bank: _Bank, now: int, bus_until: int, direction: Direction | None, ticks: Ticks
) -> bool:
    if bank.row != burst.page or (not bank.waits_for or bank.waits_for[0] is not burst):
        return False
    mine = burst.asked.direction
    turn = 0
    if direction is not None and mine != direction:
        turn = ticks.wtr if mine == "read" else ticks.rtw
    command = now - ticks.data[mine]
    return (
        command >= burst.asked.at
        and command >= bank.activated + ticks.rcd
        and now >= bus_until + turn
    )
