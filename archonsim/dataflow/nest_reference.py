"""Accesses of a mapped loop nest by stepping through it: the definition, written for reading.

:mod:`archonsim.dataflow.nest_kernel` must agree with it exactly.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from archonsim.dataflow.hierarchy import Hierarchy
from archonsim.dataflow.mapping import Loop, Mapping
from archonsim.dataflow.problem import DIMENSIONS, Problem

Box = tuple[tuple[int, int], ...]
Indices = dict[str, int]


def _box(kind: str, problem: Problem, low: Indices, high: Indices, own_inputs: bool) -> Box:
    """Return a tensor's smallest box that indices ``low`` to ``high`` (inclusive) touch."""
    if kind == "weight":
        return tuple((low[d], high[d]) for d in "CMRS")
    if kind == "output":
        return tuple((low[d], high[d]) for d in "MPQN")
    columns = tuple(at["P"] * problem.stride_w + at["R"] for at in (low, high))
    rows = tuple(at["Q"] * problem.stride_h + at["S"] for at in (low, high))
    channel = "M" if own_inputs else "C"
    return (
        (low[channel], high[channel]),
        (columns[0], columns[1]),
        (rows[0], rows[1]),
        (low["N"], high["N"]),
    )


def _size(box: Box) -> int:
    return math.prod(high - low + 1 for low, high in box)


def _new(before: Box | None, now: Box) -> int:
    """Words of a tile that the one before does not hold.

    All of them unless it moved forward along one axis.
    """
    if before is None:
        return _size(now)
    moved = [(old, new) for old, new in zip(before, now, strict=True) if old != new]
    if not moved:
        return 0
    if len(moved) == 1 and moved[0][0][0] < moved[0][1][0] <= moved[0][0][1]:
        (_, old_high), (low, high) = moved[0]
        return _size(now) // (high - low + 1) * (high - old_high)
    return _size(now)


def _walk(loops: list[tuple[int, Loop]]) -> Iterator[tuple[dict[int, int], Indices]]:
    """Yield, step by step, the index of each loop and the indices of the dimensions."""
    for values in itertools.product(*(range(loop.bound) for _, loop in loops)):
        at = dict.fromkeys(DIMENSIONS, 0)
        for (_, loop), value in zip(loops, values, strict=True):
            at[loop.dimension] = at[loop.dimension] * loop.bound + value
        yield dict(enumerate(values)), at


def step_counts(
    problem: Problem, mapping: Mapping, hierarchy: Hierarchy, *, own_inputs: bool = False
) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Count the accesses of each level's first instance, step by step.

    A count is (words that the level below asks for, words fetched from above, words of a tile).
    """
    names = hierarchy.names
    loops = [(names.index(level), loop) for level, loop in mapping.loops()]
    counts: dict[tuple[str, str], tuple[int, int, int]] = {}
    for kind in ("weight", "input", "output"):
        asked = math.prod(loop.bound for _, loop in loops if loop.axis == "time")
        below = len(names)
        for level in reversed(hierarchy.keepers(kind)):
            asked *= _copies(kind, loops, level, below, own_inputs)
            boxes = _tiles(kind, problem, loops, level, own_inputs)
            fetched = sum(
                _new(before, now) for before, now in zip([None, *boxes], boxes, strict=False)
            )
            counts[names[level], kind] = (asked, fetched, _size(boxes[0]))
            asked, below = fetched, level
    return counts


def _tiles(
    kind: str, problem: Problem, loops: list[tuple[int, Loop]], level: int, own_inputs: bool
) -> list[Box]:
    """Tiles of the first instance of a level, in order of time."""
    extents: dict[tuple[int, ...], tuple[Indices, Indices]] = {}
    for values, at in _walk(loops):
        outer = [(place, value) for place, value in values.items() if loops[place][0] < level]
        if any(value for place, value in outer if loops[place][1].axis != "time"):
            continue
        step = tuple(value for place, value in outer if loops[place][1].axis == "time")
        low, high = extents.setdefault(step, (dict(at), dict(at)))
        for dimension, value in at.items():
            low[dimension], high[dimension] = (
                min(low[dimension], value),
                max(high[dimension], value),
            )
    return [
        _box(kind, problem, low, high, own_inputs) for _, (low, high) in sorted(extents.items())
    ]


def _copies(
    kind: str, loops: list[tuple[int, Loop]], above: int, below: int, own_inputs: bool
) -> int:
    """Instances of the level below that differ in an index of the tensor."""
    relevant = {"weight": "CMRS", "output": "MPQN", "input": "MPQRSN" if own_inputs else "CPQRSN"}[
        kind
    ]
    between = [
        loop
        for level, loop in loops
        if above <= level < below and loop.axis != "time" and loop.dimension in relevant
    ]
    return len(set(itertools.product(*(range(loop.bound) for loop in between))))
