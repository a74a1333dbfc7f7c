"""The event model against the stepped one, on random small phases.

Same cycles, same owners of the stalls.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from archonsim.engine.clock import Clock
from archonsim.engine.contract import Phase, RunningTile
from archonsim.engine.feed import Feed
from archonsim.engine.observer import Observer
from archonsim.engine.pipeline import run_phases
from archonsim.engine.pipeline_reference import FED_FROM, StepFetch, StepPhase, StepTile
from archonsim.memory.server import Server
from archonsim.memory.system import MemorySystem
from archonsim.spec.parts import BufferSpec, DmaSpec, DramSpec
from archonsim.stats.counts import PhaseStats, Transfer
from tests.examples import examples


class ChunkTile:
    """A tile whose chunks take fixed times once their data are there.

    What its PEs fetch counts, too.
    """

    def __init__(self, step: StepTile) -> None:
        self.fetches = step.fetches
        self.loads, self.stores = step.loads, step.stores
        self.chunks = tuple(words for words, _ in step.chunks)
        self.cycles = tuple(cycles for _, cycles in step.chunks)
        self.along = ()

    def begin(self, start: int) -> RunningTile:
        raise NotImplementedError

    def begin_fed(self, start: int, feed: Feed) -> RunningTile:
        return _RunningChunkTile(self, start, feed)


class _RunningChunkTile:
    queued = 0

    def __init__(self, tile: ChunkTile, start: int, feed: Feed) -> None:
        self._tile, self._now, self._feed = tile, start, feed
        self._waited = self._waited_for_masks = 0

    def run(self, chunk: int, arrival: int, source: str) -> int:
        ready = 0
        for one in self._tile.fetches[chunk] if self._tile.fetches else ():
            self._feed.used(one.operand, self._now)
            fetch = Transfer(FED_FROM, "read", "mask", one.words)
            ready = max(ready, self._feed.fetch(one.operand, fetch, one.ahead, 0))
        self._waited += max(0, arrival - self._now)
        self._now = max(self._now, arrival)
        self._waited_for_masks += max(0, ready - self._now)
        self._now = max(self._now, ready) + self._tile.cycles[chunk]
        return self._now

    def finish(self, stats: PhaseStats) -> int:
        stats.wait("stream", self._waited)
        stats.wait("masks", self._waited_for_masks)
        stats.compute += sum(self._tile.cycles)
        return self._now


@st.composite
def transfers(draw: st.DrawFn, direction: str, *, large: bool = False) -> list[Transfer]:
    kind = "input" if direction == "read" else "output"
    places = draw(st.lists(st.sampled_from(["dram", "glb"]), max_size=3))
    words = st.integers(0, 40) | st.sampled_from([1030, 1537]) if large else st.integers(0, 40)
    return [Transfer(place, direction, kind, draw(words)) for place in places]  # type: ignore[arg-type]


TILES = st.lists(
    st.builds(
        StepTile,
        loads=transfers("read"),
        stores=transfers("write"),
        chunks=st.lists(
            st.tuples(st.sampled_from([0, 3, 8, 21]), st.integers(0, 12)), min_size=1, max_size=5
        ),
    ),
    min_size=1,
    max_size=6,
)
DRAMS = st.builds(
    DramSpec,
    gigabytes_per_second=st.sampled_from([0.7, 1.0, 1.6, 3.0, 4.0]),
    latency_ns=st.sampled_from([0.0, 2.0, 3.0, 5.3, 11.0]),
    latency_cycles=st.none() | st.integers(0, 9),
    burst_words=st.sampled_from([1, 4]),
    turnaround_ns=st.sampled_from([0.0, 1.0, 4.7]),
    turnaround_cycles=st.none() | st.integers(0, 5),
    write_queue_words=st.sampled_from([0, 16, 64, 1000]),
)
BUFFERS = st.builds(
    BufferSpec,
    words=st.just(1),
    read_words_per_cycle=st.integers(1, 5),
    write_words_per_cycle=st.integers(1, 5),
    banks=st.just(1),
    entry_words=st.just(1),
)
DMAS = st.builds(
    DmaSpec, chunk_words=st.just(1), stream_chunks=st.integers(1, 4), tile_buffers=st.integers(2, 4)
)
CLOCK_MHZ = 500.0


def run_alone(phase: Phase, dram: DramSpec, glb: BufferSpec, dma: DmaSpec) -> PhaseStats:
    env, done = Clock(), list[PhaseStats]()
    memory = MemorySystem(dram, {"glb": glb, FED_FROM: glb}, CLOCK_MHZ)
    env.process(run_phases(env, memory, dma, [phase], done))
    env.run()
    return done[0]


FETCHES = st.integers(0, 60).flatmap(
    lambda words: st.builds(
        StepFetch,
        operand=st.sampled_from(["keep1", "keep2"]),
        words=st.just(words),
        ahead=st.integers(0, words),
    )
)


@st.composite
def fed_tiles(draw: st.DrawFn) -> list[StepTile]:
    """Tiles whose PEs fetch up to three tiles of operands for a chunk."""
    return [
        replace(
            tile,
            fetches=[draw(st.lists(FETCHES, max_size=3)) for _ in tile.chunks],
        )
        for tile in draw(TILES)
    ]


def phase_of(steps: list[StepTile]) -> Phase:
    return Phase(
        name="layer", tiles=[ChunkTile(step) for step in steps], stream_from=["dram"] * len(steps)
    )


class _Listener(Observer):
    """Keeps what the engine says."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int, int]] = []
        self.waits: Counter[str] = Counter()
        self.dma: list[tuple[str, int, int]] = []
        self.held: list[tuple[int, int]] = []
        self.tiles: list[tuple[int, int, int]] = []
        self.chunks: list[int] = []
        self.moves: Counter[tuple[str, str, str]] = Counter()
        self._begun = (0, 0)

    def phase(self, name: str, start: int, end: int) -> None:
        self.phases.append((name, start, end))

    def tile_begins(self, index: int, at: int, stats: PhaseStats) -> None:
        self._begun = (index, at)

    def tile_ends(self, at: int, stats: PhaseStats) -> None:
        self.tiles.append((*self._begun, at))

    def array_waits(self, cause: str, start: int, end: int) -> None:
        assert 0 <= start <= end
        self.waits[cause] += end - start

    def dma_waits(self, reason: str, start: int, end: int) -> None:
        self.dma.append((reason, start, end))

    def moved(self, transfer: Transfer, words: int, server: Server) -> None:
        self.moves[transfer.component, transfer.direction, transfer.kind] += words

    def chunk_ends(self, at: int, running: RunningTile) -> None:
        self.chunks.append(at)

    def stream_changes(self, at: int, by: int) -> None:
        self.held.append((at, by))


@examples(60)
@given(TILES, DRAMS, BUFFERS, DMAS, st.integers(0, 9))
def test_an_observer_hears_what_the_stats_say(
    steps: list[StepTile], dram: DramSpec, glb: BufferSpec, dma: DmaSpec, start: int
) -> None:
    phase, heard = phase_of(steps), _Listener()
    phase = replace(phase, bounds=lambda stats: {"port": stats.cycles})
    # What comes with the first chunk, in time for it.
    mask = Transfer("glb", "read", "mask", 3)
    for tile in phase.tiles:
        tile.along = tuple([mask] if at == 0 else [] for at in range(len(tile.chunks)))  # type: ignore[misc]
    env, done = Clock(start), list[PhaseStats]()
    memory = MemorySystem(dram, {"glb": glb, FED_FROM: glb}, CLOCK_MHZ)
    env.process(run_phases(env, memory, dma, [phase], done, heard))
    env.run()
    stats = done[0]
    assert heard.phases == [("layer", start, start + stats.cycles)]
    assert stats.bounds == {"port": stats.cycles}
    assert {cause: stats.stalls[cause] for cause in ("dram", "glb")} == {
        cause: heard.waits[cause] for cause in ("dram", "glb")
    }
    streamed = sum(words > 0 for tile in phase.tiles for words in tile.chunks)
    changes = [by for _, by in sorted(heard.held)]  # what goes, goes first
    assert Counter(by for _, by in heard.held) == Counter({1: streamed, -1: streamed})
    assert all(0 <= sum(changes[:at]) <= dma.stream_chunks for at in range(len(changes)))
    assert [index for index, _, _ in heard.tiles] == list(range(len(steps)))
    assert all(begin <= end for _, begin, end in heard.tiles)
    assert len(heard.chunks) == sum(len(tile.chunks) for tile in phase.tiles)
    assert all(start <= begin <= end for _, begin, end in heard.dma)
    expected: Counter[tuple[str, str, str]] = Counter()
    for tile in phase.tiles:
        first = [mask] if tile.chunks[0] else []
        chunks = [Transfer("dram", "read", "weight", words) for words in tile.chunks]
        for one in (*tile.loads, *tile.stores, *chunks, *first):
            expected[one.component, one.direction, one.kind] += one.words
    assert +expected == stats.traffic == +heard.moves
    assert stats.activity["simpy.events"] > 0
    assert {name: count for name, count in stats.activity.items() if "." in name} == dict(
        memory.counts + Counter({"simpy.events": stats.activity["simpy.events"]})
    )


@examples(400)
@given(TILES, DRAMS, BUFFERS, DMAS, st.booleans())
def test_another_tile_buffer_never_costs_a_cycle(
    steps: list[StepTile], dram: DramSpec, glb: BufferSpec, dma: DmaSpec, banks: bool
) -> None:
    """Not even where stores that may come later would all pile up behind the last tile."""
    dram = replace(dram, model="banks", device="ddr4-2400") if banks else dram
    cycles = [
        run_alone(phase_of(steps), dram, glb, replace(dma, tile_buffers=buffers)).cycles
        for buffers in range(2, 7)
    ]
    assert cycles == sorted(cycles, reverse=True)


@examples(400)
@given(TILES | fed_tiles(), DRAMS, BUFFERS, DMAS)
def test_the_event_model_takes_the_cycles_of_the_stepped_one(
    steps: list[StepTile], dram: DramSpec, glb: BufferSpec, dma: DmaSpec
) -> None:
    phase = phase_of(steps)
    stats = run_alone(phase, dram, glb, dma)
    lists = [
        StepPhase(phase, steps, dma, dram, {"glb": glb, FED_FROM: glb}, CLOCK_MHZ, lag)
        for lag in range(1, dma.tile_buffers)
    ]
    cycles, stalls = min(((one.run(), one.stalls) for one in lists), key=lambda pair: pair[0])
    assert cycles == stats.cycles
    assert +stalls == Counter(stats.stalls)
    assert stats.cycles == stats.compute + sum(stats.stalls.values())
