"""How ARCHON's predictions run on the array: mapping, running sums, requantisation.

What an operation is, on how many bits, and how many there are, the predictor declares
(:mod:`archonsim.network.prediction`). The authors count ternary additions alone. A PE adds to up to
24 running sums at a time, and a pad of two read and two write ports cannot hold those; and each sum
becomes a keep bit, those of the first prediction a 4-bit activation as well. What both take are our
decisions (docs/buildable.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from archonsim.dataflow.spatial import RunningSums, SpatialMapping, map_layer
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.prediction import PredictionLoad
from archonsim.spec.parts import WORD_BITS

#: Sums that the psum pad reads, and writes, in a cycle (ICS'21: two ports each).
PAD_PORTS = 2

#: Comparisons more where a ReLU6 may clip: with the threshold above which it does.
CLIP_COMPARES = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """What is predicted, and by what.

    Attributes
    ----------
    load : PredictionLoad
        As the predictor declares it.
    clips : bool
        Whether the ReLU may clip.
    """

    load: PredictionLoad
    clips: bool

    @property
    def adds(self) -> bool:
        """Whether the narrow adders work, and not the multipliers."""
        return self.load.unit == "adders"

    @property
    def compares(self) -> int:
        """Comparisons of one sum."""
        return self.load.compares + CLIP_COMPARES * self.clips

    def lanes(self, spec: ArchonSpec) -> int:
        """Operations of a PE in a cycle."""
        return spec.pe.beat_candidates if self.adds else 1

    def parameter_words(self, spec: ArchonSpec) -> int:
        """16-bit words of a channel beside its weights, read from DRAM with them.

        Where a sum is multiplied, scale and shift; one threshold more for a bit that says clipped.
        """
        if spec.requantise == "free":
            return 0
        if spec.requantise == "mac":  # what is in real units needs no threshold of its own
            return 2
        return self.load.parameters + self.clips

    def sum_bits(self, layer: Layer) -> int:
        """Bits of a running sum: the largest, and a sign."""
        terms, load = layer.weights // layer.out_channels, self.load
        magnitude = (1 << max(1, load.weight_bits - 1)) - 1
        return (terms * magnitude * ((1 << load.input_bits) - 1)).bit_length() + 1


def asked(block: Block, phase: str) -> Asked:
    """Return what a phase of a block predicts."""
    second = phase != "predict_pw1"
    return Asked(block.prediction.loads[second], block.clips[second] > 0)


def prediction_mapping(layer: Layer, spec: ArchonSpec, asked: Asked) -> SpatialMapping:
    """Map a layer whose ReLU is predicted onto what predicts it, for the fewest cycles."""
    pe, lanes, steps = spec.pe, asked.lanes(spec), asked.load.steps
    finish = asked.compares if spec.requantise == "compare" else 0
    each = 1 if spec.requantise == "mac" else 0
    free = spec.prediction_sums == "free"
    if free and spec.requantise == "free":
        return map_layer(layer, pe.rows, pe.cols, lanes, steps=steps)
    bits = asked.sum_bits(layer)
    registers = {
        "free": lanes * bits,
        # The pad that holds inputs in the main phase is the predictions' psum pad (ICS'21); its
        # bits as registers hold 24 sums of 8 bits.
        "registers": pe.main_ifmap_words * WORD_BITS,
        "pads": 0,
    }[spec.prediction_sums]
    sums = RunningSums(bits, registers, PAD_PORTS, finish, each)
    return map_layer(layer, pe.rows, pe.cols, lanes, sums, steps)
