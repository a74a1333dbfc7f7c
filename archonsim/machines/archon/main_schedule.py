"""When a mapped main phase fetches what: the same steps for all tiles of a block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from archonsim.machines.archon.main_mapping import (
    OPERANDS,
    Dimension,
    Extents,
    GroupPlaces,
    Ints,
    MainMapping,
    Nest,
    Operand,
    tile_changes,
)


class Stop(NamedTuple):
    """A step at which something moves.

    Attributes
    ----------
    step, beat : int
        Number of the step, and of its first beat.
    spill : bool
        Whether a tile of partial sums leaves its pad before the step, to come back later.
    fetches : tuple of (operand, int)
        What is fetched: how many of its tiles.
    """

    step: int
    beat: int
    spill: bool
    fetches: tuple[tuple[Operand, int], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Schedule:
    """A block's steps, the same for all its tiles.

    Attributes
    ----------
    extents : Extents
    mapping : MainMapping
    first_beat : (S,) int64
        First beat of each step.
    fetches : dict of operand to dict of step to int
        How many of its tiles an operand fetches at a step.
    spills : int
        Tiles of partial sums that leave their pad to come back later.
    table : (n, 7) int64
        Steps at which anything is fetched or spilled, in order: step, first beat, tiles of sums
        that leave, and tiles of each operand that are fetched.
    new_group : dict of step to int
        Steps at which the stream comes to another channel group, or to clip terms: of which ReLU,
        0 for none.
    mask_stays, input_stays : bool
        Whether masks and inputs are on chip before the phase starts.
    """

    extents: Extents
    mapping: MainMapping
    first_beat: Ints
    fetches: Mapping[Operand, Mapping[int, int]]
    spills: int
    table: Ints
    new_group: Mapping[int, int]
    mask_stays: bool
    input_stays: bool

    @cached_property
    def stops(self) -> tuple[Stop, ...]:
        """The rows of `table`, for a phase that SimPy carries."""
        return tuple(
            Stop(
                step,
                beat,
                spill > 0,
                tuple((name, count) for name, count in zip(OPERANDS, counts, strict=True) if count),
            )
            for step, beat, spill, *counts in self.table.tolist()
        )

    def hidden(self, operand: Operand, count: int) -> int:
        """Return how many words of a tile of an operand, of `count`, its scratchpad holds ahead."""
        units = self.extents.tile_units(operand, self.mapping)[0]
        return count * self.mapping.ahead_of(operand) // units


def _revisits(nest: Nest, mapping: MainMapping, steps: Ints) -> tuple[Ints, frozenset[int]]:
    """Return the steps at which sums come back, and those before which sums leave to come back."""
    both: tuple[Dimension, ...] = ("g", "o")
    outer = [name for name in both if not mapping.spans("psum", name)]
    tiles = np.stack([nest.loops[name][steps] for name in outer] or [np.zeros(len(steps), int)], 1)
    _, first, number = np.unique(tiles, axis=0, return_index=True, return_inverse=True)
    again = np.ones(len(steps), bool)
    again[first] = False
    last = np.zeros(len(first), np.int64)
    np.maximum.at(last, number.ravel(), np.arange(len(steps)))
    leaves = np.arange(len(steps)) < last[number.ravel()]
    return steps[again], frozenset(steps[1:][leaves[:-1]].tolist())


def schedule(
    places: GroupPlaces, nest: Nest, mapping: MainMapping, beats: Ints, stays: tuple[bool, bool]
) -> Schedule:
    """Work out when each operand is fetched.

    Parameters
    ----------
    places, nest, mapping : of the block
    beats : (N,) int64
        Beats of each group, in the block's own order.
    stays : (bool, bool)
        Whether masks and inputs are on chip before the phase starts.
    """
    extents = places.extents
    of_step = np.add.reduceat(beats[nest.groups], nest.step_first[:-1])
    sent = of_step > 0
    loops = {name: column[sent] for name, column in nest.loops.items()}
    kept = Nest(nest.groups, np.append(0, np.cumsum(of_step[sent])), loops, nest.planes[sent])
    fetches: dict[Operand, dict[int, int]] = {}
    spills: frozenset[int] = frozenset()
    for operand in OPERANDS:
        steps = tile_changes(kept, extents, mapping, operand)
        if operand == "psum":
            steps, spills = _revisits(kept, mapping, steps)
        fetches[operand] = dict.fromkeys(steps.tolist(), 1)
    if extents.late:
        for at in fetches["keep1"]:
            if loops["g"][at] == extents.groups:
                fetches["keep1"][at] = extents.groups
    moved_on = np.diff(loops["g"], prepend=-1) != 0
    moved_on |= np.diff(kept.planes, prepend=0) != 0
    first_beat = kept.step_first[:-1]
    table = np.zeros((len(first_beat), 3 + len(OPERANDS)), np.int64)
    table[:, 0], table[:, 1] = np.arange(len(first_beat)), first_beat
    table[sorted(spills), 2] = 1
    for column, operand in enumerate(OPERANDS, start=3):
        table[list(fetches[operand]), column] = list(fetches[operand].values())
    return Schedule(
        extents=extents,
        mapping=mapping,
        first_beat=first_beat,
        fetches=fetches,
        spills=len(spills),
        table=table[table[:, 2:].any(axis=1) | moved_on],
        new_group={step: int(kept.planes[step]) for step in np.flatnonzero(moved_on).tolist()},
        mask_stays=stays[0],
        input_stays=stays[1],
    )
