"""Numba kernel: ARCHON's accumulate stage, cycle-exact, bit-sliced across PEs.

The definition is :mod:`archonsim.pe.accumulate_reference`, which steps every cycle, PE and lane.
Here the occupancy of one lane's FIFO in all PEs is a handful of 64-bit words, one per binary digit
("planes"), and one addition updates 64 PEs.

Three facts keep the kernel small. FIFOs drain whatever the multipliers do, so multipliers matter
only at the end: group i retires at ``max(retire(i - 1) + 1, f(i))``, hence the last of n groups at
``max_i(f(i) + n - 1 - i)``. And f(i), the cycle in which a group's last beat is out and its last
survivor popped, is for some beat the cycle of its push plus the FIFO's occupancy after it; a PE or
a lane without a survivor in the beat may be counted or left out, because earlier beats claim more
than that themselves. So a beat touches only the lanes that it pushes to: what has left a FIFO since
its last push is taken off then.

FIFOs whose entries four digits count, the default's among them, are worked on in registers; deeper
ones plane by plane. `deep` is None or the scratch words that the latter need, so that numba
compiles only what is used. Per beat nothing is called and no array is made: either takes as long
as the beat itself. Indices are unsigned where numba would otherwise look for negative ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit
from archonsim.pe.beats import BeatStream

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
Fifos = tuple[Words, Ints, Ints, Words, Words]

#: Digits of an occupancy that the kernel without loops over planes counts.
FEW = 4
#: Numbers that a tile's beats hand on: the last push; the last retirement, less the group's number;
#: cycles in which a beat waited for room, and for its weights; products and sums so far.
NOW, RETIRE, STALLED, WAITED, MACS, SUMS = range(6)


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _deep_push(table, column, beat, when, bounds, fifos, pushed):  # type: ignore[no-untyped-def]
    """Push a beat as `send` does, for any number of planes; return the fullest FIFO's entries.

    -1 where none holds more than ``bounds[0]``. `pushed` is a word for each plane.
    """
    begin, end, lane = beat
    occupancy, side, since, some, alive = fifos
    limit, depth = bounds
    count, planes, words = len(side), len(pushed), len(some)
    over = np.uint64(0)
    touched = min(end - begin, count)
    for w in range(words):
        at = lane
        for first in range(begin, begin + touched):
            pushed[:] = 0
            for i in range(first, end, count):
                carry = table[column[i] * words + w]
                some[w] |= carry
                for p in range(planes):
                    plane = pushed[p]
                    pushed[p] = plane ^ carry
                    carry &= plane
            base = 2 * planes * (w * count + at)
            old, new = base + side[at] * planes, base + (1 - side[at]) * planes
            # Take `gone` off, and leave 0 where that is more than there is.
            gone = min(when - since[at], depth)
            borrow = np.uint64(0)
            for p in range(planes):
                digit = ~np.uint64(0) if (gone >> p) & 1 else np.uint64(0)
                plane = occupancy[old + p]
                occupancy[new + p] = plane ^ digit ^ borrow
                borrow = (~plane & (digit | borrow)) | (digit & borrow)
            carry, greater = np.uint64(0), np.uint64(0)
            for p in range(planes):
                a, b = occupancy[new + p] & ~borrow, pushed[p]
                plane = a ^ b ^ carry
                occupancy[new + p] = plane
                carry = (a & b) | (carry & (a ^ b))
                bound = np.uint64(0) if (limit >> p) & 1 else ~np.uint64(0)
                greater = (plane & bound) | (greater & (plane | bound))
            over |= greater
            at = at + 1 if at + 1 < count else 0
    if not over:
        return -1
    alive[:] = ~np.uint64(0)
    fullest = 0
    for p in range(planes - 1, -1, -1):
        found = np.uint64(0)
        for keep in range(
            2
        ):  # look for the digit; where there is one, go on with those that have it
            for i in range(words * touched):
                at = lane + i % touched
                at -= count if at >= count else 0
                place = (2 * (i // touched * count + at) + 1 - side[at]) * planes + p
                if keep:
                    alive[i] &= occupancy[place]
                else:
                    found |= occupancy[place] & alive[i]
            if not found:
                break
        if found:
            fullest |= 1 << p
    return fullest


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
    fifos : (occupancy, side, since, some, alive)
        (words * lanes * 2 * planes,) uint64: two copies of each lane's occupancy; (lanes,) int64:
        which of them is up to date, and the cycle of its push; (words,) uint64: PEs with a survivor
        of the group so far; (words * lanes,) uint64 of scratch.
    totals : (6,) int64
        Updated.
    deep : None or (planes,) uint64
        As in this file's docstring.
    """
    column, start, lane_of, group, is_mac = beats
    occupancy, side, since, some, alive = fifos
    words, count = len(some), len(side)
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    ones, none, width = ~np.uint64(0), np.uint64(0), np.uint64(words)
    now, retire = totals[NOW], totals[RETIRE]
    earliest = max(now + 1, arrival)
    totals[WAITED] += earliest - (now + 1)
    for b in range(span[0], span[1]):
        begin, end, lane, place = start[b], start[b + 1], lane_of[b], group[b]
        touched = min(end - begin, count)
        now = earliest
        while touched:
            # A FIFO no fuller than this neither holds the beat nor makes the tile longer.
            limit = min(max(retire - now + place, 0), depth)
            if deep is None:
                full = -1
                not0 = none if limit & 1 else ones
                not1 = none if limit & 2 else ones
                not2 = none if limit & 4 else ones
                not3 = none if limit & 8 else ones
                over = none
                for w in range(words):
                    at, any_of, word = lane, some[w], np.uint64(w)
                    for first in range(begin, begin + touched):
                        p0 = table[np.uint64(column[np.uint64(first)]) * width + word]
                        p1, p2, p3 = none, none, none
                        any_of |= p0
                        i = first + count
                        while i < end:
                            x = table[np.uint64(column[np.uint64(i)]) * width + word]
                            any_of |= x
                            c = p0 & x
                            p0 ^= x
                            x = p1 & c
                            p1 ^= c
                            c = p2 & x
                            p2 ^= x
                            p3 ^= c
                            i += count
                        to = np.uint64(at)
                        copy = np.uint64(4 * side[to])  # no branch: which one it is changes often
                        new = np.uint64(8 * (w * count + at))
                        old, new = new + copy, new + four - copy
                        o0, o1 = occupancy[old], occupancy[old + one]
                        o2, o3 = occupancy[old + two], occupancy[old + three]
                        for _ in range(min(now - since[to], depth)):
                            c = o0 | o1 | o2 | o3
                            x = c & ~o0
                            o0 ^= c
                            c = x & ~o1
                            o1 ^= x
                            o3 ^= c & ~o2
                            o2 ^= c
                        c = o0 & p0
                        o0 ^= p0
                        x = o1 ^ p1
                        p1 = (o1 & p1) | (c & x)
                        o1 = x ^ c
                        x = o2 ^ p2
                        c = (o2 & p2) | (p1 & x)
                        o2 = x ^ p1
                        o3 ^= p3 ^ c
                        occupancy[new], occupancy[new + one] = o0, o1
                        occupancy[new + two], occupancy[new + three] = o2, o3
                        x = o0 & not0
                        x = (o1 & not1) | (x & (o1 | not1))
                        x = (o2 & not2) | (x & (o2 | not2))
                        over |= (o3 & not3) | (x & (o3 | not3))
                        at = at + 1 if at + 1 < count else 0
                    some[w] = any_of
                if over:
                    full = 0
                    for i in range(words * touched):
                        alive[np.uint64(i)] = ones
                    for p in range(FEW - 1, -1, -1):
                        over, i = none, 0
                        for w in range(words):
                            at = lane
                            for _ in range(touched):
                                to = np.uint64(8 * (w * count + at) + p)
                                to += none if side[np.uint64(at)] else four
                                over |= occupancy[to] & alive[np.uint64(i)]
                                at = at + 1 if at + 1 < count else 0
                                i += 1
                        if over:
                            full, i = full | 1 << p, 0
                            for w in range(words):
                                at = lane
                                for _ in range(touched):
                                    to = np.uint64(8 * (w * count + at) + p)
                                    to += none if side[np.uint64(at)] else four
                                    alive[np.uint64(i)] &= occupancy[to]
                                    at = at + 1 if at + 1 < count else 0
                                    i += 1
            else:
                beat, bounds = (begin, end, lane), (limit, depth)
                full = _deep_push(table, column, beat, now, bounds, fifos, deep)
            if full <= depth:
                retire = max(retire, now - place + full)
                break
            now += full - depth
        totals[STALLED] += now - earliest
        earliest = now + 1
        retire = max(retire, now - place)
        at = lane
        for _ in range(touched):
            to = np.uint64(at)
            side[to] = 1 - side[to]
            since[to] = now
            at = at + 1 if at + 1 < count else 0
        if b + 1 == len(group) or group[b + 1] != place:
            for w in range(words):
                x = some[w]
                x -= (x >> one) & np.uint64(0x5555555555555555)
                x = (x & np.uint64(0x3333333333333333)) + (
                    (x >> two) & np.uint64(0x3333333333333333)
                )
                x = (x + (x >> four)) & np.uint64(0x0F0F0F0F0F0F0F0F)
                pes = np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))
                totals[SUMS] += pes
                totals[MACS] += pes if is_mac[place] else 0
                some[w] = none
    totals[NOW], totals[RETIRE] = now, retire


def empty_fifos(words: int, lanes: int, planes: int) -> Fifos:
    """Return what `send` works on: `fifos`, before a tile."""
    return (
        np.zeros(words * lanes * 2 * planes, np.uint64),
        np.zeros(lanes, np.int64),
        np.zeros(lanes, np.int64),
        np.zeros(words, np.uint64),
        np.zeros(words * lanes, np.uint64),
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
        occupancy, side, since, some, _ = self._fifos
        copies = occupancy.reshape(len(some), len(side), 2, -1)
        total = 0
        for lane, now in enumerate(side.tolist()):
            octets = np.ascontiguousarray(copies[:, lane, now]).astype("<u8").view(np.uint8)
            bits = np.unpackbits(octets.reshape(len(some), -1, 8), axis=2).astype(np.int64)
            held = (bits << np.arange(bits.shape[1])[:, None]).sum(axis=1)
            total += int(np.maximum(held - (self.last_push - int(since[lane])), 0).sum())
        return total

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
