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


def deliveries(nonzero: NDArray[np.bool_], alive: Bits, plan: CscPlan) -> list[int]:
    """Return the cycles in which each pass's values pass the routers of the busiest cluster."""
    tiles = -(-plan.filters // plan.tile)
    found, before = [], None
    for places in _places(plan):
        pieces = {(a, b) for _, a, b, _ in places}
        cycles = [0]
        for cluster in {pe // plan.cluster for pe, *_ in places}:
            own = [place for place in places if place[0] // plan.cluster == cluster]
            inputs, weights, psums = set(), set(), 0
            for _, a, b, y in own:
                group, first = a // tiles, b // plan.kernel_h * plan.chunk
                row = y * plan.stride_h + b % plan.kernel_h
                for c in range(first, min(first + plan.chunk, plan.channels)):
                    channel = group * plan.channels + c
                    inputs |= {(channel, row, x) for x in np.flatnonzero(alive[channel, row])}
                    low = group * plan.filters + a % tiles * plan.tile
                    high = group * plan.filters + min((a % tiles + 1) * plan.tile, plan.filters)
                    for m in range(low, high):
                        taps = np.flatnonzero(nonzero[m, c, b % plan.kernel_h])
                        weights |= {(m, c, b % plan.kernel_h, s) for s in taps}
                wide = min(plan.tile, plan.filters - a % tiles * plan.tile) * plan.out_w
                step = b // plan.across_rows
                ends = min((step + 1) * plan.across_rows, plan.row_items) - 1
                psums += wide * ((b == ends) + (b == step * plan.across_rows and step > 0))
            if pieces == before:
                weights = set()
            cycles += [
                -(-len(inputs) // plan.input_rate),
                -(-len(weights) // plan.weight_rate),
                -(-psums // plan.psum_rate),
            ]
        found.append(max(cycles))
        before = pieces
    return found
