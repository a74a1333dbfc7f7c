"""Numba kernels: an operand's fetches in a main phase's loop nest, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from archonsim.kernels import njit

#: Numbers of the operands, as in `main_mapping.OPERANDS`: each numba file is self-contained.
KEEP1, KEEP2, INPUT, PSUM = 0, 1, 2, 3
#: What a step sends: nothing; b2's bias groups, which look at the
#: second mask of a PE's own pixel; b1's, of a tap; products, of a tap and an input channel.
NOTHING, OWN, OF_TAP, OF_INPUT = 0, 1, 2, 3


@njit(cache=True)
def following_steps(sends: Any) -> Any:
    """Return the first step from each place of a nest on that sends something of a kind.

    Parameters
    ----------
    sends : (S,) uint8
        What the steps send, in the order of the nest's loops.

    Returns
    -------
    (4, S + 1) int32
        By kind of :data:`OWN`, `OF_TAP`, `OF_INPUT` (the first row is not used): the first place
        whose step sends that kind or a later one; S where there is none.
    """
    places = len(sends)
    found = np.empty((4, places + 1), np.int32)
    found[:, places] = places
    own = of_tap = of_input = places
    for at in range(places - 1, -1, -1):
        what = sends[at]
        if what >= OWN:
            own = at
        if what >= OF_TAP:
            of_tap = at
        if what >= OF_INPUT:
            of_input = at
        found[OWN, at], found[OF_TAP, at], found[OF_INPUT, at] = own, of_tap, of_input
    return found


@njit(cache=True)
def operand_cost(
    before: Any,
    following: Any,
    sizes: Any,
    order: Any,
    operand: int,
    moves: Any,
    nest: Any,
    fetch: Any,
) -> Any:
    """Walk the steps of a nest in order and add up what one operand's fetches take.

    Parameters
    ----------
    before : (S + 1,) int64
        Beats before each place of the nest, in the order of its loops.
    following : (4, S + 1) int32
        As :func:`following_steps` returns it.
    sizes : (4,) int64
        Iterations of each axis, bias groups included.
    order : (4,) int64
        Axes, outermost loop first.
    operand : int
        Place in :data:`~archonsim.machines.archon.main_mapping.OPERANDS`.
    moves : (4,) bool
        Whether the operand has another tile when a loop (axis) moves.
    nest : (4,) int64
        Whether every step fetches the operand; how many groups' keep1 the last channel group's
        steps need (blocks where DW comes last, 0 for none); tiles of output pixels, one after the
        other; cycles before the very first beat.
    fetch : (n, 2) int64
        For each of some ways to hold the operand, the cycles of a fetch: of what can pass before
        the step begins, and of what must wait for the tile before it.

    Returns
    -------
    exposed : (n,) int64
        Cycles of fetches that no beats hide, in all tiles. A fetch hides behind the beats since the
        one before it, the first one of a tile of pixels behind the last ones of the tile before,
        the very first one behind what passes before the first beat.
    count : int
        Fetches in all tiles; of sums, those that come back.
    """
    streamed, late_groups, tiles, head = nest[0] > 0, nest[1], nest[2], nest[3]
    kind = OF_INPUT if operand == INPUT else OF_TAP
    if operand == PSUM or (operand == KEEP2 and not moves[2]):
        kind = OWN
    loops = 0  # those down to the innermost one that moves the operand
    for loop in range(4):
        if streamed or moves[order[loop]]:
            loops = loop + 1
    inner = 1
    for loop in range(loops, 4):
        inner *= sizes[order[loop]]
    visited = np.zeros((sizes[0], sizes[1]), np.bool_)
    exposed = np.zeros(len(fetch), np.int64)
    axis, tile = np.zeros(4, np.int64), np.full(4, -1, np.int64)
    count, since, first, fresh = 0, 0, 0, True
    places = len(before) - 1
    for start in range(0, places, inner):
        at = following[kind, start]
        changed = at < start + inner
        if changed and not (fresh or streamed):
            changed = False
            for loop in range(4):
                changed |= moves[loop] and tile[loop] != axis[loop]
        if changed:
            tile[:] = axis
            times = 1
            if operand == KEEP1 and late_groups and _place(at, sizes, order) == sizes[0] - 1:
                times = late_groups
            elif operand == PSUM:
                row, column = axis[0] * moves[0], axis[1] * moves[1]
                times = 0 if not visited[row, column] else 1
                visited[row, column] = True
            count += times
            for n in range(len(fetch)):
                exposed[n] += tiles * times * fetch[n, 1]
                if not fresh:
                    exposed[n] += tiles * max(0, times * fetch[n, 0] - (before[at] - since))
            if fresh:
                first = times
            fresh, since = False, before[at]
        for loop in range(loops - 1, -1, -1):
            axis[order[loop]] += 1
            if axis[order[loop]] < sizes[order[loop]]:
                break
            axis[order[loop]] = 0
    if not fresh:
        busy = before[places] - since
        for n in range(len(fetch)):
            ahead = first * fetch[n, 0]
            exposed[n] += max(0, ahead - head) + (tiles - 1) * max(0, ahead - busy)
    return exposed, tiles * count


@njit(cache=True)
def _place(at: int, sizes: Any, order: Any) -> Any:
    """Return the channel group of a place."""
    for loop in range(3, -1, -1):
        here = at % sizes[order[loop]]
        at //= sizes[order[loop]]
        if order[loop] == 0:
            return here
    return 0
