"""The Verilog of ``rtl/`` against archonsim: what ``make rtl`` runs, and that it would notice."""

from __future__ import annotations

import dataclasses
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from archonsim.pe.tile_trace import TileTrace
from rtl.bench import SMALL, build, random_tile, write_tile

ROOT = Path(__file__).parents[2]
MISSING = [tool for tool in ("verilator", "g++", "make") if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"{', '.join(MISSING)} not installed (Debian: apt-get install verilator g++ make)",
    ),
]


def test_every_cycle_and_partial_sum_of_the_array_is_the_simulators() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rtl.bench"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": equal;") == len(SMALL) + 2


def _later(tile: TileTrace) -> TileTrace:
    retire = tile.retire.copy()
    retire[1, -1] += 1
    return dataclasses.replace(tile, retire=retire)


def _fuller(tile: TileTrace) -> TileTrace:
    levels = tile.levels.copy()
    levels[tile.beats // 2, 0, -1] += 1
    return dataclasses.replace(tile, levels=levels)


def _sooner(tile: TileTrace) -> TileTrace:
    cycle = tile.beat_cycle.copy()
    cycle[-1] += 1
    return dataclasses.replace(tile, beat_cycle=cycle)


def _other(tile: TileTrace) -> TileTrace:
    psums = tile.psums.copy()
    psums[0, 0] ^= 1
    return dataclasses.replace(tile, psums=psums)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_later, "retirement in cycle"),
        (_fuller, "FIFO level in cycle"),
        (_sooner, "beat in cycle"),
        (_other, "partial sum in cycle"),
    ],
)
def test_the_bench_notices(change: object, fault: str) -> None:
    assert callable(change)
    array = SMALL[0]
    tile = next(one for one in (random_tile(array, seed) for seed in range(50)) if one.macs > 20)
    stimulus = io.BytesIO()
    write_tile(stimulus, "right", tile)
    write_tile(stimulus, "wrong", change(tile))
    done = subprocess.run(
        [build(array)], input=stimulus.getvalue(), capture_output=True, check=False
    )
    assert done.returncode == 1
    assert f"wrong: {fault}" in done.stderr.decode()
    assert "right" not in done.stderr.decode()


def test_random_tiles_meet_what_they_should() -> None:
    """Stalls, late beats, PEs without a pixel, empty groups and sums that wrap do occur."""
    array = SMALL[0]
    tiles = [random_tile(array, seed) for seed in range(60)]
    assert any(tile.beat_stall.any() for tile in tiles)
    assert any(tile.beat_wait.any() for tile in tiles)
    assert any(tile.keep2.ndim == 3 for tile in tiles)
    assert any(not tile.has_sum.any(axis=1).all() and tile.macs for tile in tiles)
    assert any((np.diff(tile.group_start) == 0).any() for tile in tiles)
    assert any(tile.overflows for tile in tiles)
