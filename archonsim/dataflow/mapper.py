"""The row-stationary mapper: fewest cycles, then least energy, under the constraints.

The constraints are those under which ICS'21 searched at random. From the inside out: a run of
output channels in the psum pad, for one output position; C and the filter's columns R in the weight
pad; array axis Y: M, C and S; axis X: M and Q; GLB: P, then M, and C where there is one output
pixel only; DRAM: the rest of C, M and Q. Loops divide their dimension. P, R and S stay whole, as in
all published mappings; in the *free* space, which is also the way out where nothing fits, DRAM may
split them, too.

The search is exhaustive up to a bound: a mapping on n PEs takes at least MACs / n cycles, so
mappings are tried in order of falling n, and no smaller n is looked at once that bound exceeds the
best cycles found.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from archonsim.dataflow.hierarchy import Hierarchy
from archonsim.dataflow.mapping import LevelLoops, Loop, Mapping
from archonsim.dataflow.nest import costs, loop_columns
from archonsim.dataflow.problem import Problem
from archonsim.errors import SpecError

Ints = NDArray[np.int64]

#: Levels of a row-stationary machine, outermost first; ``array`` stores nothing.
LEVELS = ("dram", "glb", "array", "ifmap_spad", "weight_spad", "psum_spad")

#: The loop nest that every mapping fills in: (level, dimension, axis), outermost first.
TEMPLATE: tuple[tuple[str, str, str], ...] = (
    *(("dram", dimension, "time") for dimension in "NQPMCSR"),
    *(("glb", dimension, "time") for dimension in "MCP"),
    *(("glb", dimension, "x") for dimension in "MQ"),
    *(("array", dimension, "y") for dimension in "MCS"),
    *(("weight_spad", dimension, "time") for dimension in "RC"),
    ("psum_spad", "M", "time"),
)
_COLUMN = {slot: at for at, slot in enumerate(TEMPLATE)}
_SPATIAL = (
    ("glb", "M", "x"),
    ("glb", "Q", "x"),
    ("array", "M", "y"),
    ("array", "C", "y"),
    ("array", "S", "y"),
)


@cache
def divisors(number: int) -> tuple[int, ...]:
    """Divisors of a number, smallest first."""
    small = [one for one in range(1, math.isqrt(number) + 1) if number % one == 0]
    return tuple(sorted({*small, *(number // one for one in small)}))


@cache
def splits(number: int, parts: int) -> tuple[tuple[int, ...], ...]:
    """All ways to write a number as an ordered product of `parts` factors."""
    if parts == 1:
        return ((number,),)
    return tuple(
        (first, *rest) for first in divisors(number) for rest in splits(number // first, parts - 1)
    )


def _spatial_choices(problem: Problem, hierarchy: Hierarchy) -> dict[int, list[tuple[int, ...]]]:
    """Bounds of the five spatial loops, by the number of PEs that they use."""
    choices: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for mx in divisors(problem.m):
        for qx in divisors(problem.q):
            if mx * qx > hierarchy.cols:
                break
            for my in divisors(problem.m // mx):
                for cy in divisors(problem.c):
                    if my * cy > hierarchy.rows:
                        break
                    for sy in divisors(problem.s):
                        if my * cy * sy > hierarchy.rows:
                            break
                        choices[mx * qx * my * cy * sy].append((mx, qx, my, cy, sy))
    return choices


def _words(hierarchy: Hierarchy, name: str) -> float:
    words = hierarchy.levels[hierarchy.names.index(name)].words
    return math.inf if words is None else words


def _temporal(
    problem: Problem, hierarchy: Hierarchy, spatial: tuple[int, ...], *, free: bool
) -> Iterator[list[int]]:
    """Complete one choice of spatial loops; what cannot fit a pad is left out early."""
    mx, qx, my, cy, sy = spatial
    one_pixel = problem.p == problem.q == 1
    pads = (
        _words(hierarchy, "psum_spad"),
        _words(hierarchy, "weight_spad"),
        _words(hierarchy, "ifmap_spad"),
    )
    outer_s, outer_q = problem.s // sy, problem.q // qx
    if outer_s > 1 and not free:
        return
    split_p = splits(problem.p, 2) if free else ((1, problem.p),)
    split_r = splits(problem.r, 2) if free else ((1, problem.r),)
    inputs = [
        (dram_c, glb_c, dram_r, pad_r, pad_c)
        for dram_c, glb_c, pad_c in splits(problem.c // cy, 3)
        if glb_c == 1 or one_pixel
        for dram_r, pad_r in split_r
        if pad_c * pad_r <= pads[2]
    ]
    for dram_m, glb_m, pad_m in splits(problem.m // (mx * my), 3):
        if pad_m > pads[0]:
            continue
        for dram_c, glb_c, dram_r, pad_r, pad_c in inputs:
            if pad_m * pad_c * pad_r <= pads[1]:
                for dram_p, glb_p in split_p:
                    dram = [problem.n, outer_q, dram_p, dram_m, dram_c, outer_s, dram_r]
                    yield [*dram, glb_m, glb_c, glb_p, mx, qx, my, cy, sy, pad_r, pad_c, pad_m]


def _search(problem: Problem, hierarchy: Hierarchy, *, free: bool) -> list[int] | None:
    """Bounds of the best nest, or None if nothing fits."""
    dims, levels, axes = loop_columns(
        [(LEVELS.index(level), dimension, axis) for level, dimension, axis in TEMPLATE]
    )
    best: tuple[int, float, list[int]] | None = None
    by_pes = _spatial_choices(problem, hierarchy)
    for pes in sorted(by_pes, reverse=True):
        if best is not None and problem.macs // pes > best[0]:
            break
        rows = [
            row
            for choice in by_pes[pes]
            for row in _temporal(problem, hierarchy, choice, free=free)
        ]
        if not rows:
            continue
        cycles, energies = costs(problem, dims, np.array(rows, np.int64), levels, axes, hierarchy)
        for at in np.flatnonzero(cycles >= 0)[_order(cycles, energies)][:1]:
            found = (int(cycles[at]), float(energies[at]), rows[at])
            best = found if best is None else min(best, found)
    return None if best is None else best[2]


def _order(cycles: Ints, energies: NDArray[np.float64]) -> Ints:
    """Order of mappings that fit: fewest cycles, least energy, then order of creation."""
    fits = cycles >= 0
    order: Ints = np.lexsort((energies[fits], cycles[fits]))
    return order


def find_mapping(problem: Problem, hierarchy: Hierarchy, *, free: bool = False) -> Mapping:
    """Return the best mapping of a problem on a row-stationary machine.

    Parameters
    ----------
    problem : Problem
    hierarchy : Hierarchy
        Its levels are `LEVELS`.
    free : bool
        Search the free space even where the published one holds a mapping.

    Raises
    ------
    SpecError
        Nothing fits the pads and the GLB.
    """
    bounds = (None if free else _search(problem, hierarchy, free=False)) or _search(
        problem, hierarchy, free=True
    )
    if bounds is None:
        sizes = ", ".join(
            f"{level.name} {level.words} words"
            for level in hierarchy.levels
            if level.words is not None
        )
        shape = ", ".join(
            f"{name} {bound}" for name, bound in zip("NCMPQRS", problem.bounds, strict=True)
        )
        raise SpecError(
            f"no mapping of a layer with {shape} fits ({sizes}); make a pad or the GLB larger"
        )
    return mapping_of(bounds)


def mapping_of(bounds: list[int]) -> Mapping:
    """Turn bounds of `TEMPLATE` into a mapping; loops of bound 1 are left out."""
    levels = []
    for name in LEVELS:
        loops = tuple(
            Loop(dimension, bound, axis)  # type: ignore[arg-type]
            for (level, dimension, axis), bound in zip(TEMPLATE, bounds, strict=True)
            if level == name and bound > 1
        )
        if loops:
            levels.append(LevelLoops(name, loops))
    return Mapping(tuple(levels))


def constraint_broken(mapping: Mapping, problem: Problem) -> str:
    """Say which loop stands where the constraints do not allow it; empty when none does."""
    allowed = {(level, dimension, axis) for level, dimension, axis in TEMPLATE}
    for level, loop in mapping.loops():
        if loop.bound == 1:
            continue
        here = [
            dimension for name, dimension, axis in TEMPLATE if name == level and axis == loop.axis
        ]
        if (level, loop.dimension, loop.axis) not in allowed:
            kind = "in time" if loop.axis == "time" else f"along {loop.axis}"
            return (
                f"loop {loop} at {level} is not allowed: {kind} this level takes"
                f" {', '.join(here) or 'no loop'}"
            )
        if (level, loop.dimension, loop.axis) == (
            "glb",
            "C",
            "time",
        ) and not problem.p == problem.q == 1:
            return (
                f"loop {loop} at glb is not allowed: input channels may loop there only where there"
                " is one output pixel"
            )
    return _order_broken(mapping)


def _order_broken(mapping: Mapping) -> str:
    for level in mapping.levels:
        loops = [loop for loop in level.loops if loop.bound > 1 and loop.axis == "time"]
        columns = [_COLUMN[level.name, loop.dimension, loop.axis] for loop in loops]
        if columns != sorted(set(columns)):
            order = " ".join(
                dimension
                for name, dimension, axis in TEMPLATE
                if name == level.name and axis == "time"
            )
            return (
                f"loops {', '.join(map(str, loops))} at {level.name} are out of order: from the"
                f" outside in it is {order}"
            )
    return ""
