"""Closed forms for whether fusing a block pays, from shape, densities, survival and machine.

With A wide adders that take 4 candidates each, PEs = rows x cols, pixels H W in and P Q out, and B
words a cycle from DRAM::

    predict = (MACs(first layer) + MACs(second layer)) / (PEs 4A)
    groups  = C/G K^2 O
    n       = M/G C/G K^2 O d1 dw d2 / groups
    group   = max(1, n / 4A, n s / A)
    stream  = groups n (value + index bits) / 16 / B
    main    = ceil(P/rows) ceil(Q/cols) max(groups group, stream)
    fused   = predict + main
    plain   = sum over PW1, DW, PW2 of
              max(MACs / PEs, (weights + maps that do not stay on chip) / B)

A prediction does one ternary addition for each narrow adder and cycle, or what else its predictor
declares. `groups` are the (o, c, k)
of a tile (more if a shuffle stands inside the block), n the candidates of a group, d the share of
non-zero weights of a layer. A group takes one MAC, all its candidates are broadcast, and its
survivors are added up. `stream` is the time of the fused weights of a tile.

s is the share of candidates that survive, taken as the product of the densities of the two masks.
Left out: edges in all but the main phase, the slowest PE of a tile, on-chip ports, latency, bias
terms, what goes to DRAM in prediction. The estimate is ours (own decision); the first two terms
follow the authors' analytic model (ICS'21; see ``ideal.py``).
"""

from __future__ import annotations

from archonsim.machines.archon.residency import steps
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.protocol import Densities
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.spec.parts import WORD_BITS


def _words_per_cycle(spec: ArchonSpec) -> float:
    unlimited = spec.dram.model == "unlimited"
    return float("inf") if unlimited else float(spec.dram.words_per_cycle(spec.clock_mhz))


def estimate_fused(block: Block, spec: ArchonSpec, densities: Densities) -> float:
    """Estimate cycles of a block's two predictions and its fused convolution."""
    pe, (first, second, last) = spec.pe, block.layers
    predict = 0.0
    for layer, load in zip((first, second), block.prediction.loads, strict=True):
        lanes = pe.beat_candidates if load.unit == "adders" else 1
        predict += load.operations(layer.macs) / (pe.count * lanes)
    groups = block.fused_inputs * block.taps
    products = (
        block.mid_channels
        // block.groups
        * (block.in_channels // block.groups)
        * block.out_channels
        * block.taps
    )
    candidates = products * densities.pw1 * densities.dw * densities.pw2 / groups
    group = max(1.0, candidates / pe.beat_candidates, candidates * densities.survival / pe.adders)
    stream = (
        groups
        * candidates
        * (spec.value_bits + spec.index_bits)
        / WORD_BITS
        / _words_per_cycle(spec)
    )
    tiles = -(-last.out_h // pe.rows) * -(-last.out_w // pe.cols)
    return predict + tiles * max(groups * group, stream)


def estimate_plain(workload: Workload, block: Block, spec: ArchonSpec) -> float:
    """Estimate cycles of a block's three layers, one after the other on the same PEs.

    Parameters
    ----------
    workload : Workload
        In which the block runs unfused: what comes before and after decides which maps stay on
        chip.
    block : Block
    spec : ArchonSpec
    """
    cycles = 0.0
    names = {layer.name for layer in block.layers}
    for step in steps(workload, spec.glb.words):
        layer = step.item
        if isinstance(layer, Block) or layer.name not in names:
            continue
        words = (
            layer.weights
            + step.in_words * (not step.input_on_chip)
            + step.out_words * (not step.output_on_chip)
        )
        cycles += max(layer.macs / spec.pe.count, words / _words_per_cycle(spec))
    return cycles
