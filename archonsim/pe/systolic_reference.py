"""The definition of a systolic array.

PEs with registers, stepped clock edge by clock edge, multiplying real numbers.

At an edge each PE latches what its left and upper neighbours held before, and uses what it held
itself. Operands carry their presence (None: nothing), so that every edge of :class:`Stepped` is
observed, not computed. What the named timing conventions of :mod:`archonsim.dataflow.systolic`
count:

``scalesim``
    Up to ``last_operand``, on an array that is in use as a whole (edges padded with zeros).
``fuseconv``
    Up to ``last_sum``, with the rows and columns that the fold really uses.
``drained``
    Up to ``last_out``, likewise; unused rows lie at the bottom and pass results on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.int64]


@dataclass(slots=True)
class ProcessingElement:
    """One PE: what moves right, what moves down, and what stays."""

    right: int | None = None
    down: int | None = None
    kept: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Stepped:
    """What one fold took.

    Attributes
    ----------
    product : (r, c) int64, or (T, c) where an operand is stationary
        The fold's result, as it left the array.
    last_operand : int
        Edge at which the last operand was latched.
    last_sum : int
        Edge at which the last multiplication was added.
    last_out : int
        Edge at which the last result stood below, or in the last register of, its column.
    """

    product: Matrix
    last_operand: int
    last_sum: int
    last_out: int


class Array:
    """A grid of PEs and its clock."""

    def __init__(self, rows: int, cols: int) -> None:
        self.rows, self.cols = rows, cols
        self.grid = [[ProcessingElement() for _ in range(cols)] for _ in range(rows)]
        self.edge = self.last_operand = self.last_sum = 0

    def cells(self) -> list[tuple[int, int, ProcessingElement]]:
        """All PEs, last row and column first: a PE still sees its neighbours' old registers."""
        return [
            (i, j, self.grid[i][j])
            for i in reversed(range(self.rows))
            for j in reversed(range(self.cols))
        ]

    @property
    def moving(self) -> bool:
        """Whether anything is still on its way."""
        return any(pe.right is not None or pe.down is not None for _, _, pe in self.cells())


def _enters(stream: Matrix, lane: int, edge: int) -> int | None:
    """What enters a lane at an edge, counted from 1: lane i starts i edges late."""
    step = edge - 1 - lane
    return int(stream[lane, step]) if lane < len(stream) and 0 <= step < stream.shape[1] else None


def output_stationary(rows: int, cols: int, left: Matrix, top: Matrix) -> Stepped:
    """Step one ``os`` fold: sums stay, and leave downwards when all of them are final.

    Parameters
    ----------
    rows, cols : int
        The array.
    left : (r, T) int64
        Inputs that enter the rows.
    top : (c, T) int64
        Weights that enter the columns.
    """
    array = Array(rows, cols)
    while array.edge == 0 or array.moving:
        array.edge += 1
        for i, j, pe in array.cells():
            if pe.right is not None and pe.down is not None:
                pe.kept = (pe.kept or 0) + pe.right * pe.down
                array.last_sum = array.edge
            pe.right = array.grid[i][j - 1].right if j else _enters(left, i, array.edge)
            pe.down = array.grid[i - 1][j].down if i else _enters(top, j, array.edge)
            if pe.right is not None and pe.down is not None:
                array.last_operand = array.edge
    out: list[list[int]] = []
    edge = last_out = array.last_sum
    while any(pe.kept is not None for _, _, pe in array.cells()):
        edge += 1
        leaving = [pe.kept for pe in array.grid[-1] if pe.kept is not None]
        if leaving:
            out.append(leaving)
            last_out = edge
        for i, j, pe in array.cells():
            pe.kept = array.grid[i - 1][j].kept if i else None
    return Stepped(np.array(out[::-1], np.int64), array.last_operand, array.last_sum, last_out)


def _load(array: Array, kept: Matrix) -> None:
    """Shift the stationary operand in from above, its last row first, one row an edge."""
    for row in kept[::-1]:
        array.edge += 1
        for i, j, pe in array.cells():
            pe.kept = array.grid[i - 1][j].kept if i else (int(row[j]) if j < len(row) else None)


def operand_stationary(rows: int, cols: int, kept: Matrix, left: Matrix) -> Stepped:
    """Step one ``ws`` or ``is`` fold.

    An operand stays, the other one enters the rows, sums move down.

    Parameters
    ----------
    rows, cols : int
        The array.
    kept : (r, c) int64
        The stationary operand.
    left : (r, T) int64
        The operand that enters the rows.
    """
    array = Array(rows, cols)
    _load(array, kept)
    loaded = array.edge
    out: list[list[int]] = [[] for _ in range(kept.shape[1])]
    last_out = 0
    while array.edge == loaded or array.moving:
        array.edge += 1
        for i, j, pe in array.cells():
            total = array.grid[i - 1][j].down if i else None
            if pe.right is not None and pe.kept is not None:
                total = (total or 0) + pe.right * pe.kept
                array.last_sum = array.edge
            pe.down = total
            pe.right = array.grid[i][j - 1].right if j else _enters(left, i, array.edge - loaded)
            if pe.right is not None and pe.kept is not None:
                array.last_operand = array.edge
        for column, pe in zip(out, array.grid[-1], strict=False):
            if pe.down is not None:
                column.append(pe.down)
                last_out = array.edge
    return Stepped(np.array(out, np.int64).T, array.last_operand, array.last_sum, last_out)
