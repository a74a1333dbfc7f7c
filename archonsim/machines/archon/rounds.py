"""ARCHON's phases of fixed compute time: the two predictions, and plain layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from archonsim.dataflow.even import edge
from archonsim.dataflow.spatial import SpatialMapping, map_layer
from archonsim.engine.contract import FixedTile, Phase
from archonsim.machines.archon.predicting import Asked, asked, prediction_mapping
from archonsim.machines.archon.residency import Step
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.archon.traffic import (
    masks_on_chip,
    moved,
    share,
    words,
)
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.prediction import PredictionLoad
from archonsim.stats.counts import Transfer

#: A phase is cut into tiles of at least this many cycles, and at most this many of them: enough to
#: overlap memory with compute, large enough to hide DRAM's latency, few enough to be quick (own
#: decision).
TILE_CYCLES = 128
MAX_TILES = 64


def _cuts(mapping: SpatialMapping, per_group: int) -> Iterator[tuple[int, int, int]]:
    """Cut a mapping's rounds into tiles; yield (first round, rounds, output channels)."""
    tiles = max(1, min(MAX_TILES, mapping.units, mapping.cycles // TILE_CYCLES))
    for tile in range(tiles):
        first, last = edge(mapping.units, tile, tiles), edge(mapping.units, tile + 1, tiles)
        channels = mapping.channels_before(last, per_group) - mapping.channels_before(
            first, per_group
        )
        yield first, last - first, channels


def _input_reads(
    layer: Layer, mapping: SpatialMapping, first: int, units: int, channels: int, *, held: bool
) -> int:
    """Input pixels that the rounds ``first : first + units`` read.

    Once a group when the pads hold them, else every round.
    """
    pixels = layer.in_h * layer.in_w
    if layer.kind == "depthwise":
        return channels * pixels
    per_round = layer.in_channels // layer.groups * pixels
    if not held:
        return units * per_round
    rounds = mapping.rounds[1]
    started = -(-(first + units) // rounds) - -(-first // rounds)
    return started * per_round


def _per_group(layer: Layer) -> int:
    return layer.out_channels if layer.kind == "depthwise" else layer.out_channels // layer.groups


def layer_phase(step: Step, layer: Layer, spec: ArchonSpec) -> Phase:
    """Run a plain layer: one MAC a PE and cycle, weights from DRAM once."""
    mapping = map_layer(layer, spec.pe.rows, spec.pe.cols, 1)
    out_pixels = layer.out_h * layer.out_w
    per_channel = layer.weights // layer.out_channels
    tiles = []
    for first, units, channels in _cuts(mapping, _per_group(layer)):
        reads = _input_reads(layer, mapping, first, units, channels, held=False)
        loads = moved("read", "weight", channels * per_channel, on_chip=False)[:1]
        # DRAM gives each input word once; the on-chip buffer gives it again in every round.
        if not step.input_on_chip:
            loads.append(
                Transfer("dram", "read", "input", share(step.in_words, first, units, mapping.units))
            )
        loads.append(Transfer("glb", "read", "input", reads))
        stores = moved("write", "output", channels * out_pixels, on_chip=step.output_on_chip)
        macs = channels * per_channel * out_pixels
        tiles.append(
            FixedTile(cycles=units * mapping.unit_cycles, loads=loads, stores=stores, macs=macs)
        )
    return Phase(name="layer", tiles=tiles, stream_from=["dram"] * len(tiles))


def _skipped(
    mapping: SpatialMapping, per_group: int, first: int, units: int, nonzero: NDArray[np.int64]
) -> tuple[int, int]:
    """Cycles and additions a pixel of some rounds when zero weights are skipped.

    A round ends with its fullest channel.
    """
    cycles = adds = 0
    for unit in range(first, first + units):
        counts = nonzero[
            mapping.channels_before(unit, per_group) : mapping.channels_before(unit + 1, per_group)
        ]
        steps = max(1, -(-int(counts.max()) // mapping.extent[0]))
        cycles += mapping.round_cycles(steps) * mapping.rounds[2] * mapping.rounds[3]
        adds += int(counts.sum())
    return cycles, adds


def _unit_cycles(mapping: SpatialMapping, load: PredictionLoad) -> int:
    """Cycles of a round over groups and output channels, of which a share is done."""
    steps = max(1, load.shared(mapping.rounds[0] * mapping.taps))
    return mapping.rounds[2] * mapping.rounds[3] * mapping.round_cycles(steps)


def predict_phase(
    layer: Layer,
    spec: ArchonSpec,
    *,
    name: str,
    nonzero: NDArray[np.int64],
    asked: Asked,
    input_transfers: Callable[[int, int, int], list[Transfer]],
    output_transfers: Callable[[int], list[Transfer]],
) -> Phase:
    """Predict one ReLU: operations on adders or multipliers, one each a cycle.

    Parameters
    ----------
    layer : Layer
        The layer whose ReLU is predicted.
    spec : ArchonSpec
    name : str
        Of the phase.
    nonzero : (M,) int
        Non-zero ternary weights of each output channel; used when the machine skips zeros.
    asked : Asked
        What predicts it.
    input_transfers : function of (values, first channel, channels)
        What a tile loads, given the input values that it reads and the output channels that it
        makes.
    output_transfers : function of (channels)
        What a tile stores.
    """
    pe, load = spec.pe, asked.load
    mapping = prediction_mapping(layer, spec, asked)
    held = (
        mapping.rounds[2] * mapping.rounds[3] * layer.in_channels // layer.groups * load.input_bits
        <= pe.ifmap_words * 16
    )
    per_channel = layer.weights // layer.out_channels
    tiles = []
    for first, units, channels in _cuts(mapping, _per_group(layer)):
        reads = _input_reads(layer, mapping, first, units, channels, held=held)
        weights = words(channels * per_channel * (load.weight_bits + load.index_bits))
        weights += channels * asked.parameter_words(spec)
        loads = [Transfer("dram", "read", "weight", weights)]
        loads += input_transfers(reads, mapping.channels_before(first, _per_group(layer)), channels)
        stores, pixels = output_transfers(channels), layer.out_h * layer.out_w
        products = channels * per_channel * pixels
        cycles, done = units * _unit_cycles(mapping, load), load.operations(products)
        if spec.skip_zero_ternary:
            cycles, adds = _skipped(mapping, _per_group(layer), first, units, nonzero)
            done = adds * pixels
        tiles.append(
            FixedTile(
                cycles=cycles,
                loads=loads,
                stores=stores,
                macs=0 if asked.adds else done,
                adds=done if asked.adds else 0,
                adds_possible=products * load.steps if asked.adds else 0,
            )
        )
    return Phase(name=name, tiles=tiles, stream_from=["dram"] * len(tiles))


def prediction_phases(
    step: Step, block: Block, spec: ArchonSpec, nonzero: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> list[Phase]:
    """The predictions of a block's first two layers; `nonzero` as in `predict_phase`, for each."""
    pw1, second, _ = block.layers
    in_pixels, out_pixels = pw1.out_h * pw1.out_w, second.out_h * second.out_w
    mask_stays, code_bits = masks_on_chip(block, spec), block.prediction.loads[0].code_bits
    map_words = words(block.mid_channels * in_pixels * code_bits)
    # One channel of DW needs one of PW1; a PW2 that comes second needs them all, whatever the order
    # of prediction.
    by_channel = spec.prediction_order == "channel" and second.kind == "depthwise"
    map_stays = by_channel or map_words <= step.free_words(spec.glb.words)

    def block_input(reads: int, first: int, channels: int) -> list[Transfer]:
        transfers = [Transfer("glb", "read", "input", reads)]
        if not step.input_on_chip:
            transfers.append(
                Transfer(
                    "dram",
                    "read",
                    "input",
                    share(step.in_words, first, channels, block.mid_channels),
                )
            )
        return transfers

    def map_and_mask(channels: int) -> list[Transfer]:
        return [
            *moved("write", "map", words(channels * in_pixels * code_bits), on_chip=map_stays),
            *moved(
                "write",
                "mask",
                words(channels * in_pixels * block.planes[0]),
                on_chip=mask_stays,
                buffer="prediction_glb",
            ),
        ]

    def predicted_map(reads: int, first: int, channels: int) -> list[Transfer]:
        if second.kind == "depthwise":
            return moved("read", "map", words(reads * code_bits), on_chip=map_stays)
        transfers = [Transfer("glb", "read", "map", words(reads * code_bits))]
        if not map_stays:
            transfers.append(
                Transfer(
                    "dram", "read", "map", share(map_words, first, channels, second.out_channels)
                )
            )
        return transfers

    def mask(channels: int) -> list[Transfer]:
        return moved(
            "write",
            "mask",
            words(channels * out_pixels * block.planes[1]),
            on_chip=mask_stays,
            buffer="prediction_glb",
        )

    return [
        predict_phase(
            pw1,
            spec,
            name="predict_pw1",
            nonzero=nonzero[0],
            asked=asked(block, "predict_pw1"),
            input_transfers=block_input,
            output_transfers=map_and_mask,
        ),
        predict_phase(
            second,
            spec,
            name=f"predict_{second.role}",
            nonzero=nonzero[1],
            asked=asked(block, f"predict_{second.role}"),
            input_transfers=predicted_map,
            output_transfers=mask,
        ),
    ]
