"""Energy of a layer on the sparse array."""

from __future__ import annotations

from archonsim.machines.dense.layers import MappedLayer
from archonsim.machines.sparse.spec import SparseSpec
from archonsim.machines.sparse.work import PRUNED, LayerWork, weight_words

#: ICS'21's post-processing: this share of a pointwise layer's accesses falls away (its models are 80 % sparse, though), and what
#: is left of each weight costs 10 bits of 16.
PUBLISHED_SHARE = 0.91
PUBLISHED_WEIGHT = 10 / 16


def published_energy_pj(mapped: MappedLayer) -> float:
    """Energy of a pruned layer by the authors' formula: a pointwise layer's weights and input pad are scaled, nothing else."""
    if PRUNED[mapped.layer.role] != "pointwise_density":
        return mapped.energy_pj
    counts, groups = mapped.cost.counts, mapped.problem.groups
    weights = counts["dram", "weight"].energy_pj + counts["weight_spad", "weight"].energy_pj
    saved = PUBLISHED_SHARE * ((1 - PUBLISHED_WEIGHT) * weights + counts["ifmap_spad", "input"].energy_pj)
    return mapped.energy_pj - saved * groups


def energy_pj(mapped: MappedLayer, work: LayerWork, spec: SparseSpec) -> float:
    """Energy by what is done: multipliers and scratchpads per product, DRAM weights by words, maps as on the dense array."""
    counts, groups = mapped.cost.counts, mapped.problem.groups
    pads = sum(counts[pad].energy_pj for pad in (("ifmap_spad", "input"), ("weight_spad", "weight"), ("psum_spad", "output")))
    weights = counts["dram", "weight"].energy_pj
    done = work.macs / mapped.macs
    kept = weight_words(mapped, work, spec) / mapped.words("dram", "weight")[0]
    return mapped.energy_pj - groups * ((1 - done) * (mapped.cost.mac_pj + pads) + (1 - kept) * weights)
