"""Numba kernel: ARCHON's accumulate stage, cycle-exact, bit-sliced across PEs.

The definition is :mod:`archonsim.pe.accumulate_reference`, which steps every cycle, PE and lane.
Here the occupancy of one lane's FIFO in all PEs is a handful of 64-bit words, one per binary digit
("planes"), and one addition updates 64 PEs.

Three facts keep the kernel small. FIFOs drain whatever the multipliers do, so multipliers matter
only at the end: group i retires at ``max(retire(i - 1) + 1, f(i))``, hence the last of n groups at
``max_i(f(i) + n - 1 - i)``. And f(i), the cycle in which a group's last beat is out and its last
survivor popped, is for some beat the cycle of its push plus the FIFO's occupancy after it; a PE or
a lane without a survivor in the beat may be counted or left out, because earlier beats claim more
than that themselves.

FIFOs whose entries four digits count, the default's among them, are worked on side by side: all
lanes of a digit lie next to each other, filled up to `SIDE_BY_SIDE`, so that the compiler updates
several in one vector instruction. What a beat brings to a lane is laid out likewise first, in rows
of one candidate a lane. Of deeper FIFOs a beat touches only the lanes that it pushes to, plane by
plane: what has left one since its last push is taken off then. `deep` is None or the scratch words
that the latter need, so that numba compiles only what is used. Per beat no array is made, which
takes as long as the beat itself; what is called for each lane takes and returns words alone, so
that the compiler puts it in its place. Indices are unsigned where numba would otherwise look for
negative ones, and loops over lanes store to one array alone and have lengths that the compiler does
not know: else it takes them apart into single words again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit
from archonsim.pe.beats import BeatStream
from archonsim.pe.deep_fifo_kernel import deep_push
from archonsim.pe.side_by_side_kernel import (
    FEW,
    above,
    count_of_four,
    fullest,
    less,
    ones_in,
    plus,
    same_in_all,
)  # fmt: skip

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
Fifos = tuple[Words, Ints, Ints, Words, Words]

#: Lanes that are laid side by side are multiples of this: the 64-bit words of the widest vector.
SIDE_BY_SIDE = 8
#: Candidates that a lane takes from a beat, at most, where four digits count its FIFO.
ROWS = 1 << FEW
#: Numbers that a tile's beats hand on: the last push; the last retirement, less the group's number;
#: cycles in which a beat waited for room, and for its weights; products and sums so far.
NOW, RETIRE, STALLED, WAITED, MACS, SUMS = range(6)


@njit(cache=True, error_model="numpy")
def send(table, beats, span, arrival, depth, fifos, totals, deep):  # type: ignore[no-untyped-def]
    """Send beats ``span[0]:span[1]``, whose data are there from cycle `arrival` on.

    Parameters
    ----------
    table : (rows * words,) uint64
        Survivors, row by row.
    beats : (column, start, lane, group, is_mac)
        Of a :class:`~archonsim.pe.beats.BeatStream`.
    span : (int, int)
    arrival, depth : int
    fifos : (occupancy, side, since, some, scratch)
        As `empty_fifos` makes them: two copies of each FIFO's occupancy, uint64; (lanes,) int64:
        which of them is up to date, and the cycle of its push, where FIFOs are side by side of all
        lanes in the first place; (words,) uint64: PEs with a survivor of the group so far; uint64
        of scratch.
    totals : (6,) int64
        Updated.
    deep : None or (planes,) uint64
        As in this file's docstring.
    """
    column, start, lane_of, group, is_mac = beats
    occupancy, side, since, some, rows = fifos
    words, count = len(some), len(side)
    none, width = np.uint64(0), np.uint64(words)
    # Digits of all lanes of all words lie `lanes` apart.
    lanes = len(rows) // ROWS
    d1, d2, d3 = np.uint64(lanes), np.uint64(2 * lanes), np.uint64(3 * lanes)
    padded, copy, current, last = lanes // words, np.uint64(4 * lanes), side[0], since[0]
    now, retire = totals[NOW], totals[RETIRE]
    earliest = max(now + 1, arrival)
    totals[WAITED] += earliest - (now + 1)
    for b in range(span[0], span[1]):
        begin, end, lane, place = start[b], start[b + 1], lane_of[b], group[b]
        given = end - begin
        now = earliest
        each = 2 if given <= 2 * count else 4  # candidates a lane, with what fills the rows up
        if deep is None and given:
            if given > 4 * count:
                each = 4 * (-(-given // (4 * count)))
            for i in range(lanes * each):
                rows[np.uint64(i)] = none
            for w in range(words):
                at, row, left, any_of = lane, padded * w, count, some[w]
                for i in range(begin, end):
                    x = table[np.uint64(column[np.uint64(i)]) * width + np.uint64(w)]
                    rows[np.uint64(row + at)] = x
                    any_of |= x
                    at = at + 1 if at + 1 < count else 0
                    left -= 1
                    if not left:
                        left, row = count, row + lanes
                some[w] = any_of
        while given:
            # A FIFO no fuller than this neither holds the beat nor makes the tile longer.
            limit = min(max(retire - now + place, 0), depth)
            if deep is None:
                over, bound, gone = none, same_in_all(limit), same_in_all(min(now - last, depth))
                old, new = np.uint64(current) * copy, np.uint64(1 - current) * copy
                if each == 2:
                    for i in range(lanes):
                        f, t = old + np.uint64(i), new + np.uint64(i)
                        o = occupancy[f], occupancy[f + d1], occupancy[f + d2], occupancy[f + d3]
                        x, y = rows[np.uint64(i)], rows[np.uint64(i) + d1]
                        o = plus(less(o, gone), (x ^ y, x & y, none))
                        occupancy[t], occupancy[t + d1] = o[0], o[1]
                        occupancy[t + d2], occupancy[t + d3] = o[2], o[3]
                        over |= above(o, bound)
                else:
                    source, first = none, old
                    for part in range(0, each, 4):
                        if part:  # what comes beyond four a lane is added to what has been put
                            source, first, gone = source + copy, new, same_in_all(0)
                        for i in range(lanes):
                            r, f = source + np.uint64(i), first + np.uint64(i)
                            t = new + np.uint64(i)
                            o0, o1, o2 = occupancy[f], occupancy[f + d1], occupancy[f + d2]
                            p = count_of_four(rows[r], rows[r + d1], rows[r + d2], rows[r + d3])
                            o = plus(less((o0, o1, o2, occupancy[f + d3]), gone), p)
                            occupancy[t], occupancy[t + d1] = o[0], o[1]
                            occupancy[t + d2], occupancy[t + d3] = o[2], o[3]
                            over |= above(o, bound)
                full = fullest(occupancy, new, lanes) if over else -1
            else:
                beat, bounds = (begin, end, lane), (limit, depth)
                full = deep_push(table, column, beat, now, bounds, fifos, deep)
            if full <= depth:
                retire = max(retire, now - place + full)
                break
            now += full - depth
        totals[STALLED] += now - earliest
        earliest = now + 1
        retire = max(retire, now - place)
        if deep is None:
            if given:
                current, last = 1 - current, now
        else:
            at = lane
            for _ in range(min(given, count)):
                to = np.uint64(at)
                side[to] = 1 - side[to]
                since[to] = now
                at = at + 1 if at + 1 < count else 0
        if b + 1 == len(group) or group[b + 1] != place:
            for w in range(words):
                pes = ones_in(some[w])
                totals[SUMS] += pes
                totals[MACS] += pes if is_mac[place] else 0
                some[w] = none
    if deep is None:
        side[0], since[0] = current, last
    totals[NOW], totals[RETIRE] = now, retire


def empty_fifos(words: int, lanes: int, planes: int) -> Fifos:
    """Return what `send` works on: `fifos`, before a tile."""
    deep = planes > FEW
    all_lanes = words * (lanes if deep else -(-lanes // SIDE_BY_SIDE) * SIDE_BY_SIDE)
    return (
        np.zeros(2 * planes * all_lanes, np.uint64),
        np.zeros(lanes, np.int64),
        np.zeros(lanes, np.int64),
        np.zeros(words, np.uint64),
        np.zeros(all_lanes * (1 if deep else ROWS), np.uint64),
    )


def digits(stream: BeatStream, depth: int) -> int:
    """Return how many binary digits hold any occupancy, before it is known whether it fits."""
    per_beat = int(np.diff(stream.start).max(initial=0))
    return max(FEW, (depth + -(-per_beat // stream.lanes)).bit_length())


@dataclass(slots=True, eq=False)
class Accumulator:
    """The PE array in the middle of one tile: run it chunk by chunk, as the weights arrive.

    Attributes
    ----------
    stream : BeatStream
    table : (rows, words) uint64
        Survivors of the tile, from :class:`archonsim.pe.survivor_kernel.Survivors`.
    depth : int
        FIFO entries a lane.
    start : int
        Cycle in which the tile starts; the first beat goes out then at the earliest.
    """

    stream: BeatStream
    table: Words
    depth: int
    start: int
    _fifos: Fifos = field(init=False)
    _deep: Words | None = field(init=False)
    _totals: Ints = field(init=False)
    _sent: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        planes = digits(self.stream, self.depth)
        self._fifos = empty_fifos(self.table.shape[1], self.stream.lanes, planes)
        self._deep = None if planes == FEW else np.zeros(planes, np.uint64)
        self._totals = np.array([self.start - 1, self.start - 1, 0, 0, 0, 0], np.int64)

    def run(self, first: int, last: int, arrival: int) -> int:
        """Send beats ``first:last``, whose weights are there from cycle `arrival` on.

        Returns
        -------
        int
            Cycle in which the last of them was pushed.
        """
        send(
            self.table.reshape(-1),
            self.stream.arrays,
            (first, last),
            arrival,
            self.depth,
            self._fifos,
            self._totals,
            self._deep,
        )
        self._sent = last
        return self.last_push

    @property
    def last_push(self) -> int:
        """Cycle in which the last beat so far was pushed."""
        return int(self._totals[NOW])

    @property
    def last_retire(self) -> int:
        """Cycle in which the last group retires, once all beats are sent.

        The one before the tile's if there is no group.
        """
        return max(self.last_push, int(self._totals[RETIRE]) + self.stream.groups - 1)

    @property
    def queued(self) -> int:
        """Survivors in the FIFOs of all PEs, after the last beat so far."""
        total = 0
        for digits_of, since in self._lanes():
            octets = np.ascontiguousarray(digits_of).astype("<u8").view(np.uint8)
            bits = np.unpackbits(octets.reshape(len(octets), -1, 8), axis=2).astype(np.int64)
            held = (bits << np.arange(bits.shape[1])[:, None]).sum(axis=1)
            total += int(np.maximum(held - (self.last_push - since), 0).sum())
        return total

    def _lanes(self) -> Iterator[tuple[Words, int]]:
        """Yield each lane's up-to-date occupancy, (words, planes), and the cycle that it is of."""
        occupancy, side, since, some, _ = self._fifos
        lanes, words = len(side), len(some)
        if self._deep is None:
            copies = occupancy.reshape(2, FEW, words, -1)
            for lane in range(lanes):
                yield copies[int(side[0]), :, :, lane].T, int(since[0])
        else:
            copies = occupancy.reshape(words, lanes, 2, -1)
            for lane in range(lanes):
                yield copies[:, lane, int(side[lane])], int(since[lane])

    @property
    def broadcast_stall(self) -> int:
        """Cycles in which a beat waited for room in a FIFO."""
        return int(self._totals[STALLED])

    @property
    def weight_wait(self) -> int:
        """Cycles in which a beat waited for its weights."""
        return int(self._totals[WAITED])

    @property
    def adds(self) -> int:
        """Survivors pushed so far, over all PEs."""
        return survivors(self.table, self.stream.readers(len(self.table), self._sent))

    @property
    def macs(self) -> int:
        """Multiplications: pairs of PE and group with at least one survivor, bias groups apart."""
        return int(self._totals[MACS])

    @property
    def sums(self) -> int:
        """Pairs of PE and group with at least one survivor, bias groups included."""
        return int(self._totals[SUMS])


def survivors(table: Words, times: Ints) -> int:
    """Count the survivors of candidates that read each row of the table so many times."""
    return int((times @ np.bitwise_count(table)).sum())
