"""Energy in ``ideal`` fidelity.

The accesses of the authors' loop nests, under one set of rules (docs/energy.md).

Bits are charged as they are stored: weights and maps of predictions as their predictor declares,
masks 1 (2 where a ReLU6 may clip), fused weights value and index. A prediction is additions on the
narrow adders, and one multiplication an output for its batch normalisation; or multiplications.
"""

from __future__ import annotations

from archonsim.dataflow.tile import output_tiles
from archonsim.machines.archon.actions import accumulate_actions, buffer_writes
from archonsim.machines.archon.energy import memory_sizes
from archonsim.machines.archon.nests import hierarchy, layer_nest, main_nest
from archonsim.machines.archon.prediction_buffer import tile_mask_bits
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.archon.traffic import masks_on_chip, moved, words
from archonsim.machines.row_stationary.nest_actions import nest_actions
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.stats.counts import PhaseStats


def layer_actions(stats: PhaseStats, layer: Layer, spec: ArchonSpec) -> None:
    """Count a plain layer."""
    levels = hierarchy(spec, memory_sizes(spec, main=False), main=False)
    problem, cost, moved_ = layer_nest(layer, levels)
    stats.actions.update(nest_actions(problem, cost, moved_, levels))


def mask_actions(
    stats: PhaseStats, block: Block, spec: ArchonSpec, direction: str, bits: int
) -> None:
    """Count mask bits from the prediction GLB, and from DRAM if a block's masks do not fit."""
    on_chip = masks_on_chip(block, spec)
    for transfer in moved(direction, "mask", words(bits), on_chip=on_chip, buffer="prediction_glb"):  # type: ignore[arg-type]
        stats.act(transfer.component, transfer.direction, "mask", transfer.words)
    if not on_chip:
        stats.act("prediction_glb", "write" if direction == "read" else "read", "mask", words(bits))


def predict_actions(stats: PhaseStats, block: Block, layer: Layer, spec: ArchonSpec) -> None:
    """Count a prediction.

    The first one reads the block's input and writes the predicted map, the second one reads that.
    """
    levels = hierarchy(spec, memory_sizes(spec, main=False), main=False)
    first = layer is block.pw1
    load = block.prediction.loads[not first]
    weight_bits, done = load.weight_bits + load.index_bits, load.operations(layer.macs)
    for (component, action, kind), times in nest_actions(
        *layer_nest(layer, levels), levels
    ).items():
        if kind == "weight":
            stats.act(component, action, "weight", words(times * weight_bits))
        elif kind == "input":
            as_stored = first and component != "ifmap_spad"
            stats.act(
                component,
                action,
                "input" if first else "map",
                times if as_stored else words(times * load.input_bits),
            )
        elif kind == "psum":
            stats.act(component, action, "psum", times)
        elif kind == "output" and first:
            stats.act(component, action, "map", words(times * load.code_bits))
    outputs = layer.out_channels * layer.out_h * layer.out_w
    if load.unit == "adders":
        stats.act("adders", "narrow_add", "compute", done)
    stats.act("mac", "multiply", "compute", outputs if load.unit == "adders" else done)
    mask_actions(stats, block, spec, "write", outputs * block.planes[not first])


def main_actions(stats: PhaseStats, block: Block, spec: ArchonSpec) -> None:
    """Count the fused convolution.

    The published nest, fused weights for every tile, and the accumulate stage.
    """
    levels = hierarchy(spec, memory_sizes(spec, main=True), main=True)
    for (component, action, kind), times in nest_actions(
        *main_nest(block, spec, levels), levels
    ).items():
        if (component, kind) != ("dram", "weight"):
            stats.actions[component, action, kind] += times
    last = block.layers[-1]
    dense = (
        block.in_channels
        // block.groups
        * block.mid_channels
        // block.groups
        * block.taps
        * block.out_channels
    )
    candidates = round(dense * spec.fused_density)
    pixels = last.out_h * last.out_w
    tiles = list(output_tiles(block.dw, spec.pe.rows, spec.pe.cols))
    for tile in tiles:
        mask_actions(stats, block, spec, "read", tile_mask_bits(block, tile))
    stats.act(
        "dram",
        "read",
        "weight",
        words(candidates * (spec.value_bits + spec.index_bits)) * len(tiles),
    )
    looked_up = candidates * pixels
    accumulate_actions(
        stats,
        decoded=candidates * len(tiles),
        looked_up=looked_up,
        adds=round(looked_up * spec.survival),
    )
    buffer_writes(stats, block, spec, pixels)
