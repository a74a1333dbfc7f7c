"""Eyeriss v2 as a machine."""

from __future__ import annotations

from importlib import resources

from archonsim.machines.charge import area_part
from archonsim.machines.eyerissv2.layer import EyerissV2Layer
from archonsim.machines.eyerissv2.spec import EyerissV2Spec
from archonsim.machines.two_sided.bits import Nonzero
from archonsim.machines.two_sided.machine import TwoSidedMachine
from archonsim.network.layer import Layer
from archonsim.spec.resources import Resources
from archonsim.spec.technology import load_technology
from archonsim.vocabulary.components import Component
from archonsim.vocabulary.owners import Owner
from archonsim.vocabulary.vocabulary import Vocabulary

_PADS = ("csc_input_spad", "csc_weight_spad", "csc_psum_spad")
_INDEXED = ("read", "write", "read_index", "write_index")


class EyerissV2Machine(TwoSidedMachine[EyerissV2Spec]):
    """Eyeriss v2, as a machine that ``archonsim run`` knows."""

    name = "eyerissv2"
    summary = (
        "Eyeriss v2: row-stationary PEs that skip zero weights and activations, in clusters behind"
        " a hierarchical network"
    )
    spec_type = EyerissV2Spec
    preset = (resources.files("archonsim.machines.eyerissv2") / "preset.toml").read_text("utf-8")
    includes = (
        (
            "products of non-zero weights and activations, in depthwise layers every product; each"
            " pass as long as its slowest PE, or as its busiest cluster's routers"
        ),
        "DRAM bandwidth and latency, packed weights and maps in DRAM; every map goes through DRAM",
    )
    vocabulary = Vocabulary(
        title="Eyeriss v2",
        colour="#882255",
        owners=(
            Owner(
                name="lanes",
                title="idle lanes",
                meaning="multipliers of a PE that find no further weight in a column",
                letter="L",
                order=52,
                keys=(("pe.products_per_cycle", "fewer multipliers a PE"),),
            ),
            Owner(
                name="network",
                title="on-chip network",
                meaning="passes that wait for inputs, weights or sums on a cluster's routers",
                letter="H",
                order=85,
                keys=(
                    ("cluster.input_values_per_cycle", "wider routers"),
                    ("cluster.weight_values_per_cycle", "wider routers"),
                    ("cluster.psum_values_per_cycle", "wider routers"),
                ),
            ),
        ),
        components=(
            Component(
                name="csc_input_spad",
                title="input pad",
                actions=_INDEXED,
                order=82,
                meaning="compressed inputs in a PE",
            ),
            Component(
                name="csc_weight_spad",
                title="weight pad",
                actions=_INDEXED,
                order=92,
                meaning="compressed weights in a PE",
            ),
            Component(
                name="csc_psum_spad",
                title="psum pad",
                actions=("read", "write"),
                order=102,
                meaning="partial sums in a PE",
            ),
        ),
    )

    def model(self, layer: Layer, nonzero: Nonzero, spec: EyerissV2Spec) -> EyerissV2Layer:
        """Lay a layer on the array."""
        return EyerissV2Layer(layer, nonzero, spec)

    def skips(self, layer: Layer) -> bool:
        """Whether zeros of a layer are skipped: not those of depthwise layers."""
        return layer.kind != "depthwise"

    def energy_sizes(self, spec: EyerissV2Spec) -> dict[str, int]:
        """Words of a bank of the GLB."""
        return {"glb": max(1, spec.glb.words // spec.glb.banks)}

    def resources(self, spec: EyerissV2Spec) -> Resources:
        """Multipliers, buffers, and the area of what the published tables have."""
        technology = load_technology(spec.technology)
        pes = spec.pe.count
        parts = [area_part(technology, "glb", words=spec.glb.words)]
        parts += [area_part(technology, pad, instances=pes, in_pe=True) for pad in _PADS]
        lanes = spec.pe.products_per_cycle
        parts.append(area_part(technology, "mac", instances=pes, copies=lanes, in_pe=True))
        return Resources(pes=spec.multipliers, buffer_words=spec.glb.words, parts=tuple(parts))
