"""Numba kernel of PEs that multiply every non-zero weight with every non-zero input of a channel.

A PE holds a tile of the input plane. For some output channels at a time it goes through the input
channels; in a cycle, a vector of a channel's non-zero inputs meets a vector of its non-zero
weights, tap by tap. Products go to banks of accumulators, by the output that they belong to; a bank
adds one a cycle and queues a few. :mod:`archonsim.pe.cartesian_reference` defines it; the kernel
must agree with it exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit

Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]

#: Without an end to queues, banks never make a PE wait.
NO_BANKS = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CartesianPlan:
    """How a layer lies on the PEs.

    Attributes
    ----------
    out_h, out_w, stride_h, stride_w, top, left : int
    channels : int
        Input channels of a group.
    filters : int
        Output channels of a group.
    groups : int
    together : int
        Output channels that a PE adds up at a time.
    tile_h, tile_w : int
        Input pixels of a PE, at a time.
    rows, cols : int
        PEs.
    inputs, weights : int
        Elements of a vector.
    banks, queue : int
        Accumulator banks of a PE, `NO_BANKS` for banks that never conflict; products that wait
        before a bank while the next vectors meet.
    """

    out_h: int
    out_w: int
    stride_h: int
    stride_w: int
    top: int
    left: int
    channels: int
    filters: int
    groups: int
    together: int
    tile_h: int
    tile_w: int
    rows: int
    cols: int
    inputs: int
    weights: int
    banks: int
    queue: int

    def numbers(self, windowed: bool) -> Ints:
        """Return what the kernel needs, in its order; not `windowed`: every product is useful."""
        return np.array(
            [
                *(self.out_h, self.out_w, self.stride_h, self.stride_w, self.top, self.left),
                *(self.channels, self.filters, self.together, self.tile_h, self.tile_w),
                *(self.inputs, self.weights, self.banks, self.queue, windowed),
            ],
            np.int64,
        )


@njit(cache=True)
def _vectors(acts, at, wgts, wgt_count, plan, busy, state, useful):  # type: ignore[no-untyped-def]
    """One channel of a PE; `state` is the next cycle and the last one in which a bank adds.

    `at` is the PE, and where in `acts` its inputs of the channel begin and end. Whole arrays are
    passed: slices of them, for each of millions of calls, would take longer than most of the calls.
    """
    out_h, out_w, stride_h, stride_w = plan[:4]
    inputs, weights = plan[11], plan[12]
    banks, queue = plan[13], plan[14]
    strided = stride_h > 1 or stride_w > 1
    windowed = plan[15] > 0
    pe, first_act, end_act = at
    now, last = state[pe, 0], state[pe, 1]
    steps = made = 0
    for first_a in range(first_act, end_act, inputs):
        end_a = min(first_a + inputs, end_act)
        for first_w in range(0, wgt_count, weights):
            end_w = min(first_w + weights, wgt_count)
            steps += 1
            if banks > 0:
                now = max(now, last - queue)
            for w in range(first_w, end_w):
                m, r, s, rest = wgts[w, 0], wgts[w, 1], wgts[w, 2], wgts[w, 3]
                for a in range(first_a, end_a):
                    if windowed:
                        y, x = acts[a, 0] - r, acts[a, 1] - s
                        if y < 0 or x < 0:
                            continue
                        if strided:
                            if y % stride_h or x % stride_w:
                                continue
                            y, x = y // stride_h, x // stride_w
                        if y >= out_h or x >= out_w:
                            continue
                    made += 1
                    if banks > 0:
                        if strided:
                            bank = (m * inputs + y * out_w + x) % banks
                        else:  # the remainders of an input and a weight add up
                            bank = acts[a, 2] + rest
                            bank -= banks if bank >= banks else 0
                        free = max(busy[pe, bank], now) + 1
                        busy[pe, bank] = free
                        last = max(last, free)
            now += 1
    state[pe, 0], state[pe, 1] = now, last
    useful[0] += made
    return steps


@njit(cache=True)
def _gather_inputs(alive, sub, plan, pes, acts, starts):  # type: ignore[no-untyped-def]
    """List the non-zero inputs of each channel and PE; `starts` says where they lie in `acts`."""
    out_w, top, left, tile_h, tile_w, banks = plan[1], plan[4], plan[5], plan[9], plan[10], plan[13]
    rows, cols = pes
    channels, height, width = alive.shape
    rounds_x = -(-width // (tile_w * cols))
    count = 0
    for channel in range(channels):
        for pe in range(rows * cols):
            starts[channel * rows * cols + pe] = count
            y0 = ((sub // rounds_x) * rows + pe // cols) * tile_h
            x0 = ((sub % rounds_x) * cols + pe % cols) * tile_w
            for y in range(y0, min(y0 + tile_h, height)):
                for x in range(x0, min(x0 + tile_w, width)):
                    if alive[channel, y, x]:
                        acts[count, 0] = y + top
                        acts[count, 1] = x + left
                        acts[count, 2] = ((y + top) * out_w + x + left) % max(banks, 1)
                        count += 1
    starts[channels * rows * cols] = count


@njit(cache=True)
def _gather_weights(nonzero, filters, first, plan, wgts):  # type: ignore[no-untyped-def]
    """List the non-zero weights ``nonzero : (filters, R, S)`` of some output channels by tap."""
    out_w, inputs, banks = plan[1], plan[11], max(plan[13], 1)
    count = 0
    for r in range(nonzero.shape[1]):
        for s in range(nonzero.shape[2]):
            for m in range(len(nonzero)):
                if nonzero[m, r, s]:
                    wgts[count, 0] = filters + m - first
                    wgts[count, 1] = r
                    wgts[count, 2] = s
                    wgts[count, 3] = ((filters + m - first) * inputs - r * out_w - s) % banks
                    count += 1
    return count


@njit(cache=True)
def _run(nonzero, alive, plan, pes, steps, ends, totals):  # type: ignore[no-untyped-def]
    """Fill `steps` and `ends` (PEs, rounds): vectors that meet, and cycles with banks."""
    channels, filters, together, tile_h, tile_w, inputs = plan[6:12]
    banks = plan[13]
    count = pes[0] * pes[1]
    height, width = alive.shape[1], alive.shape[2]
    acts = np.empty((alive.size, 3), np.int64)
    starts = np.zeros(alive.shape[0] * count + 1, np.int64)
    wgts = np.empty((together * nonzero.shape[2] * nonzero.shape[3], 4), np.int64)
    busy = np.zeros((count, max(banks, 1)), np.int64)
    state = np.zeros((count, 2), np.int64)
    useful = np.zeros(1, np.int64)
    parts = -(-height // (tile_h * pes[0])) * -(-width // (tile_w * pes[1]))
    at = 0
    # Groups of few filters share a round: a round takes `together` output channels of any groups.
    outputs = nonzero.shape[0]
    for sub in range(parts):
        _gather_inputs(alive, sub, plan, pes, acts, starts)
        for first in range(0, outputs, together):
            last = min(first + together, outputs)
            busy[:] = 0
            state[:] = 0
            for group in range(first // filters, (last - 1) // filters + 1):
                low, high = max(first, group * filters), min(last, (group + 1) * filters)
                for c in range(channels):
                    held = _gather_weights(nonzero[low:high, c], low, first, plan, wgts)
                    if held == 0:
                        continue
                    for pe in range(count):
                        place = (group * channels + c) * count + pe
                        own = starts[place + 1] - starts[place]
                        if own == 0:
                            continue
                        totals[0] += own * held
                        totals[2] += -(-own // inputs) * held
                        totals[3] += own
                        own_at = (pe, starts[place], starts[place + 1])
                        steps[pe, at] += _vectors(
                            acts, own_at, wgts, held, plan, busy, state, useful
                        )
            for pe in range(count):
                ends[pe, at] = max(state[pe, 0], state[pe, 1])
            at += 1
    totals[1] = useful[0]


@dataclass(frozen=True, slots=True, eq=False)
class CartesianRun:
    """What a layer takes.

    Attributes
    ----------
    steps : (PEs, rounds) int64
        Pairs of vectors of each PE, for each run of output channels.
    ends : (PEs, rounds) int64
        Cycles of them, with what banks make them wait.
    products, useful : int
        Products that are made, and those that belong to an output.
    weight_reads, input_reads : int
        Elements that PEs take from their memories.
    """

    steps: Ints
    ends: Ints
    products: int
    useful: int
    weight_reads: int
    input_reads: int


def rounds(plan: CartesianPlan, height: int, width: int) -> int:
    """Rounds of a layer: runs of output channels, for each part of an input plane that is large."""
    parts = -(-height // (plan.tile_h * plan.rows)) * -(-width // (plan.tile_w * plan.cols))
    return parts * -(-plan.groups * plan.filters // plan.together)


def cartesian_run(nonzero: NDArray[np.bool_], alive: Bits, plan: CartesianPlan) -> CartesianRun:
    """Run a layer.

    Parameters
    ----------
    nonzero : (O, C/G, R, S) bool
    alive : (C, H, W) uint8
    plan : CartesianPlan
    """
    shape = (plan.rows * plan.cols, rounds(plan, *alive.shape[1:]))
    steps, ends = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    totals = np.zeros(4, np.int64)
    pes = np.array([plan.rows, plan.cols], np.int64)
    strides, sizes = (plan.stride_h, plan.stride_w), (plan.out_h, plan.out_w)
    plain = nonzero.shape[2:] == strides == (1, 1) and alive.shape[1:] == sizes
    _run(nonzero, alive, plan.numbers(not plain), pes, steps, ends, totals)
    return CartesianRun(steps, ends, *totals.tolist())
