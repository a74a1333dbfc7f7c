"""Observers of a run: the engine reports its events to them.

Observing changes no timing: observers return nothing.
"""

from __future__ import annotations

from collections import Counter

from archonsim.engine.contract import RunningTile
from archonsim.memory.server import Server
from archonsim.stats.counts import PhaseStats, Transfer
from archonsim.stats.timeline import Moves, Timeline


class Observer:
    """The default observer, which ignores every event.

    Times are cycles; an end is the cycle after the last.
    """

    def phase(self, name: str, start: int, end: int) -> None:
        """A phase has ended."""

    def tile_begins(self, index: int, at: int, stats: PhaseStats) -> None:
        """Tile number `index` of the running phase enters the array.

        `stats` are the phase's so far.
        """

    def tile_ends(self, at: int, stats: PhaseStats) -> None:
        """The tile leaves the array; `stats` hold its cycles now."""

    def array_waits(self, cause: str, start: int, end: int) -> None:
        """The array waited between two tiles; `cause` as in `PhaseStats.stalls`."""

    def dma_waits(self, reason: str, start: int, end: int) -> None:
        """The DMA waited before its next transfer."""

    def moved(self, transfer: Transfer, words: int, server: Server) -> None:
        """`server` has reserved time for `words` of a transfer."""

    def chunk_ends(self, at: int, running: RunningTile) -> None:
        """The running tile is through with a chunk."""

    def stream_changes(self, at: int, by: int) -> None:
        """A chunk of the stream takes (+1) or gives back (-1) its place in the buffer."""


SILENT = Observer()


class Recorder(Observer):
    """Writes everything down.

    Attributes
    ----------
    timeline : Timeline
    """

    def __init__(self) -> None:
        self.timeline = Timeline()
        self._compute_before = 0
        self._stalls_before: Counter[str] = Counter()

    def phase(self, name: str, start: int, end: int) -> None:
        """Append to ``timeline.phases``, even without a cycle: each has its row in the report."""
        phases = self.timeline.phases
        phases.label.append(name)
        phases.start.append(start)
        phases.end.append(end)

    def tile_begins(self, index: int, at: int, stats: PhaseStats) -> None:
        """Keep the phase's counts, to know the tile's at its end."""
        self.timeline.tiles.index.append(index)
        self.timeline.tiles.start.append(at)
        self._compute_before, self._stalls_before = stats.compute, stats.stalls.copy()

    def tile_ends(self, at: int, stats: PhaseStats) -> None:
        """Append to ``timeline.tiles``."""
        tiles = self.timeline.tiles
        tiles.end.append(at)
        self._fifos_hold(at, 0)
        tiles.compute.append(stats.compute - self._compute_before)
        tiles.stalls.append(dict(stats.stalls - self._stalls_before))

    def array_waits(self, cause: str, start: int, end: int) -> None:
        """Append to ``timeline.waits``."""
        self.timeline.waits.add(cause, start, end)

    def dma_waits(self, reason: str, start: int, end: int) -> None:
        """Append to ``timeline.dma``."""
        self.timeline.dma.add(reason, start, end)

    def moved(self, transfer: Transfer, words: int, server: Server) -> None:
        """Append to the server's track."""
        if not words:
            return
        name = (
            "dram" if transfer.component == "dram" else f"{transfer.component}.{transfer.direction}"
        )
        moves = self.timeline.servers.get(name)
        if moves is None:
            moves = self.timeline.servers[name] = Moves(server.ticks_per_cycle)
        start, end = server.last_span
        moves.label.append(f"{transfer.direction}.{transfer.kind}")
        moves.start.append(start)
        moves.end.append(end)
        moves.words.append(words)
        moves.moved.append(server.in_bursts(words))

    def chunk_ends(self, at: int, running: RunningTile) -> None:
        """Append to ``timeline.fifo_entries``."""
        self._fifos_hold(at, running.queued)

    def _fifos_hold(self, at: int, entries: int) -> None:
        level = self.timeline.fifo_entries
        before = level.value[-1] if level.value else 0
        if entries != before:
            level.change(at, entries - before)

    def stream_changes(self, at: int, by: int) -> None:
        """Append to ``timeline.stream_chunks``."""
        self.timeline.stream_chunks.change(at, by)
