"""Numba kernel: groups of candidates cut into beats, written where they stay."""

from __future__ import annotations

from archonsim.kernels import njit


@njit(cache=True)
def deal(sizes, width, lanes, rotate, start, lane, group):  # type: ignore[no-untyped-def]
    """Deal groups out to beats of at most `width` candidates, at least one beat a group.

    Parameters
    ----------
    sizes : (N,) int64
        Candidates of each group.
    width, lanes : int
    rotate : bool
        Whether a beat starts at the lane after the last one used; else at lane 0.
    start, lane, group : (B + 1,), (B,), (B,) int32
        Filled: first candidate, first lane and group of each beat.
    """
    beat, at = 0, 0
    for i in range(len(sizes)):
        left = sizes[i]
        while True:
            taken = min(left, width)
            start[beat], group[beat] = at, i
            lane[beat] = at % lanes if rotate else 0
            at += taken
            left -= taken
            beat += 1
            if left <= 0:
                break
    start[beat] = at
