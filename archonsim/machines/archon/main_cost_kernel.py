"""Numba kernel: an operand's fetches in a main phase's loop nest, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

#: Numbers of the operands, as in `main_mapping.OPERANDS`: each numba file is self-contained.
KEEP1, KEEP2, INPUT, PSUM = 0, 1, 2, 3


@njit(cache=True)
def operand_cost(
    beats: Any,
    sent: Any,
    order: Any,
    operand: int,
    moves: Any,
    streamed: bool,
    late_groups: int,
    fetch: Any,
) -> Any:
    """Walk the steps of a nest in order and add up what one operand's fetches take.

    Parameters
    ----------
    beats : (G, O, K + 1, C + 1) int64
        Beats of each step: channel group, block of outputs, tap, block of inputs. The last tap is
        that of b2's bias groups, the last block of inputs that of all bias groups.
    sent : (G, O, K + 1, C + 1) bool
        Whether a step sends any group.
    order : (4,) int64
        Axes of `beats`, outermost loop first.
    operand : int
        Place in :data:`~archonsim.machines.archon.main_mapping.OPERANDS`.
    moves : (4,) bool
        Whether the operand has another tile when a loop (axis) moves.
    streamed : bool
        Whether every step fetches it.
    late_groups : int
        How many groups' keep1 the last channel group's steps need (blocks where DW comes last); 0
        for none.
    fetch : (n, 2) int64
        For each of some ways to hold the operand, the cycles of a fetch: of what can pass before
        the step begins, and of what must wait for the tile before it.

    Returns
    -------
    exposed : (n,) int64
        Cycles of fetches that no beats hide. A fetch hides behind the beats since the one before
        it, the first one of a tile of pixels behind the last ones of the tile before.
    count : int
        Fetches; of sums, those that come back.
    """
    sizes = np.array(beats.shape)
    axis = np.zeros(4, np.int64)
    tile = np.full(4, -1, np.int64)
    visited = np.zeros((sizes[0], sizes[1]), np.bool_)
    exposed = np.zeros(len(fetch), np.int64)
    count, busy, first, fresh = 0, 0, 0, True
    for a in range(sizes[order[0]]):
        axis[order[0]] = a
        for b in range(sizes[order[1]]):
            axis[order[1]] = b
            for c in range(sizes[order[2]]):
                axis[order[2]] = c
                for d in range(sizes[order[3]]):
                    axis[order[3]] = d
                    at = (axis[0], axis[1], axis[2], axis[3])
                    if not sent[at]:
                        continue
                    needed = True
                    if axis[2] == sizes[2] - 1:  # b2's groups look at keep2 of the PE's own pixel
                        needed = operand == PSUM or (operand == KEEP2 and not moves[2])
                    if operand == INPUT and axis[3] == sizes[3] - 1:
                        needed = False
                    changed = needed and (fresh or streamed)
                    if needed:
                        for loop in range(4):
                            changed |= moves[loop] and tile[loop] != axis[loop]
                    if changed:
                        tile[:] = axis
                        times = 1
                        if operand == KEEP1 and late_groups and axis[0] == sizes[0] - 1:
                            times = late_groups
                        elif operand == PSUM:
                            row, column = axis[0] * moves[0], axis[1] * moves[1]
                            times = 0 if not visited[row, column] else 1
                            visited[row, column] = True
                        count += times
                        for n in range(len(fetch)):
                            exposed[n] += times * fetch[n, 1]
                            if not fresh:
                                exposed[n] += max(0, times * fetch[n, 0] - busy)
                        if fresh:
                            first = times
                        fresh, busy = False, 0
                    busy += beats[at]
    for n in range(len(fetch)):
        exposed[n] += max(0, first * fetch[n, 0] - busy)
    return exposed, count
