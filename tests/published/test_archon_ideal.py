"""`ideal` fidelity equals the published cycles, block by block and phase by phase."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from archonsim.machines.archon import MACHINE
from archonsim.network.networks import network
from tests.strategies import archon

TABLE = Path(__file__).parents[1] / "data" / "ics21_archon_blocks.csv"


def published() -> dict[str, dict[tuple[str, str], int]]:
    cycles: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if not line.startswith("#")]
    for row in csv.DictReader(lines):
        cycles[row["network"]][row["block"], row["phase"]] = int(row["cycles"])
    return cycles


@pytest.mark.parametrize(
    ("name", "blocks"), [("fusionet_c10", 16), ("fusionet_c100", 16), ("mobilenetv2mod_c10", 14)]
)
def test_every_block_and_phase_is_exact(name: str, blocks: int) -> None:
    ours = {
        (one.name, one.phase): one.stats.cycles
        for one in MACHINE.ideal(network(name), archon())
        if one.phase != "layer"
    }
    assert len(ours) == 3 * blocks
    assert ours == published()[name]


def test_fusionet_totals() -> None:
    totals: dict[str, int] = defaultdict(int)
    for one in MACHINE.ideal(network("fusionet_c10"), archon()):
        totals[one.phase] += one.stats.cycles
    assert (totals["predict_pw1"], totals["predict_dw"], totals["main"]) == (
        103_420,
        68_088,
        433_152,
    )


@pytest.mark.parametrize(
    ("layer", "cycles"),
    [("head_conv", 13_824), ("head_pw", 4_096), ("head_dw", 4_608)],
)
def test_head_layers_are_exact(layer: str, cycles: int) -> None:
    ours = {one.name: one.stats.cycles for one in MACHINE.ideal(network("fusionet_c10"), archon())}
    assert ours[layer] == cycles


def test_tail_differs_where_the_published_simulation_ran_other_shapes() -> None:
    """It ran one of the tail's four groups (9 600 cycles), and FC 1280 -> 10 (200)."""
    ours = {one.name: one.stats.cycles for one in MACHINE.ideal(network("fusionet_c10"), archon())}
    assert ours["tail_pw"] == 4 * 9_600
    assert ours["fc"] == 200 * 960 // 1280
