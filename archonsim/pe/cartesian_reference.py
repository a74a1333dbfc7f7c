"""PEs of cartesian products, stepped cycle by cycle with their queues: the kernel's definition."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from archonsim.pe.cartesian_kernel import NO_BANKS, CartesianPlan

Bits = NDArray[np.uint8]


def _outputs(
    vector: list[tuple[int, int]], weights: list[tuple[int, int, int]], plan: CartesianPlan
) -> list[tuple[int, int, int]]:
    """Outputs (channel, row, column) that the products of two vectors belong to."""
    found = []
    for (m, r, s), (y, x) in product(weights, vector):
        at_y, at_x = y + plan.top - r, x + plan.left - s
        if at_y % plan.stride_h == 0 and at_x % plan.stride_w == 0:
            row, column = at_y // plan.stride_h, at_x // plan.stride_w
            if 0 <= row < plan.out_h and 0 <= column < plan.out_w:
                found.append((m, row, column))
    return found


def step_pe(
    nonzero: NDArray[np.bool_],
    alive: Bits,
    filters: range,
    corner: tuple[int, int],
    plan: CartesianPlan,
) -> tuple[int, int, int]:
    """Return a PE's vectors, cycles and useful products of a round.

    Parameters
    ----------
    nonzero : (O, C/G, R, S) bool
    alive : (C, H, W) uint8
    filters : range
        Output channels of the round.
    corner : (row, column)
        First pixel of its tile.
    plan : CartesianPlan
    """
    meetings = []
    for group in dict.fromkeys(m // plan.filters for m in filters):
        own = [m for m in filters if m // plan.filters == group]
        for c in range(plan.channels):
            y0, x0 = corner
            tile = alive[group * plan.channels + c, y0 : y0 + plan.tile_h, x0 : x0 + plan.tile_w]
            acts = [(int(y) + y0, int(x) + x0) for y, x in np.argwhere(tile)]
            wgts = [
                (m - filters.start, int(r), int(s))
                for r, s in np.ndindex(*nonzero.shape[2:])
                for m in own
                if nonzero[m, c, r, s]
            ]
            meetings += [
                (acts[a : a + plan.inputs], wgts[w : w + plan.weights])
                for a in range(0, len(acts), plan.inputs)
                for w in range(0, len(wgts), plan.weights)
            ]
    queues = dict.fromkeys(range(plan.banks), 0)
    cycles, useful, waiting = 0, 0, list(meetings)
    while waiting or any(queues.values()):
        if waiting and max(queues.values(), default=0) <= plan.queue:
            made = _outputs(*waiting.pop(0), plan)
            useful += len(made)
            for m, y, x in made if plan.banks != NO_BANKS else ():
                queues[(m * plan.inputs + y * plan.out_w + x) % plan.banks] += 1
        for bank in queues:
            queues[bank] = max(0, queues[bank] - 1)
        cycles += 1
    return len(meetings), cycles, useful


def step_layer(
    nonzero: NDArray[np.bool_], alive: Bits, plan: CartesianPlan
) -> tuple[list[list[int]], list[list[int]], int]:
    """Return vectors and cycles of each round and PE, and all useful products."""
    height, width = alive.shape[1:]
    steps, ends, useful = [], [], 0
    high, wide = plan.tile_h * plan.rows, plan.tile_w * plan.cols
    outputs = plan.groups * plan.filters
    for y0, x0 in product(range(0, height, high), range(0, width, wide)):
        for first in range(0, outputs, plan.together):
            filters = range(first, min(first + plan.together, outputs))
            found = [
                step_pe(
                    nonzero,
                    alive,
                    filters,
                    (y0 + row * plan.tile_h, x0 + column * plan.tile_w),
                    plan,
                )
                for row, column in product(range(plan.rows), range(plan.cols))
            ]
            steps.append([one[0] for one in found])
            ends.append([one[1] for one in found])
            useful += sum(one[2] for one in found)
    return steps, ends, useful
