"""SCNN as a machine."""

from __future__ import annotations

from importlib import resources

from archonsim.machines.scnn.layer import ScnnLayer
from archonsim.machines.scnn.spec import ScnnSpec
from archonsim.machines.two_sided.bits import Nonzero
from archonsim.machines.two_sided.machine import TwoSidedMachine
from archonsim.network.layer import Layer
from archonsim.spec.resources import Resources
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
        "exchange of halos between PEs; energy of the crossbar and of coordinates",
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
        """Multipliers and buffers; no area is published for the tables' technology."""
        return Resources(pes=spec.multipliers, buffer_words=spec.glb.words)
