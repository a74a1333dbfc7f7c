"""The memories of one machine, as servers that share one clock."""

from __future__ import annotations

from fractions import Fraction

from archonsim.memory.server import Server
from archonsim.spec.parts import BufferSpec, DramSpec
from archonsim.stats.counts import Transfer


class MemorySystem:
    """A DRAM channel, and a read and a write port of every on-chip buffer.

    Parameters
    ----------
    dram : DramSpec
    buffers : dict of component name to BufferSpec
        ``glb``, ``prediction_glb``.
    clock_mhz : float
    """

    def __init__(self, dram: DramSpec, buffers: dict[str, BufferSpec], clock_mhz: float) -> None:
        rate = None if dram.model == "unlimited" else dram.words_per_cycle(clock_mhz)
        self.dram = Server(rate, dram.latency_cycles, dram.burst_words)
        self._free = frozenset(dram.free)
        self._ports: dict[tuple[str, str], Server] = {}
        for name, buffer in buffers.items():
            for direction, words in (("read", buffer.read_words_per_cycle), ("write", buffer.write_words_per_cycle)):
                self._ports[name, direction] = Server(None if buffer.model == "unlimited" else Fraction(words))

    def is_free(self, transfer: Transfer) -> bool:
        """Whether a transfer takes no time because its kind is free of charge."""
        return transfer.component == "dram" and transfer.kind in self._free

    def server(self, component: str, direction: str) -> Server:
        """Return the server behind one direction of a component; DRAM has one for both."""
        return self.dram if component == "dram" else self._ports[component, direction]
