"""Cut a block's fused weights into the beats that ARCHON's broadcaster sends."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.trace.fused_weight import FusedWeight

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
    def lane_of_candidate(self) -> Ints:
        """Lane that each candidate goes to, (n,) int32."""
        in_beat = np.diff(self.start)
        place = np.arange(len(self.column)) - np.repeat(self.start[:-1], in_beat)
        return ((np.repeat(self.lane, in_beat) + place) % self.lanes).astype(np.int32)

    @property
    def groups(self) -> int:
        """Number of groups sent."""
        return len(self.is_mac)

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
        last_of_group = np.append(self.group[1:] != self.group[:-1], True)
        bits = self.start[1:].astype(np.int64) * bits_per_candidate
        bits += (self.group.astype(np.int64) + 1) * bits_per_group
        ends: list[int] = []
        done = 0
        group_ends = np.flatnonzero(last_of_group)
        group_bits: list[int] = bits[group_ends].tolist()
        while done < group_bits[-1] or not ends:
            at = bisect_left(group_bits, done + words * 16)
            at = min(at, len(group_ends) - 1)
            ends.append(int(group_ends[at]) + 1)
            done = group_bits[at]
        ends[-1] = self.beats  # trailing groups without candidates
        first = np.array([0, *ends], np.int32)
        size = np.diff(np.append(0, bits[first[1:] - 1]))
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
    sizes = np.diff(fused.start).astype(np.int64)
    sent = sent_groups(fused, skip_empty=skip_empty, bias=bias)
    column = fused.row[np.repeat(sent, sizes)]
    sizes = sizes[sent]
    width = min(lanes * per_lane, width or lanes * per_lane)
    per_group = np.maximum(-(-sizes // width), 1)
    group = np.repeat(np.arange(len(sizes)), per_group)
    place = np.arange(len(group)) - np.repeat(np.cumsum(per_group) - per_group, per_group)
    taken = np.clip(sizes[group] - place * width, 0, width)
    start = np.append(0, np.cumsum(taken))
    lane = start[:-1] % lanes if lane_order == "rotate" else np.zeros(len(group), np.int64)
    return BeatStream(
        column=column.astype(np.int32),
        start=start.astype(np.int32),
        lane=lane.astype(np.int32),
        group=group.astype(np.int32),
        is_mac=~fused.is_bias[sent],
        lanes=lanes,
    )
