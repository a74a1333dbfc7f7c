"""A mapping as data: the loops of each storage level, their order, and what is spatial.

A loop is written ``"Q8"`` (dimension and bound, in time), ``"M2x"`` or ``"C4y"`` (across the
array's axis X or Y). A level lists its loops from the outermost to the innermost; in a file a
mapping is a table of levels (TOML or JSON)::

    dram = ["Q8"]
    glb = ["P32", "M2x", "Q4x"]
    array = ["M2y", "C4y"]
    weight_spad = ["C4"]
    psum_spad = ["M24"]
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass
from typing import Literal

from archonsim.dataflow.problem import DIMENSIONS, Problem
from archonsim.errors import SpecError, nearest

Axis = Literal["time", "x", "y"]


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop.

    Attributes
    ----------
    dimension : {"N", "C", "M", "P", "Q", "R", "S"}
    bound : int
    axis : {"time", "x", "y"}
        In time, or across one of the array's axes.
    """

    dimension: str
    bound: int
    axis: Axis = "time"

    @classmethod
    def parse(cls, text: object, where: str) -> Loop:
        """Read ``"M24"`` or ``"M2x"``.

        Raises
        ------
        SpecError
            The text is no loop.
        """
        match = (
            re.fullmatch(r"([NCMPQRS])([1-9]\d*)([xy]?)", text) if isinstance(text, str) else None
        )
        if match is None:
            dimensions = ", ".join(DIMENSIONS)
            raise SpecError(
                f'{where}: loop {text!r} is not DIMENSION BOUND [x|y] such as "M24" or "M2x";'
                f" dimensions are {dimensions}, bounds integers of at least 1"
            )
        return cls(match[1], int(match[2]), match[3] or "time")  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.dimension}{self.bound}{'' if self.axis == 'time' else self.axis}"


@dataclass(frozen=True, slots=True)
class LevelLoops:
    """Loops at one level, outermost first."""

    name: str
    loops: tuple[Loop, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Loops of all levels, outermost level first; a level without loops may be left out."""

    levels: tuple[LevelLoops, ...]

    @classmethod
    def parse(cls, table: object, names: Sequence[str], where: str) -> Mapping:
        """Read a table of levels, in whatever order the file has them.

        Parameters
        ----------
        table : mapping of level name to list of loops
        names : sequence of str
            Levels of the hierarchy, outermost first.
        where : str
            Opens every error message.

        Raises
        ------
        SpecError
            Unknown level, or something that is no loop.
        """
        if not isinstance(table, Table):
            raise SpecError(f"{where}: a mapping is a table of levels, not {table!r}")
        levels: dict[str, tuple[Loop, ...]] = {}
        for name, loops in table.items():
            if name not in names:
                raise SpecError(f"{where}: unknown level {name!r}{nearest(str(name), names)}")
            if isinstance(loops, str) or not isinstance(loops, Sequence):
                raise SpecError(f"{where}: level {name} is {loops!r}; it must be a list of loops")
            levels[name] = tuple(Loop.parse(loop, f"{where}: level {name}") for loop in loops)
        return cls(tuple(LevelLoops(name, levels[name]) for name in names if levels.get(name)))

    def to_table(self) -> dict[str, list[str]]:
        """Return the form that `parse` reads."""
        return {level.name: [str(loop) for loop in level.loops] for level in self.levels}

    def loops(self) -> Iterator[tuple[str, Loop]]:
        """All loops with the name of their level, outermost first."""
        return ((level.name, loop) for level in self.levels for loop in level.loops)

    def extent(self, *axes: Axis) -> int:
        """Product of the bounds of all loops on the given axes."""
        return math.prod(loop.bound for _, loop in self.loops() if loop.axis in axes)

    @property
    def cycles(self) -> int:
        """Cycles when no port limits: one MAC a PE and cycle."""
        return self.extent("time")

    @property
    def pes_used(self) -> int:
        """PEs that work."""
        return self.extent("x", "y")

    def bound(self, dimension: str, *axes: Axis) -> int:
        """Product of the bounds of one dimension's loops, on all axes or on some."""
        among = axes or ("time", "x", "y")
        return math.prod(
            loop.bound
            for _, loop in self.loops()
            if loop.dimension == dimension and loop.axis in among
        )

    def check_covers(self, problem: Problem, where: str) -> None:
        """Check that the loops of every dimension multiply to its bound.

        Raises
        ------
        SpecError
            One does not: the message names it.
        """
        for dimension, bound in zip(DIMENSIONS, problem.bounds, strict=True):
            found = self.bound(dimension)
            if found != bound:
                at = (
                    ", ".join(
                        f"{loop} at {level}"
                        for level, loop in self.loops()
                        if loop.dimension == dimension
                    )
                    or "no loop"
                )
                raise SpecError(
                    f"{where}: {dimension} is {bound}, but its loops ({at}) multiply to {found}"
                )
