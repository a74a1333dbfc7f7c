"""Actions that energy is charged for, counted by hand on an array of one PE."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from archonsim.dataflow.nest import Counts
from archonsim.machines.archon.actions import array_actions, buffer_writes, merge_actions
from archonsim.machines.archon.ideal_energy import main_actions, predict_actions
from archonsim.machines.archon.predicting import Asked, asked
from archonsim.machines.archon.prediction_buffer import mask_bits
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.row_stationary.nest_actions import _accesses
from archonsim.network.prediction import PredictionLoad, Unit
from archonsim.stats.counts import PhaseStats
from tests.strategies import archon, make_block
from tests.workload.conftest import conv

LAYER = conv("b1.pw1", (6, 8), 5, activation="relu")
OUTPUTS = 8 * 25


def one_pe(*more: str) -> ArchonSpec:
    return archon(
        *(f"pe.{name}=1" for name in ("rows", "cols", "adders", "candidates_per_adder")), *more
    )


def moved(*, macs: int = 0, adds: int = 0, adds_possible: int = 0) -> PhaseStats:
    traffic: Counter[tuple[str, str, str]] = Counter()
    traffic["glb", "read", "input"] = 103
    traffic["glb", "read", "map"] = 7
    traffic["dram", "read", "weight"] = 50
    return PhaseStats(macs=macs, adds=adds, adds_possible=adds_possible, traffic=traffic)


def test_a_plain_layer_on_one_pe_reads_all_of_each_product() -> None:
    stats, macs = moved(macs=OUTPUTS * 6), OUTPUTS * 6
    array_actions(stats, LAYER, one_pe())
    assert stats.actions == Counter(
        {
            ("ifmap_spad", "write", "input"): 103 + 7,
            ("ifmap_spad", "read", "input"): macs,
            ("weight_spad", "write", "weight"): 50,
            ("weight_spad", "read", "weight"): macs,
            ("psum_spad", "read", "psum"): macs,
            ("psum_spad", "write", "psum"): macs,
            ("psum_spad", "read", "output"): OUTPUTS,
            ("mac", "multiply", "compute"): macs,
        }
    )


@pytest.mark.parametrize("how", ["compare", "mac"])
def test_a_prediction_on_one_pe_takes_inputs_of_4_bits_and_weights_of_2(how: str) -> None:
    """Of 1200 products 601 are not with a zero."""
    stats = moved(adds=601, adds_possible=OUTPUTS * 6)
    prediction = asked(make_block(channels=6, mid=8, out=6), "predict_pw1")
    array_actions(stats, LAYER, one_pe(f"requantise={how}"), prediction)
    compared = prediction.compares * OUTPUTS if how == "compare" else 0
    sums = OUTPUTS * 6 * 601 // (OUTPUTS * 6)
    expected = {
        ("ifmap_spad", "write", "map"): 26 + 7,  # 103 values of 4 bits in 16-bit words
        ("ifmap_spad", "read", "map"): 151,
        ("weight_spad", "write", "weight"): 50,
        ("weight_spad", "read", "weight"): 76 + compared,
        ("psum_spad", "read", "psum"): sums,
        ("psum_spad", "write", "psum"): sums,
        ("psum_spad", "read", "output"): OUTPUTS,
        ("adders", "narrow_add", "compute"): 601 + compared,
        ("mac", "multiply", "compute"): 0 if compared else OUTPUTS,
    }
    assert stats.actions == +Counter(expected)


@pytest.mark.parametrize("unit", ["adders", "multipliers"])
def test_predictions_take_the_steps_and_bits_that_their_predictor_declares(unit: Unit) -> None:
    """Two steps a product, 8-bit inputs, 6-bit weights with 3 bits beside each."""
    load = PredictionLoad(unit=unit, steps=2, input_bits=8, weight_bits=6, index_bits=3, compares=2)
    stats = moved(adds=1202) if unit == "adders" else moved(macs=1202)
    array_actions(stats, LAYER, one_pe(), Asked(load, clips=True))
    compared = 3 * OUTPUTS
    assert stats.actions["ifmap_spad", "read", "map"] == 301  # 601 products
    assert stats.actions["weight_spad", "read", "weight"] == 339 + compared
    assert stats.actions["psum_spad", "write", "psum"] == 1202  # a step each
    added, multiplied = (1202, 0) if unit == "adders" else (0, 1202)
    assert stats.actions["adders", "narrow_add", "compute"] == added + compared
    assert stats.actions["mac", "multiply", "compute"] == multiplied


def test_a_pe_multiplies_one_pair_at_a_time() -> None:
    stats = PhaseStats(macs=6)
    array_actions(stats, conv("b1.pw1", (6, 1), 1), one_pe())
    assert stats.actions["psum_spad", "write", "psum"] == 6


def test_merging_lanes_reads_a_sum_of_each_lane_once_a_group() -> None:
    stats = PhaseStats()
    merge_actions(stats, lanes=3, adds=10, sums=4)
    assert stats.actions == Counter(
        {
            ("adder_fifo", "push", "psum"): 10,
            ("adder_fifo", "pop", "psum"): 22,
            ("adders", "add", "psum"): 8,
        }
    )


@pytest.mark.parametrize(
    ("groups", "buffer", "fetch", "bits"),
    [
        (1, 4096, "charged", 40 * 9 + 40),
        (1, 25, "charged", 40 * 9 + 40),  # just fits
        (1, 4, "once", 40 * 9 + 40),
        # 64 bits: the output pixel's masks; the window's come again for each output channel.
        (1, 4, "charged", 4 * (40 * 9 * 6 + 40)),
        # 176 bits: three pixels of the window stay.
        (1, 11, "charged", 4 * (40 * (3 + 6 * 6) + 40)),
        # Those of a group are half of all.
        (2, 4, "charged", 2 * (40 * (2 + 7 * 3) + 40)),
    ],
)
def test_a_buffer_that_holds_no_window_takes_masks_in_again(
    groups: int, buffer: int, fetch: str, bits: int
) -> None:
    block = make_block(channels=4, mid=40, out=6, groups=groups)
    assert mask_bits(block) == (40, 40)
    stats = PhaseStats()
    spec = archon(
        "main_order=published", f"mask_fetch={fetch}", f"pe.prediction_buffer_words={buffer}"
    )
    buffer_writes(stats, block, spec, 7)
    assert stats.actions["prediction_buffer", "write", "mask"] == 7 * -(-bits // 16)


def test_ideal_main_phase_decodes_every_candidate_for_every_tile() -> None:
    """Two groups of 2 x 4 x 9 x 3 candidates, of which half are kept, on 3 x 3 output pixels."""
    block = make_block(channels=4, mid=8, out=6, groups=2, size=(6, 6), stride=2, late=True)
    spec = archon("fused_density=0.5", "survival=0.25", "pe.rows=2", "pe.cols=3")
    stats = PhaseStats()
    main_actions(stats, block, spec)
    candidates, pixels, tiles = 216, 9, 2
    assert stats.actions["binary_decoder", "process", "weight"] == 16 * candidates * tiles
    assert stats.actions["prediction_buffer", "read", "mask"] == candidates * pixels
    assert stats.actions["adders", "add", "compute"] == candidates * pixels // 4
    fused = -(-candidates * (spec.value_bits + spec.index_bits) // 16)
    assert stats.actions["dram", "read", "weight"] == fused * tiles
    # Both masks of each pixel that the windows touch, 14 bits: 5 x 6 pixels, then 2 x 6.
    read = -(-14 * 5 * 6 // 16) + -(-14 * 2 * 6 // 16)
    assert stats.actions["prediction_glb", "read", "mask"] == read
    assert ("dram", "read", "mask") not in stats.actions
    # Fused weights are broadcast: no pad holds any.
    assert not any(component == "weight_spad" for component, _, _ in stats.actions)


@pytest.mark.parametrize(("buffer", "on_chip"), [(51200, True), (8, False)])
@pytest.mark.parametrize("bits", [1, 2])
def test_ideal_predictions_write_a_bit_an_output_or_two(
    buffer: int, on_chip: bool, bits: int
) -> None:
    block = make_block(channels=4, mid=8, out=6, size=(6, 6))
    block = dataclasses.replace(block, clips=(6.0, 6.0) if bits == 2 else (0.0, 0.0))
    spec, outputs = archon(f"prediction_glb.words={buffer}"), 8 * 36
    for layer in (block.pw1, block.dw):
        stats = PhaseStats()
        predict_actions(stats, block, layer, spec)
        assert stats.actions["prediction_glb", "write", "mask"] == bits * outputs // 16
        there = 0 if on_chip else bits * outputs // 16
        assert stats.actions["dram", "write", "mask"] == there
        assert stats.actions["prediction_glb", "read", "mask"] == there
        assert stats.actions["adders", "narrow_add", "compute"] == layer.macs
        assert stats.actions["mac", "multiply", "compute"] == outputs
        assert stats.actions["ifmap_spad", "read", "input" if layer is block.pw1 else "map"] == (
            layer.macs // 4
        )
        assert stats.actions["dram", "read", "input"] == (144 if layer is block.pw1 else 0)


@pytest.mark.parametrize(
    ("reads", "updates", "fills", "block", "words"),
    [(5, 3, 3, 4, (4, 8)), (5, 3, 3, 1, (5, 6)), (0, 1, 0, 4, (0, 4)), (9, 0, 0, 4, (12, 0))],
)
def test_accesses_of_memories_are_whole_blocks(
    reads: int, updates: int, fills: int, block: int, words: tuple[int, int]
) -> None:
    counts = Counts(
        reads=reads,
        updates=updates,
        fills=fills,
        reductions=0,
        partition=0,
        tile=0,
        instances=1,
        energy_pj=0.0,
    )
    assert _accesses(counts, block) == words
