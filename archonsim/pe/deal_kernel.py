"""Numba kernels: groups of candidates cut into beats, and those into chunks of the stream."""

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


@njit(cache=True)
def cut_chunks(bits, least, last):  # type: ignore[no-untyped-def]
    """Cut groups into chunks: a chunk ends with the group that brings it to `least` bits.

    Parameters
    ----------
    bits : (N,) int64
        Bits of the groups up to each one, its own included.
    least : int
    last : (N,) int64
        Filled: the last group of each chunk.

    Returns
    -------
    int
        Number of chunks; at least one.
    """
    chunks, done = 0, 0
    at = 0
    while done < bits[-1] or chunks == 0:
        while at < len(bits) - 1 and bits[at] < done + least:
            at += 1
        last[chunks] = at
        done = bits[at]
        chunks += 1
    return chunks
