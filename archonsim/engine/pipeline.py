"""Fetch -> execute -> store: SimPy carries the coarse time of tiles and chunks, kernels the cycles inside them.

One DMA engine serves DRAM and the on-chip ports in a **fixed order** that is known before the phase starts: the stream of
the running tile, with the next tile's loads and the last tile's stores spread evenly between its chunks. It waits for buffer
space, it never chooses. So every time in the machine is a sum or a maximum of earlier ones (a marked graph), and more
bandwidth or less latency cannot cost a cycle: a property that arbitration by arrival would lose.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from simpy import Container, Environment, Event, Store

from archonsim.engine.contract import Phase
from archonsim.engine.observer import SILENT, Observer
from archonsim.memory.server import Slot
from archonsim.memory.system import MemorySystem
from archonsim.spec.parts import DmaSpec
from archonsim.stats.counts import PhaseStats, Transfer

Process = Generator[Event, Any, None]

#: The first tile's loads are cut into pieces of about this many words, so that DRAM and on-chip ports overlap.
FIRST_PIECE_WORDS = 512


@dataclass(frozen=True, slots=True)
class Request:
    """One entry of the DMA's list: chunk number `piece` of a tile's stream, or a piece of its loads or stores."""

    what: Literal["chunk", "load", "store"]
    tile: int
    piece: int
    of: int

    @property
    def is_first(self) -> bool:
        """Whether this is the first piece."""
        return self.piece == 0

    @property
    def is_last(self) -> bool:
        """Whether this is the last piece."""
        return self.piece + 1 == self.of

    def share(self, words: int) -> int:
        """Words of this piece when `words` are cut as evenly as integers allow."""
        return words * (self.piece + 1) // self.of - words * self.piece // self.of


def dma_order(phase: Phase, stream_chunks: int) -> Iterator[Request]:
    """Yield the DMA's requests of a phase in their fixed order.

    Pieces of loads and stores wait for the tile before to end; the first `stream_chunks` chunks of a tile, which need not,
    go ahead of them.
    """
    last = len(phase.tiles) - 1
    first_pieces = max(1, sum(load.words for load in phase.tiles[0].loads) // FIRST_PIECE_WORDS)
    for piece in range(first_pieces):
        yield Request("load", 0, piece, first_pieces)
    for index, tile in enumerate(phase.tiles):
        count = len(tile.chunks)
        lead = min(stream_chunks, count)
        pieces = count - lead + 1
        for chunk in range(count):
            yield Request("chunk", index, chunk, count)
            piece = chunk - lead + 1
            if piece >= 0 and index > 0:
                yield Request("store", index - 1, piece, pieces)
            if piece >= 0 and index < last:
                yield Request("load", index + 1, piece, pieces)
    yield Request("store", last, 0, 1)


class PhaseRun:
    """One phase in flight.

    Parameters
    ----------
    env : simpy.Environment
        Its time is the array's clock, in cycles.
    memory : MemorySystem
    dma : DmaSpec
    phase : Phase
    observer : Observer
    """

    def __init__(self, env: Environment, memory: MemorySystem, dma: DmaSpec, phase: Phase, observer: Observer = SILENT) -> None:
        self._env, self._memory, self._dma, self._phase, self._observer = env, memory, dma, phase, observer
        self.stats = PhaseStats()
        tiles = range(len(phase.tiles))
        self._loaded = [env.event() for _ in tiles]
        self._done = [env.event() for _ in tiles]
        self._stored = [env.event() for _ in tiles]
        self._arrivals = Store(env)
        self._slots = Container(env, capacity=dma.stream_chunks, init=dma.stream_chunks)

    def run(self) -> Process:
        """Run the phase; a SimPy process."""
        start = self._now
        self._env.process(self._move())
        yield self._env.process(self._compute())
        self.stats.cycles = self._now - start
        self._observer.phase(self._phase.name, start, self._now)

    @property
    def _now(self) -> int:
        return int(self._env.now)

    def _until(self, cycle: int) -> Event:
        return self._env.timeout(cycle - self._now)

    def _at(self, cycle: int, event: Event, value: int) -> Process:
        yield self._until(cycle)
        event.succeed(value)

    def _move(self) -> Process:
        """Work through the DMA's list in order."""
        steps = {"chunk": self._fetch_chunk, "load": self._fetch_loads, "store": self._write_stores}
        for request in dma_order(self._phase, self._dma.stream_chunks):
            yield from steps[request.what](request)

    def _fetch_chunk(self, request: Request) -> Process:
        words = self._phase.tiles[request.tile].chunks[request.piece]
        if not words:
            return
        yield from self._hold(self._slots.get(1), "stream buffer full")
        self._observer.stream_changes(self._now, 1)
        fetch = Transfer(self._phase.stream_from[request.tile], "read", "weight", words)
        self.stats.move(fetch)
        yield self._arrivals.put(self._reserve(fetch, words, self._now).arrival)

    def _hold(self, event: Event, reason: str) -> Process:
        """Keep the DMA waiting."""
        before = self._now
        yield event
        self._observer.dma_waits(reason, before, self._now)

    def _reserve(self, transfer: Transfer, words: int, at: int) -> Slot:
        if self._memory.is_free(transfer):
            return Slot(at, at, at)
        server = self._memory.server(transfer.component, transfer.direction)
        slot = server.reserve(words, at)
        self._observer.moved(transfer, words, server)
        return slot

    def _read(self, request: Request, transfers: Sequence[Transfer]) -> tuple[int, int]:
        """Read a piece of some transfers; return the cycles in which DRAM is done with it, and everything is.

        What comes from DRAM passes the on-chip ports while it arrives.
        """
        first = dram = through = self._now
        for transfer in transfers:
            if transfer.component == "dram":
                slot = self._reserve(transfer, request.share(transfer.words), self._now)
                first, dram = max(first, slot.first), max(dram, slot.arrival)
        for transfer in transfers:
            if transfer.component != "dram":
                through = max(through, self._reserve(transfer, request.share(transfer.words), first).arrival)
        return dram, max(dram, through)

    def _write(self, request: Request, transfers: Sequence[Transfer]) -> tuple[int, int]:
        """Write a piece of some transfers; return as `_read` does."""
        dram = through = self._now
        for transfer in transfers:
            free = self._reserve(transfer, request.share(transfer.words), self._now).free
            if transfer.component == "dram":
                dram = max(dram, free)
            through = max(through, free)
        return dram, through

    def _count(self, transfers: Sequence[Transfer]) -> None:
        for transfer in transfers:
            self.stats.move(transfer)

    def _fetch_loads(self, request: Request) -> Process:
        tile = request.tile
        loads = self._phase.tiles[tile].loads
        if request.is_first:
            self._count(loads)
            if tile >= 2:  # double buffering: the tile before last must have left its buffers
                yield from self._hold(self._done[tile - 2], "tile buffers full")
        dram, through = self._read(request, loads)
        if request.is_last:
            self._env.process(self._at(through, self._loaded[tile], dram))

    def _write_stores(self, request: Request) -> Process:
        tile = request.tile
        stores = self._phase.tiles[tile].stores
        if request.is_first:
            self._count(stores)
            yield from self._hold(self._done[tile], "results not ready")
        dram, through = self._write(request, stores)
        if request.is_last:
            self._env.process(self._at(through, self._stored[tile], dram))

    def _compute(self) -> Process:
        """The array: tile after tile, each when its loads are in."""
        for index, tile in enumerate(self._phase.tiles):
            yield from self._wait(self._loaded[index])
            self._observer.tile_begins(index, self._now, self.stats)
            running = tile.begin(self._now)
            for chunk, words in enumerate(tile.chunks):
                arrival: Any = self._now
                if words:
                    arrival = yield self._arrivals.get()
                yield self._until(running.run(chunk, arrival))
                if words:
                    yield self._slots.put(1)
                    self._observer.stream_changes(self._now, -1)
            yield self._until(running.finish(self.stats))
            self._observer.tile_ends(self._now, self.stats)
            if index:
                yield from self._wait(self._stored[index - 1])
            self._done[index].succeed()
        yield from self._wait(self._stored[-1])

    def _wait(self, event: Event) -> Process:
        """Wait for loads or stores; charge DRAM until it is done with them, then the on-chip ports."""
        before = self._now
        dram_done: int = yield event
        now = self._now
        for_dram = max(0, min(dram_done, now) - before)
        self.stats.wait("dram", for_dram)
        self.stats.wait("glb", now - before - for_dram)
        self._observer.array_waits("dram", before, before + for_dram)
        self._observer.array_waits("glb", before + for_dram, now)


def run_phases(
    env: Environment, memory: MemorySystem, dma: DmaSpec, phases: Sequence[Phase], done: list[PhaseStats],
    observer: Observer = SILENT,
) -> Process:  # fmt: skip
    """Run phases one after the other (a SimPy process); append what each took to `done`."""
    for phase in phases:
        run = PhaseRun(env, memory, dma, phase, observer)
        yield env.process(run.run())
        done.append(run.stats)
