"""Events of one image's run, in append-only columns."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Spans:
    """Labelled spans of one track, in the order in which they began.

    Attributes
    ----------
    label : list of str
    start, end : list of int
        In cycles; ``end`` is the cycle after the last.
    """

    label: list[str] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)

    def add(self, label: str, start: int, end: int) -> None:
        """Append a span; one without a cycle is left out."""
        if end > start:
            self.label.append(label)
            self.start.append(start)
            self.end.append(end)


@dataclass(frozen=True, slots=True)
class Tiles:
    """Tiles in the array, in order.

    Attributes
    ----------
    index : list of int
        Number within the phase.
    start, end : list of int
        In cycles.
    compute : list of int
        Cycles in which the array issued work.
    stalls : list of dict of cause to cycles
        The tile's other cycles.
    """

    index: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    compute: list[int] = field(default_factory=list)
    stalls: list[dict[str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Moves:
    """Transfers of one channel or port, in the order in which it served them.

    Attributes
    ----------
    ticks_per_cycle : int
        Ticks of this server's clock in one cycle of the array's.
    label : list of str
        ``direction.kind``.
    start, end : list of int
        In ticks.
    words : list of int
        16-bit words asked for.
    moved : list of int
        16-bit words moved: whole bursts.
    """

    ticks_per_cycle: int
    label: list[str] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Level:
    """A number that changes in steps, from 0 in cycle 0 on.

    Attributes
    ----------
    at : list of int
        Cycles, never falling.
    value : list of int
        From that cycle on, until the next entry.
    """

    at: list[int] = field(default_factory=list)
    value: list[int] = field(default_factory=list)

    def change(self, at: int, by: int) -> None:
        """Add `by` in cycle `at`."""
        self.at.append(at)
        self.value.append((self.value[-1] if self.value else 0) + by)


@dataclass(frozen=True, slots=True)
class Timeline:
    """All tracks.

    Attributes
    ----------
    phases : Spans
    tiles : Tiles
    waits : Spans
        The array between tiles: label ``dram`` or ``glb``, as in `PhaseStats.stalls`.
    dma : Spans
        The DMA waiting; the label says for what.
    servers : dict of name to Moves
        ``dram``, and ``glb.read``, say, for a port.
    stream_chunks : Level
        Chunks of the stream that are in the buffer or on their way to it.
    fifo_entries : Level
        Survivors in the FIFOs of all PEs, sampled at the end of each chunk.
    """

    phases: Spans = field(default_factory=Spans)
    tiles: Tiles = field(default_factory=Tiles)
    waits: Spans = field(default_factory=Spans)
    dma: Spans = field(default_factory=Spans)
    servers: dict[str, Moves] = field(default_factory=dict)
    stream_chunks: Level = field(default_factory=Level)
    fifo_entries: Level = field(default_factory=Level)
