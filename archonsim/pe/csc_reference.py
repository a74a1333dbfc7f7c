"""PEs with compressed columns, stepped cycle by cycle: the definition of the kernel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from archonsim.pe.csc_kernel import CscPlan

Bits = NDArray[np.uint8]


def products_of_cycles(
    nonzero: NDArray[np.bool_], row: Bits, out_w: int, stride: int, lanes: int
) -> Iterator[int]:
    """Yield the products of each cycle of a PE.

    Parameters
    ----------
    nonzero : (filters, channels, S) bool
        Weights of one filter row that the PE holds.
    row : (channels, padded W) uint8
        Inputs of one row that are not zero.
    out_w, stride, lanes : int
    """
    for x in range(out_w):
        window = row[:, x * stride : x * stride + nonzero.shape[2]]
        for c, s in np.argwhere(window):
            column = int(np.count_nonzero(nonzero[:, c, s]))
            while column > 0:
                yield min(column, lanes)
                column -= lanes


def _places(plan: CscPlan) -> Iterator[list[tuple[int, int, int, int]]]:
    """Yield, for each pass, the PEs that work: (PE, filter tile, piece of the sum, output row)."""
    for strip in range(plan.strips):
        steps = plan.output_steps
        for step_a in range(plan.filter_steps):
            for step_b in range(plan.row_steps):
                for step_y in range(
                    steps * strip // plan.strips, steps * (strip + 1) // plan.strips
                ):
                    found = []
                    for y in range(plan.across_outputs):
                        for b in range(plan.across_rows):
                            for a in range(plan.across_filters):
                                pe = (y * plan.across_rows + b) * plan.across_filters + a
                                place = (
                                    step_a * plan.across_filters + a,
                                    step_b * plan.across_rows + b,
                                    step_y * plan.across_outputs + y,
                                )
                                limits = (plan.filter_tiles, plan.row_items, plan.out_h)
                                if all(p < q for p, q in zip(place, limits, strict=True)):
                                    found.append((pe, *place))
                    yield found


def step_layer(
    nonzero: NDArray[np.bool_], alive: Bits, stride_w: int, lanes: int, plan: CscPlan
) -> tuple[list[int], int]:
    """Return the cycles of each pass until its last PE is done, and all products.

    Parameters
    ----------
    nonzero : (O, C/G, R, S) bool
    alive : (C, padded H, padded W) uint8
    stride_w, lanes : int
    plan : CscPlan
    """
    tiles = -(-plan.filters // plan.tile)
    passes, products = [], 0
    for places in _places(plan):
        running = []
        for _, a, b, y in places:
            group, first = a // tiles, (b // plan.kernel_h) * plan.chunk
            filters = slice(
                group * plan.filters + a % tiles * plan.tile,
                group * plan.filters + min((a % tiles + 1) * plan.tile, plan.filters),
            )
            chunk = slice(first, min(first + plan.chunk, plan.channels))
            inputs = alive[group * plan.channels :][chunk]
            running.append(
                products_of_cycles(
                    nonzero[filters, chunk, b % plan.kernel_h],
                    inputs[:, y * plan.stride_h + b % plan.kernel_h],
                    plan.out_w,
                    stride_w,
                    lanes,
                )
            )
        cycles = 0
        while True:
            done = [one for pe in running if (one := next(pe, None)) is not None]
            if not done:
                break
            products += sum(done)
            cycles += 1
        passes.append(cycles)
    return passes, products


#: Of one cluster in one pass: (channel, row, column) of inputs, weights (m, c, r, s), and sums.
_Delivered = tuple[set[tuple[int, int, int]], set[tuple[int, int, int, int]], int]


def _delivered(
    nonzero: NDArray[np.bool_], alive: Bits, plan: CscPlan
) -> Iterator[list[_Delivered]]:
    """Yield what passes the routers of each cluster, pass by pass."""
    tiles = -(-plan.filters // plan.tile)
    before = None
    for places in _places(plan):
        pieces = {(a, b) for _, a, b, _ in places}
        found = []
        for cluster in {pe // plan.cluster for pe, *_ in places}:
            own = [place for place in places if place[0] // plan.cluster == cluster]
            inputs, weights, psums = set(), set(), 0
            for _, a, b, y in own:
                inputs |= _inputs(alive, (a, b, y), plan)
                weights |= _weights(nonzero, (a, b), plan)
                wide = min(plan.tile, plan.filters - a % tiles * plan.tile) * plan.out_w
                step = b // plan.across_rows
                ends = min((step + 1) * plan.across_rows, plan.row_items) - 1
                psums += wide * ((b == ends) + (b == step * plan.across_rows and step > 0))
            found.append((inputs, set() if pieces == before else weights, psums))
        before = pieces
        yield found


def _channels(b: int, plan: CscPlan) -> range:
    first = b // plan.kernel_h * plan.chunk
    return range(first, min(first + plan.chunk, plan.channels))


def _inputs(alive: Bits, place: tuple[int, int, int], plan: CscPlan) -> set[tuple[int, int, int]]:
    """Non-zero inputs of the row and channels of a PE."""
    a, b, y = place
    row = y * plan.stride_h + b % plan.kernel_h
    group = a // -(-plan.filters // plan.tile)
    return {
        (group * plan.channels + c, row, int(x))
        for c in _channels(b, plan)
        for x in np.flatnonzero(alive[group * plan.channels + c, row])
    }


def _weights(
    nonzero: NDArray[np.bool_], place: tuple[int, int], plan: CscPlan
) -> set[tuple[int, int, int, int]]:
    """Non-zero weights that a PE holds."""
    a, b = place
    tiles = -(-plan.filters // plan.tile)
    low = a // tiles * plan.filters + a % tiles * plan.tile
    high = a // tiles * plan.filters + min((a % tiles + 1) * plan.tile, plan.filters)
    return {
        (m, c, b % plan.kernel_h, int(s))
        for m in range(low, high)
        for c in _channels(b, plan)
        for s in np.flatnonzero(nonzero[m, c, b % plan.kernel_h])
    }


def deliveries(nonzero: NDArray[np.bool_], alive: Bits, plan: CscPlan) -> list[int]:
    """Return the cycles in which each pass's values pass the routers of the busiest cluster."""
    return [
        max(
            -(-count // rate)
            for inputs, weights, psums in clusters
            for count, rate in (
                (len(inputs), plan.input_rate),
                (len(weights), plan.weight_rate),
                (psums, plan.psum_rate),
            )
        )
        for clusters in _delivered(nonzero, alive, plan)
    ]


def step_counts(
    nonzero: NDArray[np.bool_], alive: Bits, stride_w: int, plan: CscPlan
) -> dict[str, int]:
    """Count what scratchpads give and take, and what routers move; names as in the kernel.

    A PE takes an input from its scratchpad for each window that it lies in, whether a weight meets
    it or not; it writes all inputs of its row in each pass, and its weights where they are others
    than in the pass before.
    """
    found = dict.fromkeys(("visits", "input_writes", "weight_writes"), 0)
    before = None
    for places in _places(plan):
        pieces = {(a, b) for _, a, b, _ in places}
        for _, a, b, y in places:
            inputs = _inputs(alive, (a, b, y), plan)
            found["input_writes"] += len(inputs)
            found["visits"] += sum(
                x * stride_w <= at < x * stride_w + nonzero.shape[3]
                for x in range(plan.out_w)
                for _, _, at in inputs
            )
            found["weight_writes"] += (
                0 if pieces == before else len(_weights(nonzero, (a, b), plan))
            )
        before = pieces
    clusters = [one for some in _delivered(nonzero, alive, plan) for one in some]
    found["inputs_delivered"] = sum(len(inputs) for inputs, _, _ in clusters)
    found["weights_delivered"] = sum(len(weights) for _, weights, _ in clusters)
    found["psums_moved"] = sum(psums for _, _, psums in clusters)
    return found
