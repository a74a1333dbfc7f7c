"""Energy of a layer on the row-stationary array: its mapping's actions, charged."""

from __future__ import annotations

from fnmatch import fnmatchcase

from archonsim.machines.charge import charge
from archonsim.machines.dense.layers import MappedLayer
from archonsim.machines.dense.spec import DenseSpec
from archonsim.machines.nest_actions import SHARED, InputMaps, nest_actions
from archonsim.machines.phases import Energy
from archonsim.spec.technology import load_technology
from archonsim.stats.counts import PhaseStats

#: Depthwise layers whose published energies count inputs otherwise than all others (compstruct/fusion-timeloop-model), by workload:
#: ShuffleNet's have four times the maps; MobileNetV2's head was forgotten, and in its CIFAR-100 run corrected at the GLB alone.
PUBLISHED: dict[str, tuple[str, InputMaps]] = {
    "mobilenetv2_c10-ics21": ("b0.dw", InputMaps(levels=())),
    "mobilenetv2_c100-ics21": ("b0.dw", InputMaps(levels=("glb",))),
    "shufflenet_c10-ics21": ("b*.dw", InputMaps(times=4)),
}


def count_actions(stats: PhaseStats, mapped: MappedLayer, spec: DenseSpec, workload: str = "") -> None:
    """Add a dense layer's actions to `stats`; those that were published where the rules say so and `workload` is known."""
    maps = None
    if spec.energy_rules == "ics21":
        pattern, other = PUBLISHED.get(workload, ("", InputMaps()))
        maps = other if fnmatchcase(mapped.layer.name, pattern) else InputMaps()
    stats.actions.update(nest_actions(mapped.problem, mapped.cost, mapped.moved, spec.hierarchy(), maps))


def count_sparse_actions(stats: PhaseStats, mapped: MappedLayer, spec: DenseSpec, macs: int, weight_words: int) -> None:
    """Add the actions of a layer that skips products: multipliers and pads by products, DRAM weights by words, maps as ever."""
    kept = weight_words / mapped.words("dram", "weight")[0]
    for (component, action, kind), times in nest_actions(mapped.problem, mapped.cost, mapped.moved, spec.hierarchy()).items():
        done = times
        if component not in SHARED:
            done = round(times * macs / mapped.macs)
        elif kind == "weight":
            done = round(times * kept)
        stats.actions[component, action, kind] += done


def energy_of(stats: PhaseStats, spec: DenseSpec) -> Energy:
    """Charge what was counted."""
    pe = spec.pe
    sizes = {
        "glb": spec.glb.words, "ifmap_spad": pe.ifmap_words, "weight_spad": pe.weight_words, "psum_spad": pe.psum_words,
    }  # fmt: skip
    return charge(stats.actions, load_technology(spec.technology), sizes)
