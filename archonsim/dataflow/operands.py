"""Reads and writes of a layer's folds: DRAM words in order, and buffer accesses.

Folds run in a fixed order (own decision): the operand of the outer loop is held while the inner
loop sweeps the other one::

    os   for pixels: for filters         an output leaves after its fold
    ws   for filters: for terms          sums wait in the output buffer for the next terms
    is   for pixels: for terms           likewise

Each buffer is double buffered: half of it works while the other half fills. An operand of a group
that fits the whole buffer is read from DRAM once; otherwise its slice is read again in each sweep.
Sums that do not fit half the output buffer go to DRAM and back. A fold whose slices do not fit half
a buffer is cut in time. Input words are counted once for a sweep of the map: what neighbouring
windows share stays on chip, unlike SCALE-Sim, which reads every im2col duplicate and the padding of
edge folds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.dataflow.even import shares
from archonsim.dataflow.systolic import Folds, Gemm
from archonsim.errors import WorkloadError
from archonsim.network.layer import Layer

Words = NDArray[np.int64]

#: Folds of a layer, or parts of them, that are followed one by one: more would not fit an ordinary
#: machine's memory.
MOST_PIECES = 4_000_000

#: Tiles of a layer that the engine simulates one by one (own decision): buffers that force more are
#: too small for it.
MOST_TILES = 20_000


@dataclass(frozen=True, slots=True)
class BufferSizes:
    """Words of the three buffers."""

    ifmap: int
    filter: int
    ofmap: int


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """What each piece of work needs, in order of execution; a piece is a fold or a part of one.

    Attributes
    ----------
    cycles : (n,) int64
        Compute time, in proportion: a layer's total is shared out by it.
    inputs, weights : (n,) int64
        DRAM words to read before the piece.
    outputs : (n,) int64
        Words of finished outputs to write to DRAM after it.
    sums_out, sums_in : (n,) int64
        Words of partial sums to write after it, and to read before it.
    """

    cycles: Words
    inputs: Words
    weights: Words
    outputs: Words
    sums_out: Words
    sums_in: Words

    def repeat(self, groups: int) -> Demand:
        """Return the demand of `groups` groups, one after the other."""
        return Demand(*(np.tile(getattr(self, name), groups) for name in self.__dataclass_fields__))


def _fold_sizes(total: int, size: int) -> Words:
    """Extents of the folds along one axis of the array."""
    return np.minimum(size, total - np.arange(0, total, size, dtype=np.int64))


def _held(slices: Words, sweeps: int, *, held: bool) -> Words:
    """Reads of the outer loop's operand, (outer, inner).

    Its slice stays for the whole inner loop, or is read in each fold.
    """
    reads = np.repeat(slices[:, None], sweeps, axis=1)
    if held:
        reads[:, 1:] = 0
    return reads


def _swept(slices: Words, sweeps: int, *, held: bool) -> Words:
    """Reads of the inner loop's operand, (outer, inner).

    All of it stays after the first sweep, or is read in each.
    """
    reads = np.repeat(slices[None, :], sweeps, axis=0)
    if held:
        reads[1:] = 0
    return reads


def _reads(layer: Layer, gemm: Gemm, folds: Folds, buffers: BufferSizes) -> tuple[Words, Words]:
    """Input and weight words that each fold reads from DRAM, (outer, inner) each."""
    r, c = _fold_sizes(folds.along_rows, folds.rows), _fold_sizes(folds.along_cols, folds.cols)
    map_words, weight_words = (
        layer.in_channels // layer.groups * layer.in_h * layer.in_w,
        gemm.filters * gemm.terms,
    )
    map_fits, weights_fit = map_words <= buffers.ifmap, weight_words <= buffers.filter
    if folds.dataflow == "os":
        slices = shares(map_words, len(r))
        return (
            _held(slices, len(c), held=map_fits or 2 * int(slices.max()) <= buffers.ifmap),
            _swept(gemm.terms * c, len(r), held=weights_fit),
        )
    if folds.dataflow == "ws":
        return _swept(shares(map_words, len(r)), len(c), held=map_fits), np.outer(c, r)
    pieces = shares(map_words, len(c) * len(r)).reshape(len(c), len(r))
    return pieces, _swept(gemm.filters * r, len(c), held=weights_fit)


def _sums(words: Words, sweeps: int, ofmap_words: int) -> tuple[Words, Words, Words]:
    """Count output words of each column fold and sweep over the terms.

    Finished outputs written, partial sums written and partial sums read.
    """
    sweep = np.arange(sweeps)
    spills = (2 * words > ofmap_words)[:, None]
    outputs = np.where(sweep == sweeps - 1, words[:, None], 0)
    written = np.where(spills & (sweep < sweeps - 1), words[:, None], 0)
    read = np.where(spills & (sweep > 0), words[:, None], 0)
    return outputs, written, read


def group_demand(layer: Layer, gemm: Gemm, folds: Folds, buffers: BufferSizes) -> Demand:
    """Return what one group of a layer needs, fold by fold.

    Raises
    ------
    WorkloadError
        There are more folds than memory holds.
    """
    _check_pieces(layer, gemm.groups * folds.row_folds * folds.col_folds)
    r, c = _fold_sizes(folds.along_rows, folds.rows), _fold_sizes(folds.along_cols, folds.cols)
    # A fold's cycles grow by 0 or 1 with each row or column in use.
    corner = folds.fold_cycles(0, 0)
    cycles = corner + (folds.fold_cycles(1, 0) - corner) * np.add.outer(r, c)
    inputs, weights = _reads(layer, gemm, folds, buffers)
    if folds.dataflow == "os":
        outputs, none = np.outer(r, c), np.zeros((len(r), len(c)), np.int64)
        return _in_parts(
            layer,
            Demand(*(one.ravel() for one in (cycles, inputs, weights, outputs, none, none))),
            buffers,
        )
    sums = _sums(folds.time * c, len(r), buffers.ofmap)
    return _in_parts(
        layer, Demand(*(one.ravel() for one in (cycles.T, inputs, weights, *sums))), buffers
    )


def _check_pieces(layer: Layer, pieces: int) -> None:
    if pieces > MOST_PIECES:
        raise WorkloadError(
            f"layer {layer.name!r}: falls into {pieces} folds or parts of folds; cycle fidelity"
            f" follows at most {MOST_PIECES}: take a larger array, larger memories, or ideal"
            " fidelity"
        )


def _in_parts(layer: Layer, demand: Demand, buffers: BufferSizes) -> Demand:
    """Cut folds in time until what a part moves fits half a buffer."""
    loads = (
        (demand.inputs, buffers.ifmap),
        (demand.weights, buffers.filter),
        (demand.outputs + demand.sums_out, buffers.ofmap),
    )
    parts = max(1, *(-(-int(words.max()) // (size // 2)) for words, size in loads))
    if parts == 1:
        return demand
    _check_pieces(layer, parts * len(demand.cycles) * layer.groups)
    return Demand(
        *(shares(getattr(demand, name), parts).ravel() for name in demand.__dataclass_fields__)
    )


def line_demand(layer: Layer, folds: int, buffers: BufferSizes) -> Demand:
    """Return what a row-broadcast layer needs: everything once, in `folds` even pieces."""
    map_words = layer.in_channels * layer.in_h * layer.in_w
    out_words = layer.out_channels * layer.out_h * layer.out_w
    none = np.zeros(folds, np.int64)
    cycles = np.ones(folds, np.int64)
    demand = Demand(
        cycles,
        shares(map_words, folds),
        shares(layer.weights, folds),
        shares(out_words, folds),
        none,
        none,
    )
    return _in_parts(layer, demand, buffers)


def cut(layer: Layer, demand: Demand, buffers: BufferSizes, wanted: int) -> list[tuple[int, int]]:
    """Join pieces to tiles (first, last + 1) that fit half of every buffer.

    About `wanted` of them where the buffers allow.

    Raises
    ------
    WorkloadError
        The buffers force more tiles than can be simulated one by one.
    """
    totals = [
        np.concatenate(([0], np.cumsum(words)))
        for words in (
            demand.cycles,
            demand.inputs,
            demand.weights,
            demand.outputs + demand.sums_out,
        )
    ]
    limits = [
        max(1, -(-int(totals[0][-1]) // wanted)),
        buffers.ifmap // 2,
        buffers.filter // 2,
        buffers.ofmap // 2,
    ]
    tiles: list[tuple[int, int]] = []
    first, pieces = 0, len(demand.cycles)
    while first < pieces:
        if len(tiles) == MOST_TILES:
            raise WorkloadError(
                f"layer {layer.name!r}: its buffers of {buffers.ifmap} (ifmap), {buffers.filter}"
                f" (filter) and {buffers.ofmap} (ofmap) words cut it into more than {MOST_TILES}"
                " tiles; take larger memories, or ideal fidelity"
            )
        ends = (
            int(np.searchsorted(total, total[first] + limit, side="right")) - 1
            for total, limit in zip(totals, limits, strict=True)
        )
        last = min(max(first + 1, min(ends)), pieces)
        tiles.append((first, last))
        first = last
    return tiles


@dataclass(frozen=True, slots=True)
class BufferAccesses:
    """Words that the array reads from and writes to its buffers, for one layer.

    Attributes
    ----------
    inputs, weights, sums_in : int
        Read.
    outputs : int
        Written, partial sums included.
    """

    inputs: int
    weights: int
    outputs: int
    sums_in: int


def buffer_accesses(gemm: Gemm, folds: Folds) -> BufferAccesses:
    """Count buffer accesses of a layer.

    As SCALE-Sim does, but without the slip in its ``os`` output writes.
    """
    m, n, k, groups = gemm.pixels, gemm.filters, gemm.terms, gemm.groups
    if folds.dataflow == "os":
        once = BufferAccesses(m * k * folds.col_folds, k * n * folds.row_folds, m * n, 0)
    elif folds.dataflow == "ws":
        once = BufferAccesses(
            m * k * folds.col_folds, k * n, m * n * folds.row_folds, m * n * (folds.row_folds - 1)
        )
    else:
        once = BufferAccesses(
            m * k, k * n * folds.col_folds, m * n * folds.row_folds, m * n * (folds.row_folds - 1)
        )
    return BufferAccesses(
        once.inputs * groups, once.weights * groups, once.outputs * groups, once.sums_in * groups
    )
