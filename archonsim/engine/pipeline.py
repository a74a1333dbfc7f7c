"""Fetch -> execute -> store.

SimPy carries the coarse time of tiles and chunks, kernels the cycles inside them.

One DMA engine serves DRAM and the on-chip ports in a **fixed order** that is known before the phase
starts: the stream of the running tile, with the next tile's loads and the last tile's stores spread
evenly between its chunks. It waits for buffer space, it never chooses. So every time in the machine
is a sum or a maximum of earlier ones (a marked graph), and more bandwidth or less latency cannot
cost a cycle: a property that arbitration by arrival would lose.

More than two tile buffers allow for several lists: stores may lag behind further, which lets loads
run ahead, and leaves more to write behind the last tile. Whoever makes the list knows how long each
would take and takes the shortest (own decision), so that another buffer cannot cost a cycle,
either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from copy import deepcopy
from typing import Any

from simpy import Event

from archonsim.engine.clock import Clock
from archonsim.engine.compiled import can_compile, run_compiled
from archonsim.engine.contract import FedTile, Phase
from archonsim.engine.dma_order import Request, dma_order
from archonsim.engine.feed import Feed
from archonsim.engine.observer import SILENT, Observer
from archonsim.engine.stream_buffer import StreamBuffer
from archonsim.memory.server import Slot
from archonsim.memory.system import MemorySystem
from archonsim.spec.parts import DmaSpec
from archonsim.stats.counts import PhaseStats, Transfer

Process = Generator[Event, Any, None]


class PhaseRun:
    """One phase in flight.

    Parameters
    ----------
    env : Clock
        Its time is the array's clock, in cycles.
    memory : MemorySystem
    dma : DmaSpec
    phase : Phase
    lag : int
        Tiles by which stores are behind, less than the tile buffers.
    observer : Observer
    """

    def __init__(
        self,
        env: Clock,
        memory: MemorySystem,
        dma: DmaSpec,
        phase: Phase,
        lag: int,
        observer: Observer = SILENT,
    ) -> None:
        self._env, self._memory, self._dma, self._phase, self._lag, self._observer = (
            env,
            memory,
            dma,
            phase,
            lag,
            observer,
        )
        self.stats = PhaseStats()
        tiles = range(len(phase.tiles))
        self._loaded = [env.event() for _ in tiles]
        self._done = [env.event() for _ in tiles]
        self._stored = [env.event() for _ in tiles]
        self._stream = StreamBuffer(env, dma.stream_chunks)

    def run(self) -> Process:
        """Run the phase; a SimPy process."""
        start, before = self._now, self._activity()
        self._memory.settle()
        self._env.process(self._move())
        yield self._env.process(self._compute())
        self.stats.cycles = self._now - start
        self.stats.activity.update(self._activity() - before)
        self.stats.bounds = self._phase.bounds(self.stats)
        self._observer.phase(self._phase.name, start, self._now)

    def _activity(self) -> Counter[str]:
        return self._memory.counts + Counter({"simpy.events": self._env.events})

    @property
    def _now(self) -> int:
        return int(self._env.now)

    def _until(self, cycle: int) -> Event:
        return self._env.timeout(cycle - self._now)

    def _at(self, cycle: int, event: Event, value: int) -> None:
        """Let `event` happen in a later cycle."""

        def happen(_: Event) -> None:
            event.succeed(value)

        self._until(cycle).callbacks.append(happen)

    def _move(self) -> Process:
        """Work through the DMA's list in order."""
        steps = {"chunk": self._fetch_chunk, "load": self._fetch_loads, "store": self._write_stores}
        for request in dma_order(self._phase, self._dma.stream_chunks, self._lag):
            yield from steps[request.what](request)

    def _fetch_chunk(self, request: Request) -> Process:
        words = self._phase.tiles[request.tile].chunks[request.piece]
        if not words:
            return
        before = self._now
        yield from self._stream.room()
        self._observer.dma_waits("stream buffer full", before, self._now)
        self._observer.stream_changes(self._now, 1)
        fetch = Transfer(self._phase.stream_from[request.tile], "read", "weight", words)
        self.stats.move(fetch)
        arrival, source = self._reserve(fetch, words, self._now).arrival, fetch.component
        along = self._phase.tiles[request.tile].along
        for transfer in along[request.piece] if along else ():
            self.stats.move(transfer)
            slot = self._reserve(transfer, transfer.words, self._now)
            arrival, source = max((arrival, source), (slot.arrival, transfer.component))
        self._stream.put(arrival, source)

    def _hold(self, event: Event, reason: str) -> Process:
        """Keep the DMA waiting."""
        before = self._now
        yield event
        self._observer.dma_waits(reason, before, self._now)

    def _reserve(self, transfer: Transfer, words: int, at: int) -> Slot:
        return self._memory.reserve(transfer, words, at, self._observer.moved)

    def _read(self, request: Request, transfers: Sequence[Transfer]) -> tuple[int, int]:
        """Read a piece of some transfers.

        Return the cycles in which DRAM is done with it, and everything is.

        What comes from DRAM passes the on-chip ports while it arrives.
        """
        first = dram = through = self._now
        for transfer in transfers:
            if transfer.component == "dram":
                slot = self._reserve(
                    transfer, request.share(transfer.words, self._memory.burst_words), self._now
                )
                first, dram = max(first, slot.first), max(dram, slot.arrival)
        for transfer in transfers:
            if transfer.component != "dram":
                through = max(
                    through, self._reserve(transfer, request.share(transfer.words), first).arrival
                )
        return dram, max(dram, through)

    def _write(self, request: Request, transfers: Sequence[Transfer]) -> tuple[int, int]:
        """Write a piece of some transfers; return as `_read` does."""
        dram = through = self._now
        for transfer in transfers:
            if transfer.component == "dram":
                dram = max(
                    dram,
                    self._reserve(
                        transfer, request.share(transfer.words, self._memory.burst_words), self._now
                    ).free,
                )
            else:
                through = max(
                    through, self._reserve(transfer, request.share(transfer.words), self._now).free
                )
        if request.is_last and request.tile == len(self._phase.tiles) - 1:
            dram = max(dram, self._memory.flush(self._now, self._observer.moved))
        return dram, max(dram, through)

    def _count(self, transfers: Sequence[Transfer]) -> None:
        for transfer in transfers:
            self.stats.move(transfer)

    def _fetch_loads(self, request: Request) -> Process:
        tile = request.tile
        loads = self._phase.tiles[tile].loads
        if request.is_first:
            self._count(loads)
            if tile >= self._dma.tile_buffers:
                yield from self._hold(
                    self._done[tile - self._dma.tile_buffers], "tile buffers full"
                )
        dram, through = self._read(request, loads)
        if request.is_last:
            self._at(through, self._loaded[tile], dram)

    def _write_stores(self, request: Request) -> Process:
        tile = request.tile
        stores = self._phase.tiles[tile].stores
        if request.is_first:
            self._count(stores)
            yield from self._hold(self._done[tile], "results not ready")
        dram, through = self._write(request, stores)
        if request.is_last:
            self._at(through, self._stored[tile], dram)

    def _compute(self) -> Process:
        """The array: tile after tile, each when its loads are in."""
        feed = Feed(self._reserve, self.stats, self._now)
        for index, tile in enumerate(self._phase.tiles):
            yield from self._wait(self._loaded[index])
            self._observer.tile_begins(index, self._now, self.stats)
            if isinstance(tile, FedTile):
                running = tile.begin_fed(self._now, feed)
            else:
                running = tile.begin(self._now)
            for chunk, words in enumerate(tile.chunks):
                arrival, source = (
                    (yield from self._stream.get())
                    if words
                    else (self._now, self._phase.stream_from[index])
                )
                over = self._until(running.run(chunk, arrival, source))
                if words:
                    self._stream.release(over)
                yield over
                self._observer.chunk_ends(self._now, running)
                if words:
                    self._observer.stream_changes(self._now, -1)
            yield self._until(running.finish(self.stats))
            self._observer.tile_ends(self._now, self.stats)
            if (
                index >= self._dma.tile_buffers - 1
            ):  # the next tile's results need the buffers of an earlier one
                yield from self._wait(self._stored[index - self._dma.tile_buffers + 1])
            self._done[index].succeed()
        yield from self._wait(self._stored[-1])

    def _wait(self, event: Event) -> Process:
        """Wait for loads or stores.

        Charge DRAM until it is done with them, then the on-chip ports.
        """
        before = self._now
        dram_done: int = yield event
        now = self._now
        for_dram = max(0, min(dram_done, now) - before)
        self.stats.wait("dram", for_dram)
        self.stats.wait("glb", now - before - for_dram)
        self._observer.array_waits("dram", before, before + for_dram)
        self._observer.array_waits("glb", before + for_dram, now)


def _best_lag(now: int, memory: MemorySystem, dma: DmaSpec, phase: Phase) -> int:
    """Try all lags that the buffers allow; return the quickest, and of those the shortest."""
    lags = range(1, min(dma.tile_buffers, len(phase.tiles) + 1))

    def cycles(lag: int) -> int:
        env = Clock(now)
        trial = PhaseRun(env, deepcopy(memory), dma, phase, lag)
        env.process(trial.run())
        env.run()
        return trial.stats.cycles

    return min(lags, key=cycles) if len(lags) > 1 else 1


def run_phases(
    env: Clock,
    memory: MemorySystem,
    dma: DmaSpec,
    phases: Sequence[Phase],
    done: list[PhaseStats],
    observer: Observer = SILENT,
) -> Process:
    """Run phases one after the other (a SimPy process); append what each took to `done`.

    What nobody watches, and chooses nothing, is run by a kernel.
    """
    for phase in phases:
        now = int(env.now)
        if observer is SILENT and memory.within_bits and can_compile(phase):
            stats = run_compiled(memory, dma, phase, now)
        else:
            # A clock of its own: stores that outlast a phase are none of the next one's events.
            clock, lag = Clock(now), _best_lag(now, memory, dma, phase)
            run = PhaseRun(clock, memory, dma, phase, lag, observer)
            clock.run(until=clock.process(run.run()))
            stats = run.stats
        yield env.timeout(stats.cycles)
        done.append(stats)
