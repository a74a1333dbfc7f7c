"""Folds of a layer on a systolic array, and their cycles in three named conventions.

A layer is a matrix product: M output pixels x N filters, K terms each. The dataflow says which two
of the three lie along the
array's rows and columns, and which one is time::

    dataflow   rows  cols  time   stays in a PE
    os         M     N     K      the output's sum
    ws         K     N     M      the weight
    is         K     M     N      the input

Cycles of one fold with r x c of the R x C PEs in use, T steps of time:

``scalesim``
    os T + R + C - 2; ws and is R + T + R + C - 2: edge folds cost a full one. A layer is the sum
    less one, because the tool reports the index of the last cycle. Source: SCALE-Sim 2.0.2 and
    3.0.0, every no-stall row.
``fuseconv``
    os T + r + c - 1. Source: the public latency model of DATE'21 (FuSeConv); it knows no ws and no
    is.
``drained``
    os T + R + r + c - 1; ws and is r + T + R + c - 1: until the last output has left the bottom
    edge. For a full fold that is what an RTL array took (os T + 2R + C - 1); its ws took R more,
    two cycles for each hop of a partial sum, where ours takes one (own decision).

Folds follow one another without overlap. A grouped or depthwise layer runs a group at a time; as
SCALE-Sim knows no groups, each is a run of its own, less one in ``scalesim``. A layer takes no less
than its work, MACs / PEs (own decision): on one PE, ``scalesim`` would take less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from archonsim.network.layer import Layer

Dataflow = Literal["os", "ws", "is"]
Timing = Literal["scalesim", "fuseconv", "drained"]


@dataclass(frozen=True, slots=True)
class Gemm:
    """A layer as matrix products of one shape, one for each group.

    Attributes
    ----------
    pixels, filters, terms : int
        M, N and K of one group.
    groups : int
    """

    pixels: int
    filters: int
    terms: int
    groups: int = 1

    @classmethod
    def of(cls, layer: Layer) -> Gemm:
        """Return the matrix products of a compute layer."""
        filters, channels, height, width = layer.weight_shape
        return cls(
            layer.out_h * layer.out_w,
            filters // layer.groups,
            channels * height * width,
            layer.groups,
        )


@dataclass(frozen=True, slots=True)
class Folds:
    """How one group is cut into array-sized folds.

    Attributes
    ----------
    rows, cols : int
        The array.
    along_rows, along_cols : int
        Sizes of the two dimensions spread over it.
    time : int
        Steps of one fold.
    dataflow, timing : str
    """

    rows: int
    cols: int
    along_rows: int
    along_cols: int
    time: int
    dataflow: Dataflow
    timing: Timing

    @property
    def row_folds(self) -> int:
        """Folds along the rows."""
        return -(-self.along_rows // self.rows)

    @property
    def col_folds(self) -> int:
        """Folds along the columns."""
        return -(-self.along_cols // self.cols)

    def used(self, row_fold: int, col_fold: int) -> tuple[int, int]:
        """Rows and columns that one fold occupies."""
        return (
            min(self.rows, self.along_rows - row_fold * self.rows),
            min(self.cols, self.along_cols - col_fold * self.cols),
        )

    def fold_cycles(self, r: int, c: int) -> int:
        """Cycles of a fold that occupies r x c PEs."""
        stationary = self.dataflow != "os"
        if self.timing == "scalesim":
            return self.time + self.rows + self.cols - 2 + self.rows * stationary
        if self.timing == "fuseconv":
            return self.time + r + c - 1
        return self.time + self.rows + r + c - 1

    @property
    def cycles(self) -> int:
        """Cycles of all folds of a group."""
        whole_r, rest_r = divmod(self.along_rows, self.rows)
        whole_c, rest_c = divmod(self.along_cols, self.cols)
        total = 0
        for r, row_count in ((self.rows, whole_r), (rest_r, 1 if rest_r else 0)):
            for c, col_count in ((self.cols, whole_c), (rest_c, 1 if rest_c else 0)):
                total += row_count * col_count * self.fold_cycles(r, c)
        return total - self.uncounted

    @property
    def busy_cycles(self) -> int:
        """Cycles of all folds of a group without filling and draining them."""
        return self.row_folds * self.col_folds * self.time

    @property
    def uncounted(self) -> int:
        """Cycles at the end of a group that the convention does not count."""
        return 1 if self.timing == "scalesim" else 0


def fold(
    gemm: Gemm, rows: int, cols: int, dataflow: Dataflow = "os", timing: Timing = "scalesim"
) -> Folds:
    """Cut one group of a layer into folds."""
    m, n, k = gemm.pixels, gemm.filters, gemm.terms
    along_rows, along_cols, time = {"os": (m, n, k), "ws": (k, n, m), "is": (k, m, n)}[dataflow]
    return Folds(rows, cols, along_rows, along_cols, time, dataflow, timing)


def layer_cycles(
    layer: Layer, rows: int, cols: int, dataflow: Dataflow = "os", timing: Timing = "scalesim"
) -> int:
    """Compute cycles of a layer, all groups one after the other, and at least its work."""
    gemm = Gemm.of(layer)
    taken = gemm.groups * fold(gemm, rows, cols, dataflow, timing).cycles
    return max(taken, least_cycles(layer, rows, cols))


def least_cycles(layer: Layer, rows: int, cols: int) -> int:
    """Cycles in which all PEs, one MAC each a cycle, could do a layer."""
    return -(-layer.macs // (rows * cols))
