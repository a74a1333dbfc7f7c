"""Passes of a row-stationary mapping: what each PE multiplies between synchronisations.

In a pass a PE goes once through the weights in its pad, for one output position: C and R at the
weight pad and the run of output channels at the psum pad. The temporal loops further out make the
passes, the spatial ones the PEs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.dataflow.mapping import Loop, Mapping
from archonsim.dataflow.problem import DIMENSIONS

Ints = NDArray[np.int64]
PADS = ("ifmap_spad", "weight_spad", "psum_spad")


@dataclass(frozen=True, slots=True, eq=False)
class PassGrid:
    """First indices of every pass and PE.

    Their sums are the first indices of what a PE does in a pass.

    Attributes
    ----------
    passes : (passes, 7) int
        N, C, M, P, Q, R, S, in order of time.
    pes : (PEs used, 7) int
    runs : (M, C, R)
        Output channels, input channels and filter columns of one pass, each a run of neighbours.
    """

    passes: Ints
    pes: Ints
    runs: tuple[int, int, int]

    @property
    def work(self) -> int:
        """MACs of a PE in a pass."""
        return math.prod(self.runs)


def _indices(loops: list[tuple[Loop, int]]) -> Ints:
    """First indices of every iteration of some loops, outermost first, each with its step."""
    table = np.zeros((1, 7), np.int64)
    for loop, step in loops:
        moves = np.zeros((loop.bound, 7), np.int64)
        moves[:, DIMENSIONS.index(loop.dimension)] = np.arange(loop.bound) * step
        table = (table[:, None] + moves[None]).reshape(-1, 7)
    return table


def pass_counts(mapping: Mapping) -> tuple[int, int]:
    """Return the passes of a mapping and the MACs of a PE in one of them, without listing any."""
    passes = work = 1
    for level, loop in mapping.loops():
        if loop.axis != "time":
            continue
        if level not in PADS:
            passes *= loop.bound
        elif loop.dimension in ("M", "C", "R"):
            work *= loop.bound
    return passes, work


def pass_grid(mapping: Mapping) -> PassGrid:
    """Cut a mapping into passes and PEs."""
    inner = dict.fromkeys(DIMENSIONS, 1)
    outer: list[tuple[Loop, int]] = []
    spatial: list[tuple[Loop, int]] = []
    runs = dict.fromkeys(DIMENSIONS, 1)
    for level, loop in reversed(list(mapping.loops())):
        if loop.axis != "time":
            spatial.insert(0, (loop, inner[loop.dimension]))
        elif level in PADS:
            runs[loop.dimension] *= loop.bound
        else:
            outer.insert(0, (loop, inner[loop.dimension]))
        inner[loop.dimension] *= loop.bound
    return PassGrid(_indices(outer), _indices(spatial), (runs["M"], runs["C"], runs["R"]))
