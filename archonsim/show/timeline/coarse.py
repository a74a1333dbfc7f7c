"""A timeline made small enough to look at.

Neighbouring slices merged, counters as means over windows.

Everything is a function of the timeline alone: the same run gives the same slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from archonsim.stats.timeline import Level, Moves, Spans

#: A track keeps at most about twice as many merged slices, and a counter at most so many values
#: (own decision).
GRAINS = 50_000
WINDOWS = 2_000


@dataclass(slots=True)
class Slice:
    """Neighbouring transfers, or waits, of one track.

    Attributes
    ----------
    start, end : int
        In ticks of the server.
    busy : int
        Ticks of it in which the track was busy; less than all where small gaps were bridged.
    words : dict of label to int
        16-bit words asked for; 0 for waits.
    moved : int
        16-bit words moved: whole bursts.
    """

    start: int
    end: int
    busy: int = 0
    words: dict[str, int] = field(default_factory=dict)
    moved: int = 0


def grain_cycles(total: int) -> int:
    """Cycles within which slices of a run of `total` cycles are merged.

    Gaps up to this are bridged between equal ones.
    """
    return total // GRAINS


def window_cycles(total: int) -> int:
    """Cycles of a counter's window in a run of `total` cycles."""
    return max(1, -(-total // WINDOWS))


def as_moves(spans: Spans) -> Moves:
    """Treat spans as transfers of no words."""
    none = [0] * len(spans.start)
    return Moves(1, spans.label, spans.start, spans.end, none, none)


def merge(moves: Moves, grain: int) -> list[Slice]:
    """Merge neighbours of one label at most `grain` cycles apart, and all within `grain` cycles.

    Words are kept by label. Slices come in order and do not overlap, as a server serves one
    transfer at a time.
    """
    reach = grain * moves.ticks_per_cycle
    merged: list[Slice] = []
    for label, start, end, words, moved in zip(
        moves.label, moves.start, moves.end, moves.words, moves.moved, strict=True
    ):
        grown = merged[-1] if merged else None
        if grown is None or not (
            (start - grown.end <= reach and grown.words.keys() == {label})
            or end - grown.start <= reach
        ):
            grown = Slice(start, end)
            merged.append(grown)
        grown.end = end
        grown.busy += end - start
        grown.words[label] = grown.words.get(label, 0) + words
        grown.moved += moved
    return merged


def _edges(total: int, window: int) -> NDArray[np.int64]:
    return np.minimum(np.arange(0, total + window, window), total)


def _means(at: Sequence[float], sums: Sequence[int], total: int, window: int) -> list[float]:
    """Slope in each window of what grows linearly between the points ``(at, sums)``."""
    edges = _edges(total, window)
    values = np.interp(edges, at, sums)
    values[0] = 0
    means: list[float] = (np.diff(values) / np.diff(edges)).tolist()
    return means


def rate(moves: Moves, direction: str, total: int, window: int) -> list[float]:
    """Words a cycle that a server moved in one direction, bursts included.

    A mean for each window of `total` cycles.

    A transfer's words are spread evenly over its time.
    """
    at, sums, moved = [0.0], [0], 0
    for label, start, end, words in zip(
        moves.label, moves.start, moves.end, moves.moved, strict=True
    ):
        if label.startswith(direction):
            at += [start / moves.ticks_per_cycle, end / moves.ticks_per_cycle]
            sums += [moved, moved + words]
            moved += words
    return _means([*at, total], [*sums, moved], total, window)


def mean_level(level: Level, total: int, window: int) -> list[float]:
    """Mean of a level over time in each window of `total` cycles."""
    at, sums, before, value = [0.0], [0], 0, 0
    for cycle, now in zip([*level.at, total], [*level.value, 0], strict=True):
        sums.append(sums[-1] + value * (cycle - before))
        at.append(cycle)
        before, value = cycle, now
    return _means(at, sums, total, window)
