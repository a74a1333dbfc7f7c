"""What a mapping costs: cycles, words per level and data kind, energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archonsim.dataflow.hierarchy import Hierarchy
from archonsim.dataflow.mapping import Mapping
from archonsim.dataflow.nest_kernel import (
    FILLS,
    PARTITION,
    READS,
    TILE,
    UPDATES,
    nest_cost,
    nest_costs,
    nest_counts,
)
from archonsim.dataflow.problem import DIMENSIONS, KINDS, Problem
from archonsim.errors import SpecError

Ints = NDArray[np.int64]
_AXES = {"time": 0, "x": 1, "y": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Words of one data kind at one level, for one group of a layer.

    Attributes
    ----------
    reads, updates, fills : int
        Of one instance: words given to the level below (or read back to be added to), results that
        came from below, and words that came from above.
    reductions : int
        Updates that were added to an earlier value.
    partition : int
        Words of the tensor that one instance sees in all.
    tile : int
        Words held at a time.
    instances : int
        Instances of the level that are used.
    energy_pj : float
        Of all instances.
    """

    reads: int
    updates: int
    fills: int
    reductions: int
    partition: int
    tile: int
    instances: int
    energy_pj: float


@dataclass(frozen=True, slots=True)
class Cost:
    """A mapped problem, for one group of a layer.

    Attributes
    ----------
    cycles : int
        Product of the loops in time, or more where a level's ports cannot keep up.
    pes_used : int
    energy_pj : float
    mac_pj : float
        Share of the multipliers in `energy_pj`.
    counts : dict of (level, data kind) to Counts
    """

    cycles: int
    pes_used: int
    energy_pj: float
    mac_pj: float
    counts: dict[tuple[str, str], Counts]


class Limits(NamedTuple):
    """A hierarchy as arrays, one entry a level."""

    keeps: NDArray[np.bool_]
    blocks: Ints
    access_pj: NDArray[np.float64]
    words: Ints
    reads: Ints
    writes: Ints

    @classmethod
    def of(cls, hierarchy: Hierarchy) -> Limits:
        """Turn limits into numbers, -1 for none."""
        levels = hierarchy.levels
        return cls(
            keeps=np.array([[kind in level.keeps for kind in KINDS] for level in levels], np.bool_),
            blocks=np.array([level.block_words for level in levels], np.int64),
            access_pj=np.array([level.access_pj for level in levels], np.float64),
            words=np.array(
                [-1 if level.words is None else level.words for level in levels], np.int64
            ),
            reads=np.array([level.read_words_per_cycle or -1 for level in levels], np.int64),
            writes=np.array([level.write_words_per_cycle or -1 for level in levels], np.int64),
        )


def _arrays(mapping: Mapping, hierarchy: Hierarchy) -> tuple[Ints, Ints, Ints, Ints]:
    names = hierarchy.names
    rows = [
        (DIMENSIONS.index(loop.dimension), loop.bound, names.index(level), _AXES[loop.axis])
        for level, loop in mapping.loops()
    ]
    table = np.array(rows, np.int64).reshape(-1, 4)
    dims, bounds, levels, axes = (np.ascontiguousarray(column) for column in table.T)
    return dims, bounds, levels, axes


def evaluate(
    problem: Problem,
    mapping: Mapping,
    hierarchy: Hierarchy,
    where: str = "mapping",
    *,
    own_inputs: bool = False,
) -> Cost:
    """Count what a mapped problem does.

    Parameters
    ----------
    problem : Problem
    mapping : Mapping
        Its levels are the hierarchy's.
    hierarchy : Hierarchy
    where : str
        Opens error messages.
    own_inputs : bool
        Count a depthwise layer's inputs as what they are, one map for each channel. The published
        analysis lets all channels share one, and so do its mappings: with maps of their own they
        may exceed the pads, which is not checked then.

    Raises
    ------
    SpecError
        The mapping does not cover the problem, is wider than the array, or a tile exceeds its
        level: by how much.
    """
    mapping.check_covers(problem, where)
    _check_array(mapping, hierarchy, where)
    dims, bounds, levels, axes = _arrays(mapping, hierarchy)
    limits = Limits.of(hierarchy)
    table = np.empty((len(hierarchy.levels), 3, 5), np.int64)
    nest_counts(
        dims,
        bounds,
        levels,
        axes,
        problem.stride_w,
        problem.stride_h,
        limits.keeps,
        own_inputs,
        table,
    )
    if not own_inputs:
        _check_capacity(hierarchy, table, limits, where)
    cycles, energy = nest_cost(
        bounds,
        levels,
        axes,
        table,
        limits.keeps,
        limits.blocks,
        limits.access_pj,
        hierarchy.mac_pj,
        limits.words,
        limits.reads,
        limits.writes,
    )
    counts = {}
    for at, level in enumerate(hierarchy.levels):
        instances = int(bounds[(axes > 0) & (levels < at)].prod())
        for kind in level.keeps:
            row = table[at, KINDS.index(kind)]
            counts[level.name, kind] = _counts(
                row, kind, instances, level.block_words, level.access_pj
            )
    return Cost(
        int(cycles), mapping.pes_used, float(energy), hierarchy.mac_pj * problem.macs, counts
    )


def _counts(row: Ints, kind: str, instances: int, block: int, access_pj: float) -> Counts:
    reads, updates, fills = int(row[READS]), int(row[UPDATES]), int(row[FILLS])
    return Counts(
        reads=reads,
        updates=updates,
        fills=fills,
        reductions=reads if kind == "output" else 0,
        partition=int(row[PARTITION]),
        tile=int(row[TILE]),
        instances=instances,
        energy_pj=-(-(reads + updates + fills) // block) * access_pj * instances,
    )


def _check_array(mapping: Mapping, hierarchy: Hierarchy, where: str) -> None:
    for axis, name, limit in (("x", "columns", hierarchy.cols), ("y", "rows", hierarchy.rows)):
        used = mapping.extent(axis)  # type: ignore[arg-type]
        if used > limit:
            loops = ", ".join(
                f"{loop} at {level}" for level, loop in mapping.loops() if loop.axis == axis
            )
            raise SpecError(
                f"{where}: axis {axis} has {limit} {name} of PEs, and its loops ({loops}) take"
                f" {used}"
            )


def _check_capacity(hierarchy: Hierarchy, table: Ints, limits: Limits, where: str) -> None:
    for at, level in enumerate(hierarchy.levels):
        held = {kind: int(table[at, KINDS.index(kind), TILE]) for kind in level.keeps}
        need = sum(held.values())
        if level.words is not None and need > level.words:
            parts = " + ".join(f"{words} of {kind}" for kind, words in held.items())
            over = need - level.words
            raise SpecError(
                f"{where}: {level.name} holds {level.words} words, its tiles need {need} ({parts}):"
                f" {over} too many"
            )


def costs(
    problem: Problem, dims: Ints, candidates: Ints, levels: Ints, axes: Ints, hierarchy: Hierarchy
) -> tuple[Ints, NDArray[np.float64]]:
    """Return cycles and energies of nests that differ in their bounds.

    Cycles are -1 where a tile does not fit.

    Parameters
    ----------
    problem : Problem
    dims, levels, axes : (loops,) int
        As in :mod:`archonsim.dataflow.nest_kernel`.
    candidates : (n, loops) int
        Bounds.
    hierarchy : Hierarchy
    """
    limits = Limits.of(hierarchy)
    result: tuple[Ints, NDArray[np.float64]] = nest_costs(
        dims,
        candidates,
        levels,
        axes,
        problem.stride_w,
        problem.stride_h,
        limits.keeps,
        limits.blocks,
        limits.access_pj,
        hierarchy.mac_pj,
        limits.words,
        limits.reads,
        limits.writes,
    )
    return result


def loop_columns(loops: Sequence[tuple[int, str, str]]) -> tuple[Ints, Ints, Ints]:
    """Turn (level, dimension, axis) of a nest's loops into ``dims``, ``levels`` and ``axes``."""
    dims = np.array([DIMENSIONS.index(dimension) for _, dimension, _ in loops], np.int64)
    levels = np.array([level for level, _, _ in loops], np.int64)
    axes = np.array([_AXES[axis] for _, _, axis in loops], np.int64)
    return dims, levels, axes
