"""A phase without SimPy: written down as tables, run by a kernel, counted.

For tiles of fixed time and those with a program (:mod:`~archonsim.engine.program`), where nobody
watches. Times, counts and the number of events are those of :mod:`~archonsim.engine.pipeline`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from archonsim.engine import dma_kernel as d
from archonsim.engine import phase_kernel as k
from archonsim.engine.contract import FixedTile, Phase
from archonsim.engine.dma_order import FIRST_PIECE_WORDS
from archonsim.engine.program import Program, TileCounts
from archonsim.memory.rows import WAYS, Rows
from archonsim.memory.system import MemorySystem
from archonsim.pe import accumulate_kernel as acc
from archonsim.pe.side_by_side_kernel import FEW
from archonsim.spec.parts import DmaSpec
from archonsim.stats.counts import PhaseStats, Transfer
from archonsim.vocabulary.kinds import KINDS

Ints = NDArray[np.int64]
_COMMON = frozenset(kind.name for kind in KINDS)
_STALLS = ("dram", "glb", "masks")


def is_fixed(tile: object) -> bool:
    """Whether a tile is one of fixed time, and does nothing of its own beside."""
    return isinstance(tile, FixedTile) and type(tile).begin is FixedTile.begin


def _kinds(phase: Phase) -> Iterable[str]:
    for tile in phase.tiles:
        for transfer in (*tile.loads, *tile.stores):
            yield transfer.kind


def can_compile(phase: Phase) -> bool:
    """Whether a phase can do without SimPy.

    Kinds of data that a machine declares get their addresses in the order of their first use, which
    tables do not know.
    """
    if phase.program is None and not all(is_fixed(tile) for tile in phase.tiles):
        return False
    return _COMMON.issuperset(_kinds(phase))


@dataclass(slots=True, eq=False)
class _Tables:
    """A phase as numbers; see :mod:`archonsim.engine.dma_kernel` for the columns.

    Attributes
    ----------
    given : tuple of arrays
        But for the constants, which depend on the lag of the stores.
    sources : list of str
        Components that streams come from, by rank.
    traffic : Counter
        Words of all loads, stores and streams.
    """

    given: tuple[Ints, Ints, Ints, Ints, Ints]
    sources: list[str]
    traffic: Counter[tuple[str, str, str]]


def _moved(memory: MemorySystem, transfers: Iterable[Transfer], counts: Any) -> list[list[int]]:
    """Write transfers down that take time."""
    rows = []
    for one in transfers:
        if not one.words:
            continue
        counts[one.component, one.direction, one.kind] += one.words
        if not memory.takes_no_time(one):
            server, stream = memory.number(one)
            way = WAYS.index(one.direction)
            rows.append([one.words, server, stream, way, int(one.component == "dram")])
    return rows


def _tables(phase: Phase, memory: MemorySystem) -> _Tables:
    """Write a phase down."""
    counts: Counter[tuple[str, str, str]] = Counter()
    tiles: list[list[int]] = []
    moves: list[list[int]] = []
    words: list[int] = []
    along: list[list[int]] = []
    along_first = [0]
    sources = sorted(
        {*phase.stream_from}.union(
            one.component for tile in phase.tiles for chunk in tile.along for one in chunk
        )
    )
    first_of: dict[int, int] = {}
    for tile, source in zip(phase.tiles, phase.stream_from, strict=True):
        row = [0] * d.TILE_COLUMNS
        for at, transfers in ((d.LOAD, tile.loads), (d.STORE, tile.stores)):
            row[at] = len(moves)
            moves += _moved(memory, transfers, counts)
            row[at + 1] = len(moves)
        # Tiles of one stream share the list of its chunks.
        if id(tile.chunks) not in first_of:
            first_of[id(tile.chunks)] = len(words)
            words += tile.chunks
        row[d.FIRST], row[d.CHUNKS] = first_of[id(tile.chunks)], len(tile.chunks)
        row[d.CYCLES] = tile.cycles if isinstance(tile, FixedTile) else 0
        row[d.S_SERVER], row[d.S_RANK], row[d.ALONG] = -1, sources.index(source), -1
        streamed = Transfer(source, "read", "weight", sum(tile.chunks))
        if streamed.words:
            counts[source, "read", "weight"] += streamed.words
            if not memory.takes_no_time(streamed):
                row[d.S_SERVER], row[d.S_STREAM] = memory.number(streamed)
        if tile.along:
            row[d.ALONG] = len(along_first) - 1
            for chunk in tile.along:
                along += [_along(memory, one, sources, counts) for one in chunk]
                along_first.append(len(along))
        tiles.append(row)
    return _Tables(
        (
            np.array(tiles, np.int64),
            np.array(moves, np.int64).reshape(-1, 5),
            np.array(words, np.int64),
            np.array(along, np.int64).reshape(-1, 5),
            np.array(along_first, np.int64),
        ),
        sources,
        counts,
    )


def _along(memory: MemorySystem, one: Transfer, sources: list[str], counts: Any) -> list[int]:
    """Write down what comes along with a chunk; the last column is its source's rank."""
    server, stream = -1, 0
    if one.words:
        counts[one.component, one.direction, one.kind] += one.words
        if not memory.takes_no_time(one):
            server, stream = memory.number(one)
    return [one.words, server, stream, 0, sources.index(one.component)]


class CompiledPhase:
    """One phase, run by a kernel.

    Parameters
    ----------
    memory : MemorySystem
        Settled; left as the phase leaves it.
    dma : DmaSpec
    phase : Phase
        One that `can_compile`.
    now : int
        Cycle in which it starts.
    """

    def __init__(self, memory: MemorySystem, dma: DmaSpec, phase: Phase, now: int) -> None:
        self._memory, self._dma, self._phase, self._start = memory, dma, phase, now
        self._tables = _tables(phase, memory)
        _Accumulate(phase.program, memory)  # all streams have numbers from here on

    def run(self) -> PhaseStats:
        """Run it with the quickest list of the DMA that its buffers allow, and count."""
        self._memory.settle()
        before = self._memory.counts
        lags = range(1, min(self._dma.tile_buffers, len(self._phase.tiles) + 1))
        rows = self._memory.rows()
        best: tuple[PhaseStats, Rows, int] | None = None
        for lag in lags or (1,):
            trial = rows.copy()
            stats, drained = self._try(lag, trial)
            if best is None or stats.cycles < best[0].cycles:
                best = stats, trial, drained
        assert best is not None
        stats, rows, drained = best
        self._memory.restore(rows, drained)
        stats.activity.update(self._memory.counts - before)
        stats.traffic.update(self._tables.traffic)
        stats.bounds = self._phase.bounds(stats)
        return stats

    def _constants(self, lag: int) -> Ints:
        found = np.zeros(11, np.int64)
        program, tiles = self._phase.program, self._phase.tiles
        pieces = max(1, sum(load.words for load in tiles[0].loads) // FIRST_PIECE_WORDS)
        found[: d.FED] = (
            len(tiles),
            self._dma.tile_buffers,
            self._dma.stream_chunks,
            lag,
            pieces,
            self._memory.burst_words,
            self._memory.queue_words,
        )
        if program is not None:
            found[d.FED :] = 1, program.depth, program.stream.groups, program.hand_over
        return found

    def _state(self) -> tuple[Ints, Ints, Ints, Ints, Ints]:
        """Return what changes while the phase runs, at its start."""
        at = np.zeros(d.PLACES, np.int64)
        at[[d.CLOCK, d.SINCE, d.START]] = self._start
        at[d.DRAINED] = self._memory.drained
        tiles, moves = self._tables.given[0], self._tables.given[1]
        pieces = int(tiles[:, d.CHUNKS].max()) * len(moves) + 1
        state = (
            at,
            np.zeros((2 * len(tiles) + 16, 3), np.int64),
            np.zeros((len(tiles), 5), np.int64),
            np.zeros((self._dma.stream_chunks, 2), np.int64),
            np.zeros((min(pieces, self._memory.queue_words) + 1, 3), np.int64),
        )
        # The last entry comes first.
        state[1][:2] = (self._start, d.START_ARRAY, 0), (self._start, d.START_DMA, 0)
        at[d.QUEUED] = 2
        return state

    def _try(self, lag: int, rows: Rows) -> tuple[PhaseStats, int]:
        """Run the phase with stores so many tiles behind."""
        state, stats = self._state(), PhaseStats()
        at = state[0]
        given = (self._constants(lag), *self._tables.given)
        run = _Accumulate(self._phase.program, self._memory)
        causes = np.array([run.cause(source) for source in self._tables.sources], np.int64)
        while True:
            k.advance(state, given, run.arrays, causes, rows.arrays)
            if at[d.TILE] and self._phase.program is not None:
                run.finish(int(at[d.TILE]) - 1, int(at[d.END]), stats)
            if at[d.ARRAY] == k.END:
                break
            run.begin(at)
        for tile in self._phase.tiles:
            if isinstance(tile, FixedTile):
                tile.count(stats)
        stats.wait("dram", int(at[d.WAIT_DRAM]))
        stats.wait("glb", int(at[d.WAIT_GLB]))
        stats.cycles = int(at[d.CLOCK]) - self._start
        stats.activity["simpy.events"] += int(at[d.EVENTS])
        return stats, int(at[d.DRAINED])


#: In place of a program where tiles take a fixed time.
_NO_BEATS = (
    np.zeros(0, np.int32),
    np.zeros(1, np.int32),
    np.zeros(0, np.int32),
    np.zeros(0, np.int32),
    np.zeros(0, np.bool_),
)


class _Accumulate:
    """A program's arrays, and the running tile's."""

    def __init__(self, program: Program | None, memory: MemorySystem) -> None:
        self._program = program
        self._operands = np.full((k.SPILL + 1, k.OPERAND_COLUMNS), -1, np.int64)
        self._operands[:, k.O_USED :] = 0
        self._totals, self._waits = np.zeros(6, np.int64), np.zeros(len(_STALLS), np.int64)
        self._table, self._fifos = np.zeros(0, np.uint64), acc.empty_fifos(0, 1, FEW)
        self._masks = np.zeros(0, np.uint8)
        self._beats, self._first = _NO_BEATS, np.zeros(1, np.int32)
        self._stops = np.zeros((0, k.S_FETCH + k.SPILL), np.int64)
        self._deep: NDArray[np.uint64] | None = None
        if program is None:
            return
        self._beats, self._first = program.stream.arrays, program.first
        self._stops = program.stops
        self._planes = acc.digits(program.stream, program.depth)
        if self._planes > FEW:
            self._deep = np.zeros(self._planes, np.uint64)
        for row, operand in zip(self._operands, program.operands, strict=False):
            if operand is not None:
                row[k.O_SERVER], row[k.O_STREAM] = memory.number(operand.source)
                row[k.O_STALL] = _STALLS.index(operand.stall)
        if program.stops[:, k.S_SPILL].any():
            self._operands[k.SPILL, : k.O_WORDS] = memory.number(program.spill)

    def cause(self, source: str) -> int:
        """Return the stall of a beat that waits for what comes from a component."""
        causes = {} if self._program is None else self._program.causes
        return _STALLS.index(causes.get(source, "glb"))

    @property
    def arrays(self) -> tuple[Any, ...]:
        """What the kernel takes."""
        return (
            self._beats,
            self._first,
            self._stops,
            self._masks,
            self._operands,
            self._table,
            self._fifos,
            self._totals,
            self._waits,
            self._deep,
        )

    def begin(self, at: Ints) -> None:
        """Make the tile ready that begins now."""
        assert self._program is not None
        start = int(at[d.CLOCK])
        tile = self._program.begin(int(at[d.TILE]), start)
        words = tile.table.shape[1]
        self._table, self._masks = tile.table.reshape(-1), tile.masks
        self._fifos = acc.empty_fifos(words, self._program.stream.lanes, self._planes)
        self._totals[:] = start - 1, start - 1, 0, 0, 0, 0
        self._waits[:] = 0
        for row, sizes in zip(self._operands, tile.operands, strict=False):
            row[k.O_WORDS : k.O_STALL] = sizes
        at[d.STOP], at[d.MASKS_THERE] = 0, tile.masks_from

    def finish(self, tile: int, end: int, stats: PhaseStats) -> None:
        """Count what the tile did that has ended."""
        assert self._program is not None
        pushed, _, stalled, _, macs, sums = self._totals.tolist()
        waits = dict(zip(_STALLS, self._waits.tolist(), strict=True))
        self._program.finish(tile, TileCounts(end, pushed, stalled, waits, macs, sums), stats)


#: What phases of fixed time took, for the next image, with the memories and the DMA that they had.
_KEPT: WeakKeyDictionary[Phase, tuple[object, PhaseStats]] = WeakKeyDictionary()


def run_compiled(memory: MemorySystem, dma: DmaSpec, phase: Phase, now: int) -> PhaseStats:
    """Run a phase that `can_compile`, from a cycle on.

    What no data make a difference to is run once, and remembered for as long as there is the phase.
    """
    if phase.program is not None or not memory.forgets(now):
        return CompiledPhase(memory, dma, phase, now).run()
    machine = memory.description, dma
    known = _KEPT.get(phase)
    if known is not None and known[0] == machine:
        return known[1].copy()
    stats = CompiledPhase(memory, dma, phase, now).run()
    if memory.forgets(now + stats.cycles):
        _KEPT[phase] = machine, stats.copy()
    return stats
