"""Numba kernel: ARCHON's accumulate stage, cycle-exact, bit-sliced across PEs.

The definition is :mod:`archonsim.pe.accumulate_reference`, which steps every cycle, PE and lane.
Here the occupancy of one lane's FIFO in all PEs is a handful of 64-bit words, one per binary digit
("planes"), and one addition updates 64 PEs.

Two facts keep the kernel small. FIFOs drain whatever the multipliers do, so multipliers matter only
at the end: group i retires at ``max(retire(i - 1) + 1, f(i))``, hence the last of n groups at
``max_i(f(i) + n - 1 - i)``. And f(i), the cycle in which a group's last beat is out and its last
survivor popped, is for some beat the cycle of its push plus the FIFO's occupancy after it; a PE
without a survivor in the beat may be counted with the occupancy that earlier ones left, because
those claim more than that themselves.

``size`` is a pair of tuples whose lengths are the number of words and of planes: lengths of tuples
are known when numba compiles, so that the loops over them unroll (measured: 1.6 times as fast as
with the arrays' own shape).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit
from archonsim.pe.beats import BeatStream

Words = NDArray[np.uint64]


@njit(cache=True)
def _popcount(word):  # type: ignore[no-untyped-def]
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True)
def _pop(occupancy, size):  # type: ignore[no-untyped-def]
    """Take one entry from every non-empty FIFO: subtract 1 where any plane is set."""
    lanes = occupancy.shape[1]
    words, planes = len(size[0]), len(size[1])
    for w in range(words):
        for lane in range(lanes):
            borrow = np.uint64(0)
            for p in range(planes):
                borrow |= occupancy[w, lane, p]
            for p in range(planes):
                plane = occupancy[w, lane, p]
                occupancy[w, lane, p] = plane ^ borrow
                borrow &= ~plane


@njit(cache=True)
def _push(occupancy, pushed, depth, after, size):  # type: ignore[no-untyped-def]
    """Add `pushed` to `occupancy` into `after`; return whether every FIFO of every PE has room."""
    lanes = occupancy.shape[1]
    words, planes = len(size[0]), len(size[1])
    over = np.uint64(0)
    for w in range(words):
        for lane in range(lanes):
            carry = np.uint64(0)
            for p in range(planes):
                a, b = occupancy[w, lane, p], pushed[w, lane, p]
                after[w, lane, p] = a ^ b ^ carry
                carry = (a & b) | (carry & (a ^ b))
            greater, equal = np.uint64(0), ~np.uint64(0)
            for p in range(planes - 1, -1, -1):
                plane = after[w, lane, p]
                if (depth >> p) & 1:
                    equal &= plane
                else:
                    greater |= equal & plane
                    equal &= ~plane
            over |= greater
    return over == 0


@njit(cache=True)
def _fullest(occupancy, alive, size):  # type: ignore[no-untyped-def]
    """Return the largest occupancy over all lanes and PEs."""
    lanes = occupancy.shape[1]
    words, planes = len(size[0]), len(size[1])
    alive[:] = ~np.uint64(0)
    value = 0
    for p in range(planes - 1, -1, -1):
        found = np.uint64(0)
        for w in range(words):
            for lane in range(lanes):
                found |= occupancy[w, lane, p] & alive[w, lane]
        if found:
            value |= 1 << p
            for w in range(words):
                for lane in range(lanes):
                    alive[w, lane] &= occupancy[w, lane, p]
    return value


@njit(cache=True)
def _run(  # type: ignore[no-untyped-def]
    tables, column, start, lane_of, group, is_mac, first, last, arrival, depth, fifos, totals, size
):
    """Send beats ``first:last``.

    `tables` holds survivors by row and word, and how many a row has; `fifos` occupancies, two
    scratch arrays and the group's survivors; see Accumulator.
    """
    table, survivors = tables
    occupancy, pushed, after, alive, any_survivor = fifos
    lanes = occupancy.shape[1]
    words, planes = len(size[0]), len(size[1])
    now, retire = totals[0], totals[1]
    earliest = max(now + 1, arrival)
    waited = earliest - (now + 1)
    stalled, adds, macs, sums = 0, 0, 0, 0
    for b in range(first, last):
        pushed[:] = 0
        lane = lane_of[b]
        for i in range(start[b], start[b + 1]):
            row = column[i]
            adds += survivors[row]
            for w in range(words):
                carry = table[row, w]
                any_survivor[w] |= carry
                for p in range(planes):
                    plane = pushed[w, lane, p]
                    pushed[w, lane, p] = plane ^ carry
                    carry &= plane
            lane = lane + 1 if lane + 1 < lanes else 0
        for _ in range(min(earliest - now, depth)):
            _pop(occupancy, size)
        now = earliest
        while not _push(occupancy, pushed, depth, after, size):
            _pop(occupancy, size)
            now += 1
            stalled += 1
        occupancy, after = after, occupancy
        earliest = now + 1
        retire = max(retire, now - group[b])
        if now - group[b] + depth > retire:
            retire = max(retire, now - group[b] + _fullest(occupancy, alive, size))
        if b + 1 == len(group) or group[b + 1] != group[b]:
            for w in range(words):
                count = _popcount(any_survivor[w])
                sums += count
                if is_mac[group[b]]:
                    macs += count
                any_survivor[w] = 0
    # Hand the occupancies back where the next call looks for them.
    if occupancy is not fifos[0]:
        fifos[0][:] = occupancy
    totals[0], totals[1] = now, retire
    totals[2] += stalled
    totals[3] += waited
    totals[4] += adds
    totals[5] += macs
    totals[6] += sums


@dataclass(slots=True, eq=False)
class Accumulator:
    """The PE array in the middle of one tile: run it chunk by chunk, as the weights arrive.

    Attributes
    ----------
    stream : BeatStream
    table : (rows, words) uint64
        Survivors of the tile, from :func:`archonsim.pe.survivor_kernel.survivor_table`.
    depth : int
        FIFO entries a lane.
    start : int
        Cycle in which the tile starts; the first beat goes out then at the earliest.
    """

    stream: BeatStream
    table: Words
    depth: int
    start: int
    _survivors: NDArray[np.int64] = field(init=False)
    _fifos: tuple[Words, Words, Words, Words, Words] = field(init=False)
    _size: tuple[tuple[int, ...], tuple[int, ...]] = field(init=False)
    _totals: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        words, lanes = self.table.shape[1], self.stream.lanes
        per_beat = int(np.diff(self.stream.start).max(initial=0))
        planes = (self.depth + -(-per_beat // lanes)).bit_length()
        shape = (words, lanes, planes)
        # Each candidate of a row adds for all of the row's survivors: counted once a tile.
        self._survivors = np.bitwise_count(self.table).sum(axis=1, dtype=np.int64)
        self._size = ((0,) * words, (0,) * planes)
        self._fifos = (
            np.zeros(shape, np.uint64),
            np.empty(shape, np.uint64),
            np.empty(shape, np.uint64),
            np.empty((words, lanes), np.uint64),
            np.zeros(words, np.uint64),
        )
        # now, retire (less the group's number), broadcast stall, wait for weights, adds, macs, sums
        self._totals = np.array([self.start - 1, self.start - 1, 0, 0, 0, 0, 0], np.int64)

    def run(self, first: int, last: int, arrival: int) -> int:
        """Send beats ``first:last``, whose weights are there from cycle `arrival` on.

        Returns
        -------
        int
            Cycle in which the last of them was pushed.
        """
        s = self.stream
        _run(
            (self.table, self._survivors),
            s.column,
            s.start,
            s.lane,
            s.group,
            s.is_mac,
            first,
            last,
            arrival,
            self.depth,
            self._fifos,
            self._totals,
            self._size,
        )
        return self.last_push

    @property
    def last_push(self) -> int:
        """Cycle in which the last beat so far was pushed."""
        return int(self._totals[0])

    @property
    def last_retire(self) -> int:
        """Cycle in which the last group retires, once all beats are sent.

        The one before the tile's if there is no group.
        """
        return max(self.last_push, int(self._totals[1]) + self.stream.groups - 1)

    @property
    def queued(self) -> int:
        """Survivors in the FIFOs of all PEs, after the last beat so far."""
        by_digit = np.bitwise_count(self._fifos[0]).sum(axis=(0, 1), dtype=np.int64)
        return int((by_digit << np.arange(len(by_digit))).sum())

    @property
    def broadcast_stall(self) -> int:
        """Cycles in which a beat waited for room in a FIFO."""
        return int(self._totals[2])

    @property
    def weight_wait(self) -> int:
        """Cycles in which a beat waited for its weights."""
        return int(self._totals[3])

    @property
    def adds(self) -> int:
        """Survivors pushed, over all PEs."""
        return int(self._totals[4])

    @property
    def macs(self) -> int:
        """Multiplications: pairs of PE and group with at least one survivor, bias groups apart."""
        return int(self._totals[5])

    @property
    def sums(self) -> int:
        """Pairs of PE and group with at least one survivor, bias groups included."""
        return int(self._totals[6])
