"""Clusters that join bit masks, stepped cycle by cycle: the kernel's definition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archonsim.pe.join_kernel import JoinPlan

Bits = NDArray[np.uint8]


def step_chunk(joins: list[list[bool]]) -> tuple[int, int]:
    """Return the cycles and products of a chunk.

    In each cycle every unit that has a pair of non-zeros left multiplies one; to find none takes a
    cycle, too.

    Parameters
    ----------
    joins : list of units, each a list of bool
        Whether both masks are set at each element of its filters.
    """
    left = [sum(one) for one in joins]
    cycles = products = 0
    while cycles == 0 or any(left):
        products += sum(one > 0 for one in left)
        left = [max(0, one - 1) for one in left]
        cycles += 1
    return cycles, products


def step_layer(
    nonzero: NDArray[np.bool_], alive: Bits, order: list[list[tuple[int, int]]], plan: JoinPlan
) -> tuple[list[list[int]], int]:
    """Return the cycles of each round and cluster, and all products; see the kernel."""
    filters, channels, kernel_h, kernel_w = nonzero.shape
    filters //= plan.groups
    apart = plan.groups > 1 and filters == channels == 1
    cycles, products = [], 0
    for one in order:
        clusters = [0] * plan.clusters
        for position in range(plan.out_h * plan.out_w):
            y = position // plan.out_w * plan.stride_h
            x = position % plan.out_w * plan.stride_w
            chunks: list[dict[int, list[bool]]] = []
            for m, unit in one:
                group = m // filters
                at = 0
                for r in range(kernel_h):
                    window = alive[
                        group * channels : (group + 1) * channels, y + r, x : x + kernel_w
                    ]
                    both = (window.astype(bool) & nonzero[m, :, r]).T.ravel().tolist()
                    pieces = (
                        [both]
                        if apart
                        else [both[i : i + plan.chunk] for i in range(0, len(both), plan.chunk)]
                    )
                    for piece in pieces:
                        if len(chunks) <= at:
                            chunks.append({})
                        chunks[at].setdefault(unit, []).extend(piece)
                        at += not apart
            for chunk in chunks:
                taken, done = step_chunk(list(chunk.values()))
                clusters[position % plan.clusters] += taken
                products += done
        cycles.append(clusters)
    return cycles, products
