"""SparTen as a machine."""

from __future__ import annotations

from importlib import resources

from archonsim.machines.sparten.layer import SpartenLayer
from archonsim.machines.sparten.spec import SpartenSpec
from archonsim.machines.two_sided.bits import Nonzero
from archonsim.machines.two_sided.machine import TwoSidedMachine
from archonsim.network.layer import Layer
from archonsim.spec.resources import Resources
from archonsim.vocabulary.vocabulary import Vocabulary


class SpartenMachine(TwoSidedMachine[SpartenSpec]):
    """SparTen, as a machine that ``archonsim run`` knows."""

    name = "sparten"
    summary = (
        "SparTen: units join bit masks of inputs and filters, chunk by chunk; filters are balanced"
        " offline"
    )
    spec_type = SpartenSpec
    preset = (resources.files("archonsim.machines.sparten") / "preset.toml").read_text("utf-8")
    includes = (
        (
            "every product of a non-zero weight and a non-zero activation, one a cycle and unit;"
            " a chunk as long as its slowest unit, a cycle where no pair is found"
        ),
        "DRAM bandwidth and latency, packed weights and maps in DRAM; every map goes through DRAM",
    )
    excludes = (
        *TwoSidedMachine.excludes,
        "energy of the joins (prefix sums, priority encoders) and of permuting outputs",
    )
    vocabulary = Vocabulary(title="SparTen", colour="#AA4499")

    def model(self, layer: Layer, nonzero: Nonzero, spec: SpartenSpec) -> SpartenLayer:
        """Deal a layer out to units."""
        return SpartenLayer(layer, nonzero, spec)

    def energy_sizes(self, spec: SpartenSpec) -> dict[str, int]:
        """Words of a bank of the GLB, and of a unit's buffers."""
        return {
            "glb": max(1, spec.glb.words // spec.glb.banks),
            "ifmap_spad": spec.pe.input_words,
            "weight_spad": spec.pe.weight_words,
            "psum_spad": spec.pe.psum_words,
        }

    def resources(self, spec: SpartenSpec) -> Resources:
        """Multipliers and buffers; no area is published for the tables' technology."""
        return Resources(pes=spec.multipliers, buffer_words=spec.glb.words)
