"""The definition of a FuSe row.

Inputs move right through the PEs, a broadcast wire brings one tap's weight to all of them.

Stepped clock edge by clock edge, PE by PE. A row of Y PEs makes the outputs of Y neighbouring
positions of a line. Inputs enter on the left, the one behind the last position first, so that PE j
ends up next to its window; after Y edges every PE holds the input of its last tap, and at each
of the next K edges the row multiplies by one broadcast weight, adds, and moves its inputs on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(slots=True)
class RowElement:
    """One PE of a row: the input that moves right, and the sum that stays."""

    right: int = 0
    total: int = 0


def step_piece(line: Numbers, taps: Numbers, first: int, cols: int) -> tuple[list[int], int]:
    """Compute positions ``first : first + cols`` of a line.

    Parameters
    ----------
    line : (L,) int64
        With its padding; beyond its end zeros enter.
    taps : (K,) int64

    Returns
    -------
    totals : list of int
        One for each PE.
    edges : int
    """
    row = [RowElement() for _ in range(cols)]
    entering = [
        int(line[at]) if at < len(line) else 0 for at in range(first, first + cols + len(taps) - 1)
    ]
    edges = 0

    def move() -> None:
        for j in reversed(range(1, cols)):
            row[j].right = row[j - 1].right
        row[0].right = entering.pop() if entering else 0

    for _ in range(cols):
        edges += 1
        move()
    for weight in taps[::-1]:
        edges += 1
        for pe in row:
            pe.total += pe.right * int(weight)
        move()
    return [pe.total for pe in row], edges


def step_lines(
    lines: Numbers, taps: Numbers, positions: int, rows: int, cols: int
) -> tuple[Numbers, int]:
    """Compute all positions of all lines, `rows` lines at a time, piece by piece.

    Parameters
    ----------
    lines : (n, L) int64
    taps : (n, K) int64
        Of each line's channel.
    positions : int
        Outputs of a line, at a stride of 1.

    Returns
    -------
    totals : (n, positions) int64
    edges : int
    """
    made: list[list[int]] = [[] for _ in lines]
    edges = 0
    for top in range(0, len(lines), rows):
        for first in range(0, positions, cols):
            taken = 0
            for at in range(
                top, min(top + rows, len(lines))
            ):  # the rows of the array, side by side
                totals, taken = step_piece(lines[at], taps[at], first, cols)
                made[at] += totals[: positions - first]
            edges += taken
    return np.array(made, np.int64), edges
