"""Energy of a layer on the sparse array."""

from __future__ import annotations

from dataclasses import replace

from archonsim.machines.phases import Energy, PhaseResult
from archonsim.machines.row_stationary.energy import count_actions, count_sparse_actions, energy_of
from archonsim.machines.row_stationary.layers import MappedLayer
from archonsim.machines.sparse.spec import SparseSpec
from archonsim.machines.sparse.work import PRUNED, LayerWork, weight_words

#: ICS'21's post-processing: this share of a pointwise layer's accesses falls away (its models are
#: 80 % sparse, though), and what is left of each weight costs 10 bits of 16.
PUBLISHED_SHARE = 0.91
PUBLISHED_WEIGHT = 10 / 16


def with_energy(
    result: PhaseResult, mapped: MappedLayer, work: LayerWork, spec: SparseSpec
) -> PhaseResult:
    """Energy by what is done.

    Multipliers and scratchpads per product, DRAM weights by words, maps as on the dense array.
    """
    count_sparse_actions(result.stats, mapped, spec, work.macs, weight_words(mapped, work, spec))
    return replace(result, energy=energy_of(result.stats, spec))


def with_published_energy(
    result: PhaseResult, mapped: MappedLayer, spec: SparseSpec, workload: str, *, pruned: bool
) -> PhaseResult:
    """Energy by the authors' formula.

    A dense layer's, of which a pruned pointwise layer's weights and input pad are scaled.
    """
    count_actions(result.stats, mapped, spec, workload)
    energy: Energy = energy_of(result.stats, spec)
    if pruned and PRUNED.get(mapped.layer.role) == "pointwise_density":
        for key in (("dram", "weight"), ("weight_spad", "weight")):
            energy[key] *= 1 - PUBLISHED_SHARE * (1 - PUBLISHED_WEIGHT)
        energy["ifmap_spad", "input"] *= 1 - PUBLISHED_SHARE
    return replace(result, energy=energy)
