"""Energy of a phase on ARCHON, and the technology's sizes of its memories."""

from __future__ import annotations

from dataclasses import replace

from archonsim.machines.archon.actions import array_actions, memory_actions
from archonsim.machines.archon.predicting import asked
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.charge import charge
from archonsim.machines.phases import PhaseResult
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.spec.technology import load_technology

#: 16-bit words of a PE's weight pad, which predictions use (ICS'21).
WEIGHT_PAD_WORDS = 128


def memory_sizes(spec: ArchonSpec, *, main: bool) -> dict[str, int]:
    """16-bit words of each memory.

    The two register files of a PE change places between the configurations.
    """
    pe = spec.pe
    return {
        "glb": spec.glb.words,
        "prediction_glb": spec.prediction_glb.words,
        "ifmap_spad": pe.main_ifmap_words if main else pe.ifmap_words,
        "psum_spad": pe.psum_words if main else pe.main_ifmap_words,
        "weight_spad": WEIGHT_PAD_WORDS,
        "prediction_buffer": pe.prediction_buffer_words,
    }


def charged(result: PhaseResult, spec: ArchonSpec) -> PhaseResult:
    """Charge what a phase's actions cost."""
    sizes = memory_sizes(spec, main=result.phase == "main")
    return replace(
        result, energy=charge(result.stats.actions, load_technology(spec.technology), sizes)
    )


def predicted_layer(block: Block, phase: str) -> Layer:
    """Return the layer whose ReLU a phase predicts."""
    layer: Layer = getattr(block, phase.removeprefix("predict_"))
    return layer


def with_energy(result: PhaseResult, item: Layer | Block, spec: ArchonSpec) -> PhaseResult:
    """Count the rest of what a phase in ``cycle`` fidelity did, and charge it.

    Its tiles have counted what depends on data.
    """
    if isinstance(item, Layer):
        array_actions(result.stats, item, spec)
    elif result.phase != "main":
        layer, phase = predicted_layer(item, result.phase), result.phase
        array_actions(result.stats, layer, spec, asked(item, phase))
    memory_actions(result.stats)
    return charged(result, spec)
