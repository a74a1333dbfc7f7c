"""SparTen as a machine."""

from __future__ import annotations

from importlib import resources
from math import ceil, log2

from archonsim.machines.charge import area_part
from archonsim.machines.sparten.layer import SpartenLayer
from archonsim.machines.sparten.spec import SpartenSpec
from archonsim.machines.two_sided.bits import Nonzero
from archonsim.machines.two_sided.machine import TwoSidedMachine
from archonsim.network.layer import Layer
from archonsim.spec.resources import Resources
from archonsim.spec.technology import load_technology
from archonsim.vocabulary.components import Component
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
        "wires, and their energy; permuting of outputs, which offline balancing does not need",
    )
    vocabulary = Vocabulary(
        title="SparTen",
        colour="#AA4499",
        components=(
            Component(
                name="prefix_sums",
                title="prefix sums",
                actions=("find",),
                order=112,
                meaning="positions of a pair's two values, counted in both masks",
            ),
            Component(
                name="encoder",
                title="priority encoder",
                actions=("find",),
                order=114,
                meaning="the next pair of a chunk",
            ),
        ),
    )

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
        """Multipliers, buffers and area."""
        technology, pe = load_technology(spec.technology), spec.pe
        bits = pe.chunk * ceil(log2(max(2, pe.chunk)))
        parts = [area_part(technology, "glb", words=spec.glb.words)]
        # Two prefix sums, of both masks. Up and down its tree, one adds about a chunk's numbers,
        # each as wide as the chunk's size; the encoder has about as many gates.
        for name, words, copies in (
            ("mac", None, 1),
            ("ifmap_spad", pe.input_words, 1),
            ("weight_spad", pe.weight_words, 1),
            ("psum_spad", pe.psum_words, 1),
            ("prefix_sums", None, 2 * bits),
            ("encoder", None, bits),
        ):
            parts.append(
                area_part(
                    technology, name, words=words, instances=pe.count, copies=copies, in_pe=True
                )
            )
        return Resources(pes=spec.multipliers, buffer_words=spec.glb.words, parts=tuple(parts))
