"""The sparse array one cycle, PE and product at a time: the definition, written for reading.

:mod:`archonsim.pe.pass_kernel` must agree with it exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from archonsim.dataflow.mapping import Mapping
from archonsim.dataflow.passes import PADS
from archonsim.dataflow.problem import DIMENSIONS


def count_work(mapping: Mapping, useful: Callable[[dict[str, int]], bool]) -> list[list[int]]:
    """Walk through the whole loop nest and count the useful products of each PE and pass.

    Parameters
    ----------
    mapping : Mapping
    useful : function of the indices N, C, M, P, Q, R, S
        Whether that product has to be computed.

    Returns
    -------
    work : list of PEs of lists of passes
        PEs and passes in the order in which the loops reach them.
    """
    loops = list(mapping.loops())
    work: dict[tuple[int, ...], dict[tuple[int, ...], int]] = {}
    for indices in itertools.product(*(range(loop.bound) for _, loop in loops)):
        at = dict.fromkeys(DIMENSIONS, 0)
        pe: list[int] = []
        step: list[int] = []
        for (level, loop), index in zip(loops, indices, strict=True):
            at[loop.dimension] = at[loop.dimension] * loop.bound + index
            if loop.axis != "time":
                pe.append(index)
            elif level not in PADS:
                step.append(index)
        row = work.setdefault(tuple(pe), {})
        row[tuple(step)] = row.get(tuple(step), 0) + useful(at)
    return [[row[step] for step in sorted(row)] for _, row in sorted(work.items())]


def run_passes(work: Sequence[Sequence[int]], ahead: int) -> list[int]:
    """Step all PEs cycle by cycle; return the cycle in which the last of them has ended each pass.

    Parameters
    ----------
    work : PEs of passes of int
    ahead : int
        A PE starts a pass when every PE has ended the pass `ahead` + 1 before it.
    """
    passes = len(work[0])
    ended = [0] * len(work)  # passes that each PE has ended
    left: list[int | None] = [None] * len(work)  # products left of the pass that it is in
    ends: list[int] = []
    cycle = 0
    while len(ends) < passes:
        moved = True
        while moved:  # passes without work start and end in no time
            moved = False
            slowest = min(ended)
            for pe, row in enumerate(work):
                if left[pe] is None and ended[pe] < passes and ended[pe] - ahead <= slowest:
                    left[pe] = row[ended[pe]]
                    moved = True
                if left[pe] == 0:
                    left[pe] = None
                    ended[pe] += 1
                    moved = True
        while len(ends) < min(ended):
            ends.append(cycle)
        left = [None if products is None else products - 1 for products in left]
        cycle += 1
    return ends
