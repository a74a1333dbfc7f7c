"""PEs whose lanes stop early, stepped cycle by cycle: the kernel's definition."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from archonsim.pe.early_kernel import Floats, LanePlan, Ordered, Windows


@dataclass
class _Lane:
    """A multiplier with its window and its sum."""

    window: Floats
    total: np.float32
    met: int = 0
    running: bool = True


def _window(x: Floats, windows: Windows, group: int, position: int) -> Floats:
    """Return the inputs that an output sees, (C/G * R * S,)."""
    h = position // windows.out_w * windows.stride_h
    w = position % windows.out_w * windows.stride_w
    own = x.reshape(windows.groups, -1, *x.shape[1:])[group]
    seen: Floats = own[:, h : h + windows.kernel_h, w : w + windows.kernel_w].ravel()
    return seen


def _look(lane: _Lane, order: Ordered, m: int, length: int) -> None:
    """Look at a lane's sum before its next weight."""
    prefix, certain = int(order.prefix[m]), int(order.certain[m])
    speculated = prefix > 0 and lane.met == prefix and lane.total < order.threshold[m]
    negative = lane.met >= certain and lane.total < 0
    lane.running = not (speculated or negative or lane.met == length)


def _together(lanes: list[_Lane], order: Ordered, m: int) -> int:
    """Step lanes that go together until all have stopped; return the cycles."""
    begin, length = int(order.first[m]), int(order.first[m + 1] - order.first[m])
    cycles = 0
    for lane in lanes:
        _look(lane, order, m, length)
    while any(lane.running for lane in lanes):
        # One weight and its index reach all lanes.
        weight, index = order.weight[begin + cycles], int(order.index[begin + cycles])
        for lane in lanes:
            if lane.running:
                lane.total = np.float32(lane.total + weight * lane.window[index])
                lane.met += 1
                _look(lane, order, m, length)
        cycles += 1
    return max(1, cycles)


def step_layer(
    order: Ordered, x: Floats, windows: Windows, plan: LanePlan
) -> tuple[list[int], list[int], list[list[int]], list[list[float]]]:
    """Return the cycles of each round or of all, steps of each filter, outputs' stops and sums."""
    filters, positions = len(order.start), windows.out_h * windows.out_w
    edges = plan.edges(positions)
    stops = [[0] * positions for _ in range(filters)]
    sums = [[0.0] * positions for _ in range(filters)]
    passes, steps = [], [0] * filters
    alone = [[0] * plan.parts for _ in range(plan.filters)]
    for first in range(0, filters, plan.filters):
        slowest = 0
        for m in range(first, min(first + plan.filters, filters)):
            group = m // (filters // windows.groups)
            for part, (begin, end) in enumerate(pairwise(edges)):
                cycles = 0
                for at in range(begin, end, plan.lanes):
                    places = range(at, min(at + plan.lanes, end))
                    lanes = [
                        _Lane(_window(x, windows, group, place), order.start[m]) for place in places
                    ]
                    cycles += _together(lanes, order, m)
                    for place, lane in zip(places, lanes, strict=True):
                        stops[m][place], sums[m][place] = lane.met, float(lane.total)
                steps[m] += cycles
                slowest = max(slowest, cycles)
                alone[m - first][part] += cycles
        passes.append(slowest)
    return passes if plan.meet else [max(map(max, alone))], steps, stops, sums
