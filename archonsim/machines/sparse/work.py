"""Cycles of each pass of a layer on the sparse array, from any source of non-zero positions."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archonsim.dataflow.even import edge
from archonsim.dataflow.passes import PassGrid, pass_counts, pass_grid
from archonsim.errors import SpecError
from archonsim.machines.row_stationary.layers import MappedLayer
from archonsim.machines.sparse.published import PublishedLayer, measured_work
from archonsim.machines.sparse.spec import SparseSpec
from archonsim.network.layer import Layer
from archonsim.pe.pass_kernel import Work, masked_work, pass_ends, weight_work

Ints = NDArray[np.int64]
Alive = NDArray[np.uint8]

#: Roles of the layers that ICS'21 pruned, and the key of their density.
PRUNED = {"pw1": "pointwise_density", "pw2": "pointwise_density", "dw": "depthwise_density"}


@dataclass(frozen=True, slots=True)
class EvenPasses:
    """Passes that are alike: two numbers stand for a list that could be of any length.

    Attributes
    ----------
    count : int
    cycles : int
        Of all passes; the first i of them end in cycle ``i * cycles // count``.
    """

    count: int
    cycles: int


@dataclass(frozen=True, slots=True, eq=False)
class LayerWork:
    """What a layer takes, all groups together.

    Attributes
    ----------
    ends : (passes,) int, or EvenPasses
        Cycle in which the last PE has ended each pass.
    macs : int
        Multiplications done.
    density : float
        Share of non-zero weights.
    phase : str
        ``layer``; ``published`` where only the published cycles are known.
    beyond : str
        What makes a layer longer than if all PEs that its mapping uses were equally busy:
        ``imbalance``, ``ports`` where no product is left out, ``mapping`` where every PE rounds its
        equal share up.
    ahead : ((PEs, passes) int32, int) or None
        Products of each PE and pass, and the passes that a PE may run ahead, where it may.
    """

    ends: Ints | EvenPasses
    macs: int
    density: float
    phase: str = "layer"
    beyond: str = "imbalance"
    ahead: tuple[Work, int] | None = None

    @property
    def cycles(self) -> int:
        """Cycles of all passes."""
        return self._end(self.passes)

    @property
    def passes(self) -> int:
        """Number of passes."""
        return self.ends.count if isinstance(self.ends, EvenPasses) else len(self.ends)

    def _end(self, passes: int) -> int:
        """Cycle in which the last PE has ended the first `passes` passes."""
        if isinstance(self.ends, EvenPasses):
            return passes * self.ends.cycles // self.ends.count
        return int(self.ends[passes - 1])

    def tile_cycles(self, tiles: int) -> list[int]:
        """Cycles of each of `tiles` runs of passes.

        Buffers are swapped between two tiles, so all PEs meet there: they run ahead within a tile.
        """
        if self.ahead is not None:
            work, ahead = self.ahead
            cuts = [self.passes * tile // tiles for tile in range(tiles + 1)]
            return [
                int(pass_ends(np.ascontiguousarray(work[:, first:last]), ahead)[-1])
                for first, last in itertools.pairwise(cuts)
            ]
        ends = [0, *(self._end(edge(self.passes, tile + 1, tiles)) for tile in range(tiles))]
        return [end - start for start, end in itertools.pairwise(ends)]


def dense_work(mapped: MappedLayer) -> LayerWork:
    """A layer without zeros: all passes alike."""
    passes = mapped.problem.groups * math.prod(
        loop.bound
        for level, loop in mapped.mapping.loops()
        if level in ("dram", "glb") and loop.axis == "time"
    )
    return LayerWork(EvenPasses(passes, mapped.cycles), mapped.macs, 1.0, beyond="ports")


def density_of(layer: Layer, spec: SparseSpec) -> float:
    """Share of a layer's weights that are not zero, by its kind.

    A density that the layer's shape states (N:M) goes before those of the machine's description.
    """
    if layer.sparsity is not None:
        return layer.kept_weights / layer.weights
    if layer.kind == "depthwise":
        return spec.depthwise_density
    if layer.kind == "fc" or layer.role == "gemm":
        return spec.fc_density
    pointwise = layer.kernel_h == layer.kernel_w == 1
    return spec.pointwise_density if pointwise else spec.conv_density


def balanced_work(mapped: MappedLayer, density: float) -> LayerWork:
    """A layer of which only the density is known: every PE has the same share in every pass."""
    if density == 1.0:
        return dense_work(mapped)
    passes, work = pass_counts(mapped.mapping)
    passes *= mapped.problem.groups
    ends = EvenPasses(passes, passes * math.ceil(round(density * work, 9)))
    return LayerWork(ends, round(density * mapped.macs), density, beyond="mapping")


def published_work(
    mapped: MappedLayer, published: PublishedLayer | None, spec: SparseSpec
) -> LayerWork:
    """A layer as the authors measured it; as they published it where the measurement is lost.

    Dense where it was not pruned.

    Published cycles are those of a barrier after every pass: they stay as they are whatever
    `barrier` says.
    """
    if published is None:
        return dense_work(mapped)
    groups = mapped.problem.groups
    if published.matrix is None:
        macs = published.macs
        if macs is None:
            macs = balanced_work(mapped, density_of(mapped.layer, spec)).macs
        passes = dense_work(mapped).passes
        whole = np.arange(1, passes + 1) * mapped.cycles // passes
        ends = whole * published.cycles // mapped.cycles
        return LayerWork(ends, macs, macs / mapped.macs, "published")
    work = np.tile(measured_work(published.matrix), (1, groups))
    return _counted_work(work, int(work.sum()) / mapped.macs, spec)


def given_work(mapped: MappedLayer, given: NDArray[Any] | None, spec: SparseSpec) -> LayerWork:
    """A layer as a user's file gives it, see :mod:`archonsim.machines.sparse.given`.

    Counts of each PE and pass are those of all groups, one after the other, or of one group that
    stands for all.

    Raises
    ------
    SpecError
        Counts that the layer or the array cannot have.
    """
    if given is None:
        return dense_work(mapped)
    if given.ndim == 0:
        return balanced_work(mapped, int(given) / mapped.layer.weights)
    if given.ndim == 4:
        return weights_work(mapped, given, spec)
    groups, (pes, passes) = mapped.problem.groups, given.shape
    if groups > 1 and passes == pass_counts(mapped.mapping)[0]:
        given = np.tile(given, (1, groups))
    macs = int(given.sum(dtype=np.int64))
    if pes > spec.pe.count or macs > mapped.macs:
        raise SpecError(
            f"{spec.nnz}: {mapped.layer.name}: has {macs} products on {pes} PEs; the layer has"
            f" {mapped.macs} and the array {spec.pe.count}"
        )
    return _counted_work(given, macs / mapped.macs, spec)


def _counted_work(work: Work, density: float, spec: SparseSpec) -> LayerWork:
    """A layer of which the products of each PE and pass are counted."""
    return LayerWork(
        pass_ends(work, spec.ahead),
        int(work.sum()),
        density,
        ahead=(work, spec.ahead) if spec.ahead else None,
    )


def _group_work(
    mapped: MappedLayer, nonzero: NDArray[np.bool_], alive: Alive | None, grid: PassGrid
) -> Work:
    if alive is None:
        return weight_work(nonzero, grid.passes, grid.pes, grid.runs)
    layer = mapped.layer
    top, _, left, _ = layer.padding
    stride, padding = (layer.stride_w, layer.stride_h), (left, top)
    return masked_work(
        nonzero, alive, grid.passes, grid.pes, grid.runs, stride, padding, layer.kind == "depthwise"
    )


def weights_work(
    mapped: MappedLayer, weight: NDArray[Any], spec: SparseSpec, alive: Alive | None = None
) -> LayerWork:
    """A layer whose weights are at hand.

    Parameters
    ----------
    mapped : MappedLayer
    weight : (O, C/G, S, R) float
        Its zeros are skipped.
    spec : SparseSpec
    alive : (C, H, W) uint8 or None
        0 where an input is zero; None to skip no activation.
    """
    nonzero, groups = weight != 0, mapped.problem.groups
    grid = pass_grid(mapped.mapping)
    filters = np.split(nonzero, groups)
    inputs = [None] * groups if alive is None else np.split(alive, groups)
    work = np.concatenate(
        [_group_work(mapped, one, own, grid) for one, own in zip(filters, inputs, strict=True)],
        axis=1,
    )
    return _counted_work(work, np.count_nonzero(nonzero) / nonzero.size, spec)


def weight_words(mapped: MappedLayer, work: LayerWork, spec: SparseSpec) -> int:
    """Words that DRAM sends for weights: values with indices, or all values where that is less."""
    words = mapped.words("dram", "weight")[0]
    return min(
        words,
        math.ceil(words * work.density * (spec.value_bits + spec.index_bits) / spec.value_bits),
    )
