"""What the engine does, stepped cycle by cycle.

The definition that :mod:`~archonsim.engine.pipeline` must meet.

No reservation is made ahead here: in each cycle the DMA issues what it may, the array does what it
can, and channel and ports move what lies at the head of their queues, one part of a cycle after the
other. Rates only; banks have definitions of their own.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from typing import Any

from archonsim.engine.contract import Phase
from archonsim.engine.dma_order import Request, dma_order
from archonsim.spec.parts import BufferSpec, DmaSpec, DramSpec
from archonsim.stats.counts import Transfer


@dataclass
class Job:
    """Words in a server's queue; cycles are None until they are known."""

    ticks: int
    direction: str
    after: list[Job] = field(default_factory=list)
    at: int = 0
    started: int | None = None
    first: int | None = None
    free: int | None = None
    arrived: int | None = None

    def may_start(self) -> int | None:
        """Cycle from which it may move.

        Not before the jobs whose data it passes on have sent their first.
        """
        cycles = [self.at, *(job.first for job in self.after)]
        return None if None in cycles else max(cycle for cycle in cycles if cycle is not None)


class QueueServer:
    """A channel or port: moves the head of its queue, a tick at a time."""

    def __init__(
        self,
        rate: Fraction,
        latency: Fraction | int = 0,
        burst: int = 1,
        turnaround: Fraction | int = 0,
    ) -> None:
        # A tick divides a word's time, the latency and the turnaround.
        self.per_cycle = lcm(rate.numerator, latency.denominator, turnaround.denominator)
        self._per_word = int(self.per_cycle / rate)
        self._latency = int(latency * self.per_cycle)
        self._turnaround = int(turnaround * self.per_cycle)
        self._burst = burst
        self._queue: deque[Job] = deque()
        self._left = 0
        self._idle_from, self._last = 0, ""

    def put(self, words: int, direction: str, at: int, after: Sequence[Job] = ()) -> Job:
        """Queue some words."""
        bursts = -(-words // self._burst) * self._burst
        job = Job(bursts * self._per_word, direction, list(after), at)
        self._queue.append(job)
        return job

    def step(self, cycle: int) -> None:
        """Let one cycle pass."""
        for tick in range(cycle * self.per_cycle, (cycle + 1) * self.per_cycle):
            if not self._queue:
                return
            job = self._queue[0]
            if job.started is None:
                start = job.may_start()
                turn = self._turnaround if self._last not in ("", job.direction) else 0
                if start is None or tick < start * self.per_cycle or tick < self._idle_from + turn:
                    continue
                job.started, job.first, self._left, self._last = (
                    tick,
                    (tick + self._latency) // self.per_cycle,
                    job.ticks,
                    job.direction,
                )
            self._left -= 1
            if not self._left:
                job.free = cycle + 1
                job.arrived = -(-(tick + 1 + self._latency) // self.per_cycle)
                self._idle_from = tick + 1
                self._queue.popleft()


@dataclass(frozen=True)
class StepFetch:
    """The next tile of an operand, which PEs take from a buffer.

    So many of its words fit beside the current tile.
    """

    operand: str
    words: int
    ahead: int


#: The buffer that running tiles fetch from.
FED_FROM = "prediction_glb"


@dataclass
class StepTile:
    """A tile: (words, cycles) for each chunk of its stream, and what PEs fetch for each."""

    loads: Sequence[Transfer]
    stores: Sequence[Transfer]
    chunks: Sequence[tuple[int, int]]
    fetches: Sequence[Sequence[StepFetch]] = ()


@dataclass
class _Moved:
    """A tile's loads or stores: the jobs of their last piece, and when it was issued."""

    issued: int
    dram: list[Job]
    ports: list[Job]

    def over(self, reads: bool) -> tuple[int, int] | None:
        """Cycles in which DRAM and everything is done, once known."""
        dram = [job.arrived if reads else job.free for job in self.dram]
        ports = [job.free for job in self.ports]
        known = [cycle for cycle in (*dram, *ports) if cycle is not None]
        if len(known) < len(dram) + len(ports):
            return None
        return max([self.issued, *(c for c in dram if c is not None)]), max([self.issued, *known])


class StepPhase:
    """A phase, stepped."""

    def __init__(
        self,
        phase: Phase,
        tiles: Sequence[StepTile],
        dma: DmaSpec,
        dram: DramSpec,
        buffers: dict[str, BufferSpec],
        clock_mhz: float,
        lag: int,
    ) -> None:
        self._tiles, self._dma, self._queue_words = tiles, dma, dram.write_queue_words
        self._burst = dram.burst_words
        self._dram = QueueServer(
            dram.words_per_cycle(clock_mhz),
            dram.latency(clock_mhz),
            dram.burst_words,
            dram.turnaround(clock_mhz),
        )
        self._ports = {
            (name, direction): QueueServer(Fraction(words))
            for name, one in buffers.items()
            for direction, words in (
                ("read", one.read_words_per_cycle),
                ("write", one.write_words_per_cycle),
            )
        }
        self._list = deque(dma_order(phase, dma.stream_chunks, lag))
        self._loaded: dict[int, _Moved] = {}
        self._stored: dict[int, _Moved] = {}
        self._done: set[int] = set()
        self._held: list[tuple[str, int]] = []
        self._draining: list[Job] = []
        self._chunks: deque[Job] = deque()
        self._in_buffer = 0
        self.stalls: Counter[str] = Counter()
        self._reached: dict[tuple[int, int], Job] = {}
        self._fetched: dict[tuple[int, int], list[Job]] = {}
        self._plan_fetches()

    def _plan_fetches(self) -> None:
        """Queue all fetches; a word moves once the array has reached the chunk that makes room.

        A scratchpad holds an operand's current tile and some words of the next one. So when a chunk
        needs another tile, the current one is given up, and the rest of the new one may come; and
        the words that fit ahead of the tile behind it.
        """
        start = Job(0, "read", first=0)
        given_up: dict[str, Job] = {}  # when the tile before the current one was
        for index, tile in enumerate(self._tiles):
            for chunk, fetches in enumerate(tile.fetches):
                here = self._reached[index, chunk] = Job(0, "read")
                self._fetched[index, chunk] = []
                for one in fetches:
                    held = one.operand in given_up
                    before, now = given_up.get(one.operand, start), here if held else start
                    for words, room in ((one.ahead, before), (one.words - one.ahead, now)):
                        if words:
                            port = self._ports[FED_FROM, "read"]
                            self._fetched[index, chunk].append(port.put(words, "read", 0, [room]))
                    given_up[one.operand] = now

    def run(self) -> int:
        """Return the cycles of the phase; `stalls` holds those in which the array waited."""
        array: Any = self._array()  # type: ignore[no-untyped-call]
        now, ready = 0, next(array)
        while True:
            progress = True
            while progress:
                progress = self._issue(now)
                if ready(now):
                    try:
                        ready, progress = array.send(now), True
                    except StopIteration:
                        return now
            self._dram.step(now)
            for port in self._ports.values():
                port.step(now)
            now += 1

    # The DMA

    def _issue(self, now: int) -> bool:
        """Issue the list's next request if nothing holds it back."""
        if not self._list or self._blocked(self._list[0]):
            return False
        request = self._list.popleft()
        tile = self._tiles[request.tile]
        if request.what == "chunk":
            words = tile.chunks[request.piece][0]
            if words:
                self._in_buffer += 1
                self._chunks.append(self._dram.put(words, "read", now))
        elif request.what == "load":
            self._load(request, tile.loads, now)
        else:
            self._store(request, tile.stores, now)
        return True

    def _blocked(self, request: Request) -> bool:
        if request.what == "chunk":
            return (
                bool(self._tiles[request.tile].chunks[request.piece][0])
                and self._in_buffer == self._dma.stream_chunks
            )
        needs = request.tile if request.what == "store" else request.tile - self._dma.tile_buffers
        return request.is_first and needs >= 0 and needs not in self._done

    def _load(self, request: Request, loads: Sequence[Transfer], now: int) -> None:
        shares = [
            (one, request.share(one.words, self._burst if one.component == "dram" else 1))
            for one in loads
        ]
        dram = [
            self._dram.put(words, "read", now)
            for one, words in shares
            if one.component == "dram" and words
        ]
        ports = [
            self._ports[one.component, one.direction].put(words, one.direction, now, dram)
            for one, words in shares
            if one.component != "dram" and words
        ]
        if request.is_last:
            self._loaded[request.tile] = _Moved(now, dram, ports)

    def _store(self, request: Request, stores: Sequence[Transfer], now: int) -> None:
        dram, ports = [], []
        for one in stores:
            if one.component == "dram":
                words = request.share(one.words, self._burst)
                if words:
                    dram += self._write(words, now)
            elif request.share(one.words):
                ports.append(
                    self._ports[one.component, one.direction].put(
                        request.share(one.words), one.direction, now
                    )
                )
        if request.is_last:
            if request.tile == len(self._tiles) - 1:
                dram += self._drain(now)
            self._stored[request.tile] = _Moved(now, dram, ports)

    def _write(self, words: int, now: int) -> list[Job]:
        """Queue a write in the controller; return what must be through before it is safe."""
        self._held.append(("write", words))
        if sum(words for _, words in self._held) >= self._queue_words:
            return self._drain(now)
        return list(self._draining)

    def _drain(self, now: int) -> list[Job]:
        self._draining += [self._dram.put(words, direction, now) for direction, words in self._held]
        self._held.clear()
        return list(self._draining)

    # The array: a generator that yields what it waits for, as a question to ask each cycle

    def _array(self):  # type: ignore[no-untyped-def]
        now = yield lambda now: True
        for index, tile in enumerate(self._tiles):
            now = yield from self._wait(self._loaded, index, now, reads=True)
            for chunk, (words, cycles) in enumerate(tile.chunks):
                if (index, chunk) in self._reached:
                    self._reached[index, chunk].first = now
                if words:
                    before = now
                    now = yield self._chunk_is_there
                    self.stalls["stream"] += now - before
                    self._chunks.popleft()
                fetched = self._fetched.get((index, chunk), [])
                before = now
                now = yield lambda now, fetched=fetched: all(
                    job.arrived is not None and job.arrived <= now for job in fetched
                )
                self.stalls["masks"] += now - before
                end = now + cycles
                now = yield lambda now, end=end: now == end
                self._in_buffer -= bool(words)
            before = index - self._dma.tile_buffers + 1
            if before >= 0:
                now = yield from self._wait(self._stored, before, now, reads=False)
            self._done.add(index)
        yield from self._wait(self._stored, len(self._tiles) - 1, now, reads=False)

    def _chunk_is_there(self, now: int) -> bool:
        arrived = self._chunks[0].arrived if self._chunks else None
        return arrived is not None and arrived <= now

    def _wait(self, moved: dict[int, _Moved], tile: int, since: int, *, reads: bool):  # type: ignore[no-untyped-def]
        def ready(now: int) -> bool:
            over = moved[tile].over(reads) if tile in moved else None
            return over is not None and over[1] <= now

        now = yield ready
        over = moved[tile].over(reads)
        assert over is not None
        for cycle in range(since, now):
            self.stalls["dram" if cycle < over[0] else "glb"] += 1
        return now
