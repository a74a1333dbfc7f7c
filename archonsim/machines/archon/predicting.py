"""How ARCHON's predictions run on the array: mapping, running sums, requantisation.

The authors count ternary additions alone. A PE adds to up to 24 running sums at a time, and a pad
of two read and two write ports cannot hold those; and each sum becomes a keep bit, those of the
first prediction a 4-bit activation as well. What both take are our decisions (docs/buildable.md).
"""

from __future__ import annotations

from archonsim.dataflow.spatial import RunningSums, SpatialMapping, map_layer
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.archon.traffic import INPUT_BITS
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.spec.parts import WORD_BITS

#: Sums that the psum pad reads, and writes, in a cycle (ICS'21: two ports each).
PAD_PORTS = 2

#: Comparisons that make a sum a 4-bit activation, one after the other, and a keep bit alone. The 15
#: thresholds into which batch normalisation and rounding fold are evenly spaced, so that 8, 4, 2
#: and 1 times their distance are subtracted as in a division: two words a channel.
CODE_COMPARES = INPUT_BITS
KEEP_COMPARES = 1
#: One more where a ReLU6 may clip: with the threshold above which it does.
CLIP_COMPARES = 1


def compares(phase: str, *, clips: bool) -> int:
    """Comparisons of one sum of a prediction, by its phase and whether its ReLU may clip."""
    own = CODE_COMPARES if phase == "predict_pw1" else KEEP_COMPARES
    return own + CLIP_COMPARES * clips


def parameter_words(phase: str, spec: ArchonSpec, *, clips: bool) -> int:
    """16-bit words of a channel's requantisation, read from DRAM with its weights.

    First threshold and distance, or scale and shift; for a keep bit one threshold, and one more for
    a bit that says clipped.
    """
    if spec.requantise == "free":
        return 0
    if spec.requantise == "mac":  # what is in real units needs no threshold of its own
        return 2
    return (2 if phase == "predict_pw1" else 1) + clips


def sum_bits(layer: Layer) -> int:
    """Bits of a running sum of 4-bit inputs with ternary weights: the largest, and a sign."""
    terms = layer.weights // layer.out_channels
    return (terms * ((1 << INPUT_BITS) - 1)).bit_length() + 1


def clipping(block: Block, phase: str) -> bool:
    """Whether the ReLU that a phase predicts may clip."""
    return block.clips[phase != "predict_pw1"] > 0


def prediction_mapping(
    layer: Layer, phase: str, spec: ArchonSpec, *, clips: bool
) -> SpatialMapping:
    """Map the layer whose ReLU `phase` predicts onto the narrow adders, for the fewest cycles."""
    pe = spec.pe
    finish = compares(phase, clips=clips) if spec.requantise == "compare" else 0
    each = 1 if spec.requantise == "mac" else 0
    free = spec.prediction_sums == "free"
    if free and spec.requantise == "free":
        return map_layer(layer, pe.rows, pe.cols, pe.beat_candidates)
    bits = sum_bits(layer)
    registers = {
        "free": pe.beat_candidates * bits,
        # The pad that holds inputs in the main phase is the predictions' psum pad (ICS'21); its
        # bits as registers hold 24 sums of 8 bits.
        "registers": pe.main_ifmap_words * WORD_BITS,
        "pads": 0,
    }[spec.prediction_sums]
    sums = RunningSums(bits, registers, PAD_PORTS, finish, each)
    return map_layer(layer, pe.rows, pe.cols, pe.beat_candidates, sums)
