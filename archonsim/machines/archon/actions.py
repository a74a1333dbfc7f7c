"""What ARCHON's PEs do, as actions that energy is charged for; docs/energy.md derives each count.

The authors' action counts say what one candidate of a fused weight costs (ICS'21, overhead files):
16 gates of the decoder that all PEs share, a prediction buffer read and an AND in each PE; and what
a survivor costs: an addition, two multiplexers. We count real candidates and survivors instead of
full lanes at a fixed rate, and the FIFO between them, which the authors leave out.
"""

from __future__ import annotations

from archonsim.dataflow.spatial import map_layer
from archonsim.machines.archon.predicting import Asked, prediction_mapping
from archonsim.machines.archon.prediction_buffer import clip_bits, kept_pixels, mask_bits
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.archon.traffic import words
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.prediction import PredictionLoad
from archonsim.spec.parts import WORD_BITS
from archonsim.stats.counts import PhaseStats

#: A plain layer, in a prediction's terms.
PLAIN = PredictionLoad(unit="multipliers", input_bits=WORD_BITS, weight_bits=WORD_BITS)

#: Gates of the decoder that one candidate's index passes, and multiplexers that a survivor passes
#: (ICS'21).
DECODER_GATES = 16
SURVIVOR_MUXES = 2


def accumulate_actions(stats: PhaseStats, *, decoded: int, looked_up: int, adds: int) -> None:
    """Count the accumulate stage.

    Parameters
    ----------
    stats : PhaseStats
    decoded : int
        Candidates that were broadcast.
    looked_up : int
        Candidates times PEs that looked them up.
    adds : int
        Survivors.
    """
    stats.act("binary_decoder", "process", "weight", DECODER_GATES * decoded)
    stats.act("prediction_buffer", "read", "mask", looked_up)
    stats.act("bit_masks_and", "process", "mask", looked_up)
    stats.act("mux_", "process", "mask", looked_up)
    stats.act("mux", "process", "weight", SURVIVOR_MUXES * adds)
    stats.act("adder_fifo", "push", "weight", adds)
    stats.act("adder_fifo", "pop", "weight", adds)
    stats.act("adders", "add", "compute", adds)


def merge_actions(stats: PhaseStats, *, lanes: int, adds: int, sums: int) -> None:
    """Count the partial sums of groups that are not complete.

    Lanes run ahead of the retirement, so that each keeps a partial sum for every open group: an
    addition reads one and writes it back, and a group that retires adds up those of all lanes. Each
    access is charged like one of a FIFO, which is about as large (own decision: the authors have no
    such part).

    Parameters
    ----------
    stats : PhaseStats
    lanes : int
        Adders of a PE.
    adds : int
        Survivors.
    sums : int
        Groups that retired in PEs where some candidate survived.
    """
    stats.act("adder_fifo", "push", "psum", adds)
    stats.act("adder_fifo", "pop", "psum", adds + lanes * sums)
    stats.act("adders", "add", "psum", (lanes - 1) * sums)


def buffer_writes(stats: PhaseStats, block: Block, spec: ArchonSpec, pixels: int) -> None:
    """Count the masks of some output pixels that their PEs' prediction buffers take in.

    Those of a window, and of the pixel.

    Once, or as often as a buffer that cannot keep them needs them where refetches are charged
    (``mask_fetch``).
    """
    window, own = mask_bits(block)
    bits = window * block.taps + own
    if spec.mask_fetch == "charged" and bits > spec.pe.prediction_buffer_words * WORD_BITS:
        kept = kept_pixels(block, spec.pe.prediction_buffer_words)
        again = block.out_channels // block.groups
        bits = (
            block.in_channels
            // block.groups
            * (window * (kept + (block.taps - kept) * again) + own)
        )
    bits += sum(clip_bits(block, block.taps, 1))
    stats.act("prediction_buffer", "write", "mask", pixels * words(bits))


def multiply_actions(stats: PhaseStats, block: Block, *, pixels: int, macs: int, sums: int) -> None:
    """Count multipliers and pads of the main phase.

    Inputs are read from their pads once for each product. Every sum, of a bias group, too, is added
    to a partial sum in its pad.

    Parameters
    ----------
    stats : PhaseStats
    block : Block
    pixels : int
        Output pixels.
    macs, sums : int
        Products, and sums that reached a partial sum.
    """
    stats.act("ifmap_spad", "read", "input", macs)
    stats.act("mac", "multiply", "compute", macs)
    stats.act("adders", "add", "compute", sums - macs)
    stats.act("psum_spad", "read", "psum", sums)
    stats.act("psum_spad", "write", "psum", sums)
    stats.act("psum_spad", "read", "output", pixels * block.out_channels)


def array_actions(
    stats: PhaseStats, layer: Layer, spec: ArchonSpec, asked: Asked | None = None
) -> None:
    """Count a prediction or a plain layer that has run: pads, adders or multipliers.

    What the GLB sends reaches all PEs that differ in nothing that indexes it. A partial sum is read
    and written in each cycle in which something is added to it; what is added up side by side costs
    one access.

    Parameters
    ----------
    stats : PhaseStats
        With its traffic.
    layer : Layer
    spec : ArchonSpec
    asked : Asked or None
        Of a prediction: weights and inputs of the bits that its predictor declares, where a plain
        layer has 16 bits of both.
    """
    predicted = asked is not None
    adds = asked is not None and asked.adds
    lanes = asked.lanes(spec) if asked is not None else 1
    if asked is not None:
        mapping = prediction_mapping(layer, spec, asked)
    else:
        mapping = map_layer(layer, spec.pe.rows, spec.pe.cols, lanes)
    load = PLAIN if asked is None else asked.load
    _, across_m, across_p, across_q = mapping.array(spec.pe.rows, spec.pe.cols, lanes)
    done = stats.adds if adds else stats.macs
    # Of a product's operations, all but the first have their operands.
    products, possible = done // load.steps, layer.macs * load.steps
    outputs = layer.out_channels * layer.out_h * layer.out_w
    inputs = (
        words(stats.traffic["glb", "read", "input"] * load.input_bits)
        + stats.traffic["glb", "read", "map"]
    )
    stats.act(
        "ifmap_spad",
        "write",
        "map" if predicted else "input",
        inputs * min(across_m, layer.out_channels),
    )
    stats.act(
        "ifmap_spad", "read", "map" if predicted else "input", words(products * load.input_bits)
    )
    weights = stats.traffic["dram", "read", "weight"]
    stats.act(
        "weight_spad",
        "write",
        "weight",
        weights * min(across_p, layer.out_h) * min(across_q, layer.out_w),
    )
    stats.act(
        "weight_spad", "read", "weight", words(products * (load.weight_bits + load.index_bits))
    )
    sums = outputs * mapping.taps * mapping.rounds[0] * done // possible
    stats.act("psum_spad", "read", "psum", sums)
    stats.act("psum_spad", "write", "psum", sums)
    stats.act("psum_spad", "read", "output", outputs)
    compared = 0
    if asked is not None:
        # A sum is normalised and made narrow by one multiplication, or compared with thresholds.
        compared = asked.compares * outputs if spec.requantise == "compare" else 0
        stats.act("adders", "narrow_add", "compute", done * adds + compared)
        stats.act("weight_spad", "read", "weight", compared)
    scaled = outputs if adds and not compared else 0
    stats.act("mac", "multiply", "compute", done * (not adds) + scaled)


def memory_actions(stats: PhaseStats) -> None:
    """Count what passed the memories.

    The traffic, and on-chip buffers filled from and emptied to DRAM on the way.

    Fused weights that are streamed bypass the GLB.
    """
    stats.actions.update(stats.traffic)
    for (component, direction, kind), moved in stats.traffic.items():
        buffer = "prediction_glb" if kind == "mask" else "glb"
        if component == "dram" and stats.traffic[buffer, direction, kind]:
            stats.actions[buffer, "write" if direction == "read" else "read", kind] += moved
