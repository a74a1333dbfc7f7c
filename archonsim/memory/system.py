"""The memories of one machine, as servers that share one clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import get_args

import numpy as np

from archonsim.errors import UndeclaredError, nearest
from archonsim.memory.buffer_banks import BankedPort
from archonsim.memory.dram_banks import BankServer
from archonsim.memory.rows import Rows, pack, unpack, within_bits
from archonsim.memory.server import RateServer, Server, Slot
from archonsim.spec.dram_device import load_device
from archonsim.spec.parts import BufferSpec, DramSpec
from archonsim.stats.counts import Direction, Transfer
from archonsim.vocabulary.kinds import KINDS

#: Told of each reservation: the transfer, its words, the server.
OnMove = Callable[[Transfer, int, Server], None]

#: Each kind of data has a region of its own, for reads and for writes, and lies there in the order
#: in which it moves (own decision). Regions start in banks of their own: a row is no longer than
#: the stagger.
REGION_WORDS = 2**30 + 2**13
_REGIONS = {
    (direction, kind): number
    for number, (direction, kind) in enumerate(
        (direction, kind.name) for direction in get_args(Direction) for kind in KINDS if kind.moves
    )
}


def _dram(spec: DramSpec, clock_mhz: float) -> Server:
    device = load_device(
        spec.device
    )  # looked at whatever the model, so that no wrong name goes unnoticed
    if spec.model == "banks":
        return BankServer(device, clock_mhz)
    rate = None if spec.model == "unlimited" else spec.words_per_cycle(clock_mhz)
    return RateServer(rate, spec.latency(clock_mhz), spec.burst_words, spec.turnaround(clock_mhz))


def _ports(spec: BufferSpec) -> dict[str, Server]:
    widths = {"read": spec.read_words_per_cycle, "write": spec.write_words_per_cycle}
    if spec.model == "banks":
        free_from = np.zeros(spec.banks, np.int64)
        return {
            direction: BankedPort(width, spec.entry_words, free_from)
            for direction, width in widths.items()
        }
    return {
        direction: RateServer(None if spec.model == "unlimited" else Fraction(width))
        for direction, width in widths.items()
    }


@dataclass(slots=True)
class _Stream:
    """Data of one kind that go one way through a server, and the address of the next of them."""

    server: Server
    address: int


class MemorySystem:
    """A DRAM channel, and a read and a write port of every on-chip buffer.

    Parameters
    ----------
    dram : DramSpec
    buffers : dict of component name to BufferSpec
        Such as ``glb``.
    clock_mhz : float
    """

    def __init__(self, dram: DramSpec, buffers: dict[str, BufferSpec], clock_mhz: float) -> None:
        self._description = dram, tuple(buffers.items()), clock_mhz
        self._servers: dict[str, Server] = {"dram": _dram(dram, clock_mhz)}
        for name, buffer in buffers.items():
            self._servers |= {
                f"{name}.{direction}": server for direction, server in _ports(buffer).items()
            }
        self._free = frozenset(dram.free)
        self._streams: dict[tuple[str, str, str], _Stream] = {}
        self._queue_words = 0 if dram.model == "unlimited" else dram.write_queue_words
        self._regions = dict(_REGIONS)
        self._queue: list[tuple[Transfer, int]] = []
        self._drained = 0
        self._numbers: dict[tuple[str, str, str], tuple[int, int]] = {}

    @property
    def description(self) -> tuple[object, ...]:
        """What its memories are made of."""
        return self._description

    def forgets(self, cycle: int) -> bool:
        """Whether nothing before a cycle makes a difference to what comes then, once settled.

        Banks remember addresses.
        """
        return self._drained <= cycle and all(
            isinstance(one, RateServer) and one.free_at <= cycle * one.ticks_per_cycle
            for one in self._servers.values()
        )

    @cached_property
    def within_bits(self) -> bool:
        """Whether a compiled pass can keep the times of all servers."""
        return within_bits(self._servers.values())

    def rows(self) -> Rows:
        """Write the servers down, for a compiled pass; streams as `number` has counted them."""
        return pack(self._servers.values(), (one.address for one in self._streams.values()))

    def restore(self, rows: Rows, drained: int) -> None:
        """Go on from where a compiled pass has left the servers.

        Its last write to DRAM was safe in cycle `drained`.
        """
        unpack(rows, self._servers.values())
        for one, address in zip(self._streams.values(), rows.addresses.tolist(), strict=True):
            one.address = address
        self._drained = drained

    @property
    def drained(self) -> int:
        """Cycle in which the latest write to DRAM was safe."""
        return self._drained

    @property
    def queue_words(self) -> int:
        """Words at which the controller sends its queued writes."""
        return self._queue_words

    def takes_no_time(self, transfer: Transfer) -> bool:
        """Whether DRAM moves such data for free."""
        return transfer.component == "dram" and transfer.kind in self._free

    def number(self, transfer: Transfer) -> tuple[int, int]:
        """Return the numbers of a transfer's server and stream in `rows`."""
        key = transfer.component, transfer.direction, transfer.kind
        if key not in self._numbers:
            stream = self._stream(transfer)
            at = next(i for i, one in enumerate(self._servers.values()) if one is stream.server)
            self._numbers[key] = at, list(self._streams).index(key)
        return self._numbers[key]

    @property
    def burst_words(self) -> int:
        """Words that DRAM moves at a time."""
        return self._servers["dram"].in_bursts(1)

    @property
    def counts(self) -> Counter[str]:
        """What happened in the servers so far, by ``server.what``."""
        found = (
            (f"{name}.{what}", count)
            for name, one in self._servers.items()
            for what, count in one.counts.items()
        )
        return Counter({what: count for what, count in found if count})

    def settle(self) -> None:
        """Start afresh between phases, when nothing is under way.

        No phase's time depends on the one before (own decision).
        """
        for server in self._servers.values():
            server.settle()

    def reserve(self, transfer: Transfer, words: int, at: int, on_move: OnMove) -> Slot:
        """Queue `words` of a transfer, which can start in cycle `at`.

        What is written to DRAM is safe as soon as the controller's queue has room for it.
        """
        if not words or (transfer.component == "dram" and transfer.kind in self._free):
            return Slot(at, at, at)
        if transfer.component != "dram" or transfer.direction == "read":
            return self._reserve(transfer, words, at, on_move)
        self._queue.append((transfer, words))
        accepted = max(at, self._drained)
        if sum(queued for _, queued in self._queue) >= self._queue_words:
            accepted = self.flush(at, on_move)
        return Slot(at, accepted, accepted)

    def flush(self, at: int, on_move: OnMove) -> int:
        """Send all queued writes to DRAM; return the cycle in which it is done with them."""
        for transfer, words in self._queue:
            self._drained = max(self._drained, self._reserve(transfer, words, at, on_move).free)
        self._queue.clear()
        return max(at, self._drained)

    def _reserve(self, transfer: Transfer, words: int, at: int, on_move: OnMove) -> Slot:
        stream = self._stream(transfer)
        server = stream.server
        slot = server.reserve(words, at, transfer.direction, stream.address)
        stream.address += server.in_bursts(words)
        on_move(transfer, words, server)
        return slot

    def _stream(self, transfer: Transfer) -> _Stream:
        key = transfer.component, transfer.direction, transfer.kind
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = self._new_stream(transfer)
        return stream

    def _new_stream(self, transfer: Transfer) -> _Stream:
        component, direction = transfer.component, transfer.direction
        name = component if component == "dram" else f"{component}.{direction}"
        if name not in self._servers:
            known = dict.fromkeys(one.partition(".")[0] for one in self._servers)
            raise UndeclaredError(
                f"a transfer of {transfer.kind!r} goes to {component!r} ({direction}), which its"
                f" memory system does not have{nearest(component, known)}"
            )
        # Kinds that a machine declares lie behind the common ones, in the order of their first use.
        region = self._regions.setdefault((direction, transfer.kind), len(self._regions))
        return _Stream(self._servers[name], region * REGION_WORDS)
