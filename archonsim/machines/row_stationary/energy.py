"""Energy of a layer on the row-stationary array: its mapping's actions, charged."""

from __future__ import annotations

from fnmatch import fnmatchcase

from archonsim.machines.charge import charge
from archonsim.machines.phases import Energy
from archonsim.machines.row_stationary.layers import MappedLayer
from archonsim.machines.row_stationary.nest_actions import SHARED, InputMaps, nest_actions
from archonsim.machines.row_stationary.spec import RowStationarySpec
from archonsim.spec.technology import load_technology
from archonsim.stats.counts import PhaseStats

#: Depthwise layers whose published energies count inputs otherwise than all others
#: (compstruct/fusion-timeloop-model), by workload: ShuffleNet's have four times the maps;
#: MobileNetV2's head was forgotten, and in its CIFAR-100 run corrected at the GLB alone.
PUBLISHED: dict[str, tuple[str, InputMaps]] = {
    "mobilenetv2_c10-ics21": ("b0.dw", InputMaps(levels=())),
    "mobilenetv2_c100-ics21": ("b0.dw", InputMaps(levels=("glb",))),
    "shufflenet_c10-ics21": ("b*.dw", InputMaps(times=4)),
}


def count_actions(
    stats: PhaseStats, mapped: MappedLayer, spec: RowStationarySpec, workload: str = ""
) -> None:
    """Add a dense layer's actions to `stats`.

    Those that were published where the rules say so and `workload` is known.
    """
    maps = None
    if spec.energy_rules == "ics21":
        pattern, other = PUBLISHED.get(workload, ("", InputMaps()))
        maps = other if fnmatchcase(mapped.layer.name, pattern) else InputMaps()
    stats.actions.update(
        nest_actions(mapped.problem, mapped.cost, mapped.moved, spec.hierarchy(), maps)
    )


def count_sparse_actions(
    stats: PhaseStats, mapped: MappedLayer, spec: RowStationarySpec, macs: int, weight_words: int
) -> None:
    """Add the actions of a layer that skips products.

    Multipliers and pads by products, DRAM weights by words, maps as ever.
    """
    kept = weight_words / mapped.words("dram", "weight")[0]
    for (component, action, kind), times in nest_actions(
        mapped.problem, mapped.cost, mapped.moved, spec.hierarchy()
    ).items():
        done = times
        if component not in SHARED:
            done = round(times * macs / mapped.macs)
        elif kind == "weight":
            done = round(times * kept)
        stats.actions[component, action, kind] += done


def energy_of(stats: PhaseStats, spec: RowStationarySpec) -> Energy:
    """Charge what was counted."""
    pe = spec.pe
    sizes = {
        "glb": spec.glb.words,
        "ifmap_spad": pe.ifmap_words,
        "weight_spad": pe.weight_words,
        "psum_spad": pe.psum_words,
    }
    return charge(stats.actions, load_technology(spec.technology), sizes)
