"""Cut a block's fused weights into the beats that ARCHON's broadcaster sends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.pe.deal_kernel import cut_chunks, deal
from archonsim.trace.fused_weight import PART_CANDIDATES, FusedWeight

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BeatStream:
    """Beats of one block, the same for every tile.

    Attributes
    ----------
    column : (n,) int32
        Row of the survivor table that holds a candidate's keep bits.
    start : (B + 1,) int32
        Candidates of beat b are ``start[b]:start[b + 1]``.
    lane : (B,) int32
        Lane of a beat's first candidate; the others follow round-robin.
    group : (B,) int32
        Number of the beat's group, counted over the groups that are sent.
    is_mac : (N,) bool
        Groups whose sum is multiplied; bias terms are only added.
    lanes : int
    """

    column: Ints
    start: Ints
    lane: Ints
    group: Ints
    is_mac: NDArray[np.bool_]
    lanes: int

    @property
    def arrays(self) -> tuple[Ints, Ints, Ints, Ints, NDArray[np.bool_]]:
        """What kernels take: column, start, lane, group, is_mac."""
        return self.column, self.start, self.lane, self.group, self.is_mac

    @property
    def beats(self) -> int:
        """Number of beats of one tile."""
        return len(self.lane)

    @property
    def bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(one.nbytes for one in self.arrays)

    @property
    def groups(self) -> int:
        """Number of groups sent."""
        return len(self.is_mac)

    def readers(self, rows: int, beats: int | None = None) -> NDArray[np.int64]:
        """Return how many candidates of the first so many beats, or of all, read each row."""
        found = np.zeros(rows, np.int64)
        last = int(self.start[self.beats if beats is None else beats])
        # numpy counts 64-bit numbers: a part at a time.
        for first in range(0, last, PART_CANDIDATES):
            part = self.column[first : min(last, first + PART_CANDIDATES)]
            found += np.bincount(part, minlength=rows)
        return found

    def chunks(
        self, bits_per_candidate: int, words: int, bits_per_group: int = 0
    ) -> tuple[Ints, NDArray[np.int64]]:
        """Cut the stream into chunks of whole groups of about `words` 16-bit words.

        Returns
        -------
        first : (n + 1,) int32
            Beats of chunk i are ``first[i]:first[i + 1]``.
        size : (n,) int64
            16-bit words of each chunk, at least 1; a block of which no group is sent has one chunk
            of none.
        """
        if not self.beats:
            return np.zeros(2, np.int32), np.zeros(1, np.int64)
        group_ends = np.flatnonzero(np.append(self.group[1:] != self.group[:-1], True))
        group_bits = self.start[group_ends + 1].astype(np.int64) * bits_per_candidate
        group_bits += np.arange(1, len(group_ends) + 1) * bits_per_group
        last = np.empty(len(group_bits), np.int64)
        last = last[: cut_chunks(group_bits, words * 16, last)]
        first = np.zeros(len(last) + 1, np.int32)
        first[1:] = group_ends[last] + 1
        first[-1] = self.beats  # trailing groups without candidates
        size = np.diff(group_bits[last], prepend=0)
        return first, np.maximum(-(-size // 16), 1)


def sent_groups(fused: FusedWeight, *, skip_empty: bool, bias: bool) -> NDArray[np.bool_]:
    """Return which groups are streamed, (N,) bool; parameters as in `cut`."""
    sent = np.ones(fused.groups, bool)
    if skip_empty:
        sent &= np.diff(fused.start) > 0
    if not bias:
        sent &= ~fused.is_bias
    return sent


def cut(
    fused: FusedWeight,
    *,
    lanes: int,
    per_lane: int,
    lane_order: str = "rotate",
    skip_empty: bool = False,
    bias: bool = True,
    width: int | None = None,
) -> BeatStream:
    """Deal a block's candidates out to beats.

    A beat has at most ``lanes * per_lane`` candidates, all of one group.

    Parameters
    ----------
    fused : FusedWeight
    lanes : int
        Adders of a PE.
    per_lane : int
        Candidates that one lane takes from one beat.
    lane_order : {"rotate", "fixed"}
    skip_empty : bool
        Whether a group without candidates is left out; otherwise it takes the one beat of its MAC
        slot.
    bias : bool
        Whether the bias terms are sent.
    width : int or None
        Most candidates of a beat where those are fewer than the lanes take.
    """
    sent = sent_groups(fused, skip_empty=skip_empty, bias=bias)
    if not sent.all():
        fused = fused.in_order(np.flatnonzero(sent).astype(np.int32))
    # Blocks that are not pruned have 10^8 candidates and more: each array is made as it stays.
    sizes = np.diff(fused.start).astype(np.int64)
    width = min(lanes * per_lane, width or lanes * per_lane)
    beats = int(np.maximum(-(-sizes // width), 1).sum())
    start, lane, group = (np.empty(count, np.int32) for count in (beats + 1, beats, beats))
    deal(sizes, width, lanes, lane_order == "rotate", start, lane, group)
    return BeatStream(
        column=fused.rows(),
        start=start,
        lane=lane,
        group=group,
        is_mac=~fused.is_bias,
        lanes=lanes,
    )
