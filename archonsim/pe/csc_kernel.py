"""Numba kernel of an array whose PEs keep weights and activations in compressed columns.

A PE holds the non-zero weights of some input channels, one filter row and some output channels, and
takes the non-zero inputs of a row one after the other. An input at a tap multiplies the non-zero
weights of its column, `lanes` of them a cycle; an input that is zero, and a column without weights,
take none. :mod:`archonsim.pe.csc_reference` defines it; the kernel must agree with it exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit

Ints = NDArray[np.int64]

#: Totals that the kernel counts, in this order.
TOTALS = (
    "products",
    "beats",
    "visits",
    "input_writes",
    "weight_writes",
    "inputs_delivered",
    "weights_delivered",
    "psums_moved",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CscPlan:
    """How a layer lies on the array.

    Attributes
    ----------
    out_h, out_w, stride_h : int
    kernel_h : int
        Filter rows.
    channels, chunk : int
        Input channels of a group, and of a PE.
    filters, tile : int
        Output channels of a group, and of a PE.
    groups : int
    across_filters, across_rows, across_outputs : int
        PEs that take different filter tiles; different input channels or filter rows, whose sums
        are added from PE to PE; different output rows.
    strips : int
        Runs of output rows that the whole layer is done for before the next one.
    cluster : int
        PEs of a cluster.
    input_rate, weight_rate, psum_rate : int
        Values that a cluster's routers take a cycle.
    """

    out_h: int
    out_w: int
    stride_h: int
    kernel_h: int
    channels: int
    chunk: int
    filters: int
    tile: int
    groups: int
    across_filters: int
    across_rows: int
    across_outputs: int
    strips: int
    cluster: int
    input_rate: int
    weight_rate: int
    psum_rate: int

    @property
    def filter_tiles(self) -> int:
        """Filter tiles of all groups."""
        return self.groups * -(-self.filters // self.tile)

    @property
    def row_items(self) -> int:
        """Pieces of a sum: chunks of input channels by filter rows."""
        return -(-self.channels // self.chunk) * self.kernel_h

    @property
    def output_steps(self) -> int:
        """Steps along the output rows."""
        return -(-self.out_h // self.across_outputs)

    @property
    def filter_steps(self) -> int:
        """Steps along the filter tiles."""
        return -(-self.filter_tiles // self.across_filters)

    @property
    def row_steps(self) -> int:
        """Steps along the pieces of a sum."""
        return -(-self.row_items // self.across_rows)

    @property
    def passes(self) -> int:
        """Passes of the layer."""
        return self.filter_steps * self.row_steps * self.output_steps

    def numbers(self) -> Ints:
        """Return what the kernel needs, in its order."""
        return np.array(
            [
                *(self.out_h, self.out_w, self.stride_h, self.kernel_h, self.channels, self.chunk),
                *(self.filters, self.tile, -(-self.filters // self.tile), self.filter_tiles),
                *(self.row_items, self.across_filters, self.across_rows, self.across_outputs),
                *(self.strips, self.cluster, self.input_rate, self.weight_rate, self.psum_rate),
            ],
            np.int64,
        )


@njit(cache=True)
def _new(keys, count, key):  # type: ignore[no-untyped-def]
    for at in range(count):
        if keys[at] == key:
            return False
    keys[count] = key
    return True


@njit(cache=True)
def _work(place, taps, rows, beats, counts, geometry, total):  # type: ignore[no-untyped-def]
    """Cycles of a PE in a pass; adds its products, visits and written inputs to `total`."""
    a, b, row = place
    kernel_h, channels, chunk, tiles = geometry
    first, r = (b // kernel_h) * chunk, b % kernel_h
    base = (a // tiles) * channels
    cycles = 0
    for c in range(first, min(first + chunk, channels)):
        total[3] += rows[base + c, row]
        for s in range(taps.shape[2]):
            met = taps[base + c, row, s]
            cycles += met * beats[a, c, r, s]
            total[0] += met * counts[a, c, r, s]
            total[2] += met
    return cycles


@njit(cache=True)
def _delivered(base, first, last, row, rows):  # type: ignore[no-untyped-def]
    total = 0
    for c in range(first, last):
        total += rows[base + c, row]
    return total


@njit(cache=True)
def _run(taps, rows, beats, counts, plan, busiest, network, total):  # type: ignore[no-untyped-def]
    out_h, out_w, stride, kernel_h, channels, chunk, filters, tile, tiles, tile_count = plan[:10]
    items, over_a, over_b, over_y, strips, cluster, input_rate, weight_rate, psum_rate = plan[10:]
    geometry = (kernel_h, channels, chunk, tiles)
    steps_a, steps_b, steps_y = (
        -(-tile_count // over_a),
        -(-items // over_b),
        -(-out_h // over_y),
    )
    input_keys = np.empty(cluster, np.int64)
    weight_keys = np.empty(cluster, np.int64)
    held = np.zeros((tile_count, items), np.int64)
    for a in range(tile_count):
        for b in range(items):
            first = (b // kernel_h) * chunk
            for c in range(first, min(first + chunk, channels)):
                for s in range(taps.shape[2]):
                    held[a, b] += counts[a, c, b % kernel_h, s]
    at = 0
    pes = over_a * over_b * over_y
    for strip in range(strips):
        from_y, to_y = steps_y * strip // strips, steps_y * (strip + 1) // strips
        for step_a in range(steps_a):
            for step_b in range(steps_b):
                for step_y in range(from_y, to_y):
                    slowest = 0
                    delivery = 0
                    inputs = weights = psums = 0
                    input_count = weight_count = 0
                    for pe in range(pes):
                        a = step_a * over_a + pe % over_a
                        b = step_b * over_b + pe // over_a % over_b
                        y = step_y * over_y + pe // (over_a * over_b)
                        if a < tile_count and b < items and y < out_h:
                            row = y * stride + b % kernel_h
                            work = _work((a, b, row), taps, rows, beats, counts, geometry, total)
                            total[1] += work
                            slowest = max(slowest, work)
                            first = (b // kernel_h) * chunk
                            base = (a // tiles) * channels
                            key = (base + first) * rows.shape[1] + row
                            if _new(input_keys, input_count, key):
                                input_count += 1
                                last = min(first + chunk, channels)
                                inputs += _delivered(base, first, last, row, rows)
                            if step_y == from_y and (strip == 0 or steps_a * steps_b > 1):
                                total[4] += held[a, b]
                                if _new(weight_keys, weight_count, a * items + b):
                                    weight_count += 1
                                    weights += held[a, b]
                            wide = min(tile, filters - (a % tiles) * tile) * out_w
                            if b == min(step_b * over_b + over_b, items) - 1:
                                psums += wide
                            if b == step_b * over_b and step_b > 0:
                                psums += wide
                        if (pe + 1) % cluster == 0 or pe == pes - 1:
                            delivery = max(
                                delivery,
                                -(-inputs // input_rate),
                                -(-weights // weight_rate),
                                -(-psums // psum_rate),
                            )
                            total[5] += inputs
                            total[6] += weights
                            total[7] += psums
                            inputs = weights = psums = 0
                            input_count = weight_count = 0
                    busiest[at] = slowest
                    network[at] = delivery
                    at += 1


@dataclass(frozen=True, slots=True, eq=False)
class CscRun:
    """What a layer takes.

    Attributes
    ----------
    busiest : (passes,) int64
        Cycles of the PE that has most to do.
    network : (passes,) int64
        Cycles of the cluster whose routers have most to deliver.
    totals : dict of name to int
        `TOTALS`: products, cycles of all PEs, inputs taken from scratchpads, values written to
        scratchpads, values that routers delivered, and sums that they moved.
    """

    busiest: Ints
    network: Ints
    totals: dict[str, int]


def csc_run(taps: Ints, rows: Ints, counts: Ints, lanes: int, plan: CscPlan) -> CscRun:
    """Run a layer, pass by pass.

    Parameters
    ----------
    taps : (C, rows, S) int64
        From :func:`archonsim.pe.taps_kernel.row_taps`.
    rows : (C, rows) int64
        Non-zero inputs of each row.
    counts : (filter tiles, C/G, R, S) int64
        Non-zero weights of each column.
    lanes : int
        Products of a PE in a cycle.
    plan : CscPlan
    """
    busiest, network = np.zeros(plan.passes, np.int64), np.zeros(plan.passes, np.int64)
    total = np.zeros(len(TOTALS), np.int64)
    beats = -(-counts // lanes)
    _run(taps, rows, beats, counts, plan.numbers(), busiest, network, total)
    return CscRun(busiest, network, dict(zip(TOTALS, total.tolist(), strict=True)))


def filter_tiles(nonzero: NDArray[np.bool_], groups: int, tile: int) -> Ints:
    """Count the non-zero weights of each column of each filter tile.

    Parameters
    ----------
    nonzero : (O, C/G, R, S) bool
    groups : int
    tile : int
        Output channels of a tile; the last one of a group may have fewer.

    Returns
    -------
    counts : (filter tiles, C/G, R, S) int64
    """
    filters = nonzero.shape[0] // groups
    grouped = nonzero.reshape(groups, filters, *nonzero.shape[1:])
    starts = np.arange(0, filters, tile)
    counts = np.add.reduceat(grouped.astype(np.int64), starts, axis=1)
    return np.ascontiguousarray(counts.reshape(-1, *nonzero.shape[1:]))
