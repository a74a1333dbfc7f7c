"""Numba kernel: one tile of ARCHON's accumulate stage with everything written down.

Slower than :mod:`archonsim.pe.accumulate_kernel`, which keeps totals only, and of the same
definition, :mod:`archonsim.pe.accumulate_reference`: here every beat leaves its FIFO levels and
every PE the cycle in which it retires each group, for who builds the array and compares.
"""

from __future__ import annotations

import numpy as np

from archonsim.kernels import njit


@njit(cache=True)
def _fits(level, new, depth):  # type: ignore[no-untyped-def]
    for pe in range(level.shape[0]):
        for lane in range(level.shape[1]):
            if level[pe, lane] + new[pe, lane] > depth:
                return False
    return True


@njit(cache=True)
def _pop(level, cycles):  # type: ignore[no-untyped-def]
    for pe in range(level.shape[0]):
        for lane in range(level.shape[1]):
            level[pe, lane] = max(0, level[pe, lane] - cycles)


@njit(cache=True)
def record(survives, start, lane, group, arrival, depth, levels, retire):  # type: ignore[no-untyped-def]
    """Send all beats of a tile; its first cycle is 0.

    Parameters
    ----------
    survives : (n, PEs) bool
        Whether each candidate survives in each PE.
    start : (B + 1,) int32
        Candidates of beat b are ``start[b]:start[b + 1]``.
    lane, group : (B,) int32
        Lane of a beat's first candidate, and the beat's group.
    arrival : (B,) int64
        Cycle from which on a beat's weights are there.
    depth : int
        FIFO entries a lane.
    levels : (B, PEs, lanes) int32
        Filled: entries in each FIFO after each beat's push.
    retire : (PEs, N) int64
        Filled: cycle in which each PE retires each group.

    Returns
    -------
    cycle : (B,) int64
        In which each beat is pushed.
    waited, stalled : (B,) int64
        Cycles that each beat waited for its weights, and then for room.
    """
    beats, pes, lanes = levels.shape
    cycle, waited, stalled = np.zeros((3, beats), np.int64)
    level, new = np.zeros((2, pes, lanes), np.int64)
    retire[:] = -1
    now = -1
    for b in range(beats):
        new[:] = 0
        for i in range(start[b], start[b + 1]):
            at = (lane[b] + i - start[b]) % lanes
            for pe in range(pes):
                new[pe, at] += survives[i, pe]
        waited[b] = max(0, arrival[b] - now - 1)
        _pop(level, 1 + waited[b])
        now += 1 + waited[b]
        while not _fits(level, new, depth):
            _pop(level, 1)
            now += 1
            stalled[b] += 1
        cycle[b] = now
        for pe in range(pes):
            last = now  # of this beat's survivors in this PE to be popped
            for n in range(lanes):
                level[pe, n] += new[pe, n]
                levels[b, pe, n] = level[pe, n]
                if new[pe, n]:
                    last = max(last, now + level[pe, n])
            retire[pe, group[b]] = max(retire[pe, group[b]], last)
    for pe in range(pes):
        for g in range(1, retire.shape[1]):
            retire[pe, g] = max(retire[pe, g], retire[pe, g - 1] + 1)
    return cycle, waited, stalled


@njit(cache=True)
def add_up(survives, value, start, bits, sums, some):  # type: ignore[no-untyped-def]
    """Add up the survivors of each group in two's complement.

    Parameters
    ----------
    survives : (n, PEs) bool
    value : (n,) int64
        Fixed-point fused weights.
    start : (N + 1,) int32
        Candidates of group i are ``start[i]:start[i + 1]``.
    bits : int
        Width of an adder. Whatever the order of the additions, the sum is right modulo 2 ** bits.
    sums : (PEs, N) int64
        Filled: the sum that leaves the adders.
    some : (PEs, N) bool
        Filled: whether the group has a survivor in the PE.

    Returns
    -------
    overflows : int
        Sums that the adders cannot hold.
    """
    half, overflows = np.int64(1) << np.int64(bits - 1), 0
    for g in range(len(start) - 1):
        for pe in range(sums.shape[0]):
            total, found = np.int64(0), False
            for i in range(start[g], start[g + 1]):
                if survives[i, pe]:
                    total += value[i]
                    found = True
            wrapped = ((total + half) & (2 * half - 1)) - half
            overflows += wrapped != total
            sums[pe, g], some[pe, g] = wrapped, found
    return overflows
