"""Numba kernel: accesses and energy of a mapped loop nest, in closed form.

The conventions are Timeloop's (the 2021 release, with which ICS'21 was evaluated):

- A level fetches what its tile needs beyond the tile of the step before. A step that moves a tile
  forward along one axis by less than its extent fetches the new part only; any other step fetches
  the whole tile (state is not kept when a direction is reversed).
- A word fetched by several PEs for the same indices is read once at the level above (multicast);
  windows that merely overlap are not shared. Partial sums of PEs that differ in reduced indices are
  added up on their way.
- Operands of a MAC are read in every cycle; the first update of an output needs no read.

Arrays: a nest has loops ``dims, bounds, levels, axes`` (outermost first); ``axes`` is 0 for time, 1
and 2 for the array. Axes of a tensor: weights (C, M, R, S), inputs (C, column, row, N), outputs (M,
P, Q, N).
"""

from __future__ import annotations

import numpy as np

from archonsim.kernels import njit

#: Tensor axis of each dimension (N, C, M, P, Q, R, S) by data kind (weight, input, output); -1
#: where it does not index. The last row is an input with a map of its own for each output channel.
AXIS = np.array(
    [
        [-1, 0, 1, -1, -1, 2, 3],
        [3, 0, -1, 1, 2, 1, 2],
        [3, -1, 0, 1, 2, -1, -1],
        [3, -1, 0, 1, 2, 1, 2],
    ],
    np.int64,
)
OWN_INPUT = 3

#: Columns of the counts.
READS, UPDATES, FILLS, PARTITION, TILE = range(5)


@njit(cache=True)
def _scale(kind, dim, stride_w, stride_h):  # type: ignore[no-untyped-def]
    """Elements along its tensor axis that one step of a dimension moves."""
    if kind == 1 and dim == 3:
        return stride_w
    if kind == 1 and dim == 4:
        return stride_h
    return 1


@njit(cache=True)
def _steps(dims, bounds):  # type: ignore[no-untyped-def]
    """Iterations of its dimension that one step of each loop moves."""
    steps = np.ones(len(dims), np.int64)
    inner = np.ones(7, np.int64)
    for at in range(len(dims) - 1, -1, -1):
        steps[at] = inner[dims[at]]
        inner[dims[at]] *= bounds[at]
    return steps


@njit(cache=True)
def _moves(kind, tensor, dims, steps, stride_w, stride_h):  # type: ignore[no-untyped-def]
    """Tensor axis (or -1) and distance of a step of each loop."""
    axis = np.empty(len(dims), np.int64)
    distance = np.empty(len(dims), np.int64)
    for at in range(len(dims)):
        axis[at] = AXIS[tensor, dims[at]]
        distance[at] = steps[at] * _scale(kind, dims[at], stride_w, stride_h)
    return axis, distance


@njit(cache=True)
def _extents(axis, distance, bounds, levels, first):  # type: ignore[no-untyped-def]
    """Extent of a tile along the four axes of its tensor.

    That of the loops at levels `first` and inward.
    """
    extents = np.ones(4, np.int64)
    for at in range(len(bounds)):
        if levels[at] >= first and axis[at] >= 0:
            extents[axis[at]] += (bounds[at] - 1) * distance[at]
    return extents


@njit(cache=True)
def _fetched(axis, distance, bounds, levels, axes, first, extents):  # type: ignore[no-untyped-def]
    """Words that one instance of level `first` fetches over the whole nest."""
    size = extents.prod()
    total = size
    repeats = 1
    shift = np.empty(4, np.int64)
    for outer in range(len(bounds)):
        if axes[outer] or levels[outer] >= first or bounds[outer] == 1:
            continue
        shift[:] = 0
        for at in range(outer, len(bounds)):
            if axes[at] == 0 and levels[at] < first and axis[at] >= 0:
                shift[axis[at]] += distance[at] if at == outer else -distance[at] * (bounds[at] - 1)
        moved = np.count_nonzero(shift)
        new = size if moved else 0
        if moved == 1:
            along = np.argmax(np.abs(shift))
            if 0 < shift[along] < extents[along]:
                new = size // extents[along] * shift[along]
        total += (bounds[outer] - 1) * repeats * new
        repeats *= bounds[outer]
    return total


@njit(cache=True)
def _partition(kind, axis, distance, bounds, levels, axes, first, extents):  # type: ignore[no-untyped-def]
    """Words of the tensor that one instance of level `first` sees in all.

    Its share of what the array sees, for windows.
    """
    if kind != 1:
        words = extents.prod()
        for at in range(len(bounds)):
            if axes[at] == 0 and levels[at] < first and axis[at] >= 0:
                words *= bounds[at]
        return words
    whole = np.ones(4, np.int64)
    union = extents.copy()
    for at in range(len(bounds)):
        if axis[at] >= 0:
            whole[axis[at]] += (bounds[at] - 1) * distance[at]
            if axes[at] and levels[at] < first:
                union[axis[at]] += (bounds[at] - 1) * distance[at]
    return whole.prod() * extents.prod() // union.prod()


@njit(cache=True)
def _copies(axis, bounds, levels, axes, above, first):  # type: ignore[no-untyped-def]
    """Count the different tiles at level `first` under one instance of level `above`."""
    copies = 1
    for at in range(len(bounds)):
        if axes[at] and above <= levels[at] < first and axis[at] >= 0:
            copies *= bounds[at]
    return copies


@njit(cache=True)
def nest_counts(dims, bounds, levels, axes, stride_w, stride_h, keeps, own_inputs, counts):  # type: ignore[no-untyped-def]
    """Fill ``counts : (levels, 3 kinds, 5) int64`` with words per instance.

    ``keeps : (levels, 3) bool`` says which level stores which kind.

    ``own_inputs`` says whether every output channel has an input map of its own (depthwise), or all
    share the inputs.
    """
    counts[:] = 0
    depth = keeps.shape[0]
    steps = _steps(dims, bounds)
    cycles = 1
    for at in range(len(bounds)):
        if axes[at] == 0:
            cycles *= bounds[at]
    for kind in range(3):
        tensor = OWN_INPUT if own_inputs and kind == 1 else kind
        axis, distance = _moves(kind, tensor, dims, steps, stride_w, stride_h)
        below, demand = depth, cycles
        for level in range(depth - 1, -1, -1):
            if not keeps[level, kind]:
                continue
            extents = _extents(axis, distance, bounds, levels, level)
            served = demand * _copies(axis, bounds, levels, axes, level, below)
            partition = _partition(kind, axis, distance, bounds, levels, axes, level, extents)
            demand = _fetched(axis, distance, bounds, levels, axes, level, extents)
            row = counts[level, kind]
            row[READS] = served - partition if kind == 2 else served
            row[UPDATES] = served if kind == 2 else 0
            row[FILLS] = 0 if level == 0 else demand
            row[PARTITION], row[TILE] = partition, extents.prod()
            below = level


@njit(cache=True)
def nest_cost(bounds, levels, axes, counts, keeps, blocks, access_pj, mac_pj, words, reads, writes):  # type: ignore[no-untyped-def]
    """Return (cycles, energy in pJ) of a nest whose counts are known.

    Cycles are -1 where a tile exceeds its level's words.

    ``words``, ``reads`` and ``writes : (levels,) int64`` hold capacities and port widths, -1 for no
        limit.
    """
    compute, pes = 1, 1
    for at in range(len(bounds)):
        if axes[at]:
            pes *= bounds[at]
        else:
            compute *= bounds[at]
    cycles = compute
    energy = mac_pj * compute * pes
    for level in range(keeps.shape[0]):
        instances, held, read, written = 1, 0, 0, 0
        for at in range(len(bounds)):
            if axes[at] and levels[at] < level:
                instances *= bounds[at]
        for kind in range(3):
            if keeps[level, kind]:
                row = counts[level, kind]
                touched = row[READS] + row[UPDATES] + row[FILLS]
                energy += -(-touched // blocks[level]) * access_pj[level] * instances
                held += row[TILE]
                read += row[READS]
                written += row[UPDATES] + row[FILLS]
        if 0 <= words[level] < held:
            return -1, energy
        if reads[level] > 0:
            cycles = max(cycles, -(-read // reads[level]))
        if writes[level] > 0:
            cycles = max(cycles, -(-written // writes[level]))
    return cycles, energy


@njit(cache=True)
def nest_costs(  # type: ignore[no-untyped-def]
    dims,
    candidates,
    levels,
    axes,
    stride_w,
    stride_h,
    keeps,
    blocks,
    access_pj,
    mac_pj,
    words,
    reads,
    writes,
):
    """Return (cycles, energies) of many nests that differ in their bounds.

    ``candidates : (n, loops)`` holds the bounds.
    """
    cycles = np.empty(len(candidates), np.int64)
    energies = np.empty(len(candidates), np.float64)
    counts = np.empty((keeps.shape[0], 3, 5), np.int64)
    for one in range(len(candidates)):
        nest_counts(dims, candidates[one], levels, axes, stride_w, stride_h, keeps, False, counts)
        cycles[one], energies[one] = nest_cost(
            candidates[one],
            levels,
            axes,
            counts,
            keeps,
            blocks,
            access_pj,
            mac_pj,
            words,
            reads,
            writes,
        )
    return cycles, energies
