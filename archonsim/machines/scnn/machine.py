"""SCNN as a machine."""

from __future__ import annotations

from importlib import resources

from archonsim.machines.charge import area_part
from archonsim.machines.scnn.layer import ACCUMULATOR_SETS, CROSSBAR_SLICES, ScnnLayer
from archonsim.machines.scnn.spec import ScnnSpec
from archonsim.machines.two_sided.bits import Nonzero
from archonsim.machines.two_sided.machine import TwoSidedMachine
from archonsim.network.layer import Layer
from archonsim.spec.resources import Resources
from archonsim.spec.technology import load_technology
from archonsim.vocabulary.components import Component
from archonsim.vocabulary.owners import Owner
from archonsim.vocabulary.vocabulary import Vocabulary


class ScnnMachine(TwoSidedMachine[ScnnSpec]):
    """SCNN, as a machine that ``archonsim run`` knows."""

    name = "scnn"
    summary = (
        "SCNN: PEs with a tile of the plane multiply all pairs of a channel's non-zeros; banks of"
        " accumulators"
    )
    spec_type = ScnnSpec
    preset = (resources.files("archonsim.machines.scnn") / "preset.toml").read_text("utf-8")
    includes = (
        (
            "all pairs of a channel's non-zero weights and inputs, vector by vector; conflicts of"
            " accumulator banks; a round of output channels as long as its slowest PE"
        ),
        "DRAM bandwidth and latency, packed weights and maps in DRAM; every map goes through DRAM",
    )
    excludes = (
        *TwoSidedMachine.excludes,
        "exchange of halos between PEs, and its energy; wires",
    )
    vocabulary = Vocabulary(
        title="SCNN",
        colour="#44AA99",
        owners=(
            Owner(
                name="fragments",
                title="vector fragments",
                meaning="vectors that are not full, and products that belong to no output",
                letter="V",
                order=52,
                keys=(
                    ("pe.inputs", "shorter vectors"),
                    ("pe.weights", "shorter vectors"),
                    ("filters_together", "more output channels fill vectors of weights"),
                ),
            ),
            Owner(
                name="contention",
                title="accumulator banks",
                meaning="products that wait for a bank of accumulators",
                letter="C",
                order=84,
                keys=(
                    ("accumulator.banks", "more banks"),
                    ("accumulator.queue", "longer queues"),
                ),
            ),
        ),
        components=(
            Component(
                name="crossbar",
                title="crossbar",
                actions=("pass",),
                order=125,
                meaning="two-way multiplexers between multipliers and banks",
            ),
        ),
    )

    def model(self, layer: Layer, nonzero: Nonzero, spec: ScnnSpec) -> ScnnLayer:
        """Cut a layer for the PEs."""
        return ScnnLayer(layer, nonzero, spec)

    def energy_sizes(self, spec: ScnnSpec) -> dict[str, int]:
        """Words of a PE's map memory, weight buffer and bank of accumulators."""
        return {
            "glb": max(1, spec.glb.words // spec.glb.banks),
            "weight_spad": spec.pe.weight_words,
            "psum_spad": spec.accumulator.entries,
        }

    def resources(self, spec: ScnnSpec) -> Resources:
        """Multipliers, buffers, and area; a PE's share of the map memory counts as shared."""
        technology = load_technology(spec.technology)
        pe, accumulator = spec.pe, spec.accumulator
        copies = {
            "mac": pe.products,
            "adders": pe.products,
            # A bank chooses one of all products.
            "crossbar": accumulator.banks * (pe.products - 1) * CROSSBAR_SLICES,
        }
        parts = [area_part(technology, "glb", words=spec.glb.words)]
        parts += [
            area_part(technology, name, instances=pe.count, copies=each, in_pe=True)
            for name, each in copies.items()
        ]
        for name, words, each in (
            ("weight_spad", pe.weight_words, 1),
            ("psum_spad", accumulator.entries, accumulator.banks * ACCUMULATOR_SETS),
        ):
            parts.append(
                area_part(
                    technology, name, words=words, instances=pe.count, copies=each, in_pe=True
                )
            )
        return Resources(pes=spec.multipliers, buffer_words=spec.glb.words, parts=tuple(parts))
