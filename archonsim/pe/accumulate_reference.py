"""ARCHON's accumulate stage, one step per cycle, PE and lane: the definition, written for reading.

:mod:`archonsim.pe.accumulate_kernel` must agree with it cycle for cycle and count for count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from archonsim.pe.beats import BeatStream


@dataclass
class ProcessingElement:
    """One PE: a FIFO before each adder, a sum per group, a multiplier that works in order.

    A FIFO entry is the number of the group that the survivor belongs to.
    """

    lanes: int
    depth: int
    fifos: list[deque[int]] = field(init=False)
    last_pop: dict[int, int] = field(default_factory=dict)
    adds: int = 0

    def __post_init__(self) -> None:
        self.fifos = [deque() for _ in range(self.lanes)]

    def step(self, cycle: int) -> None:
        """Every non-empty FIFO gives one entry to its adder."""
        for fifo in self.fifos:
            if fifo:
                self.last_pop[fifo.popleft()] = cycle
                self.adds += 1

    def has_room(self, survivors: Sequence[int]) -> bool:
        """Whether lane n has room for ``survivors[n]`` more entries."""
        return all(
            len(fifo) + new <= self.depth for fifo, new in zip(self.fifos, survivors, strict=True)
        )

    def push(self, survivors: Sequence[int], group: int) -> None:
        """Append ``survivors[n]`` entries of `group` to lane n."""
        for fifo, new in zip(self.fifos, survivors, strict=True):
            fifo.extend([group] * new)

    def idle(self) -> bool:
        """Whether all FIFOs are empty."""
        return not any(self.fifos)


@dataclass(frozen=True)
class TileResult:
    """What one tile took.

    Attributes
    ----------
    cycles : int
        1 + the last cycle in which a group retires.
    beat_cycles : list of int
        Cycle in which each beat was pushed.
    queued : list of int
        Entries in all FIFOs after each beat's push.
    broadcast_stall, weight_wait : int
        Cycles in which a beat waited for room, and for its weights.
    adds, macs, sums : int
        `sums`: pairs of PE and group with a survivor, bias groups included.
    """

    cycles: int
    beat_cycles: list[int]
    queued: list[int]
    broadcast_stall: int
    weight_wait: int
    adds: int
    macs: int
    sums: int


def run_tile(
    stream: BeatStream, survives: Sequence[Sequence[bool]], depth: int, arrival: Sequence[int]
) -> TileResult:
    """Run all beats of one tile.

    Parameters
    ----------
    stream : BeatStream
    survives : (PEs, rows) bool
        ``survives[pe][row]``: whether the candidates of one survivor-table row survive in one PE.
    depth : int
        FIFO entries a lane.
    arrival : (B,) int
        Cycle from which on the weights of each beat are there.
    """
    pes = [ProcessingElement(stream.lanes, depth) for _ in survives]
    has_survivor: set[tuple[int, int]] = set()  # (PE, group)
    beat_cycles: list[int] = []
    queued: list[int] = []
    group_end: dict[int, int] = {}
    broadcast_stall = weight_wait = 0
    cycle = 0
    beat = 0
    while beat < stream.beats or not all(pe.idle() for pe in pes):
        for pe in pes:
            pe.step(cycle)
        if beat < stream.beats:
            counts = _survivors_per_lane(stream, beat, survives)
            if cycle < arrival[beat]:
                weight_wait += 1
            elif not all(pe.has_room(new) for pe, new in zip(pes, counts, strict=True)):
                broadcast_stall += 1  # the broadcast is lock-step: one full FIFO holds every PE
            else:
                group = int(stream.group[beat])
                for number, (pe, new) in enumerate(zip(pes, counts, strict=True)):
                    pe.push(new, group)
                    if any(new):
                        has_survivor.add((number, group))
                beat_cycles.append(cycle)
                queued.append(sum(len(fifo) for pe in pes for fifo in pe.fifos))
                group_end[group] = cycle
                beat += 1
        cycle += 1
    last = max(
        _last_retire(pe, number, has_survivor, group_end, stream.groups)
        for number, pe in enumerate(pes)
    )
    macs = sum(bool(stream.is_mac[group]) for _, group in has_survivor)
    return TileResult(
        1 + last,
        beat_cycles,
        queued,
        broadcast_stall,
        weight_wait,
        sum(pe.adds for pe in pes),
        macs,
        len(has_survivor),
    )


def _survivors_per_lane(
    stream: BeatStream, beat: int, survives: Sequence[Sequence[bool]]
) -> list[list[int]]:
    """Count, for each PE and lane, the candidates of a beat that survive."""
    first, last = int(stream.start[beat]), int(stream.start[beat + 1])
    counts = [[0] * stream.lanes for _ in survives]
    for place, candidate in enumerate(range(first, last)):
        lane = (int(stream.lane[beat]) + place) % stream.lanes
        for pe, keep in enumerate(survives):
            counts[pe][lane] += keep[stream.column[candidate]]
    return counts


def _last_retire(
    pe: ProcessingElement,
    number: int,
    has_survivor: set[tuple[int, int]],
    group_end: dict[int, int],
    groups: int,
) -> int:
    """Retire a PE's groups in order, one a cycle; return the cycle of the last."""
    retire = -1
    for group in range(groups):
        # A PE knows that a group is complete when the group's last beat is out, be there survivors
        # for it in that beat or not.
        ready = group_end[group]
        if (number, group) in has_survivor:
            ready = max(ready, pe.last_pop[group])
        retire = max(retire + 1, ready)
    return retire
