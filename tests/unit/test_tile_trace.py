"""``archonsim.tile_trace``: the public call, on the shipped trace."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest

import archonsim
from archonsim.network.networks import network
from archonsim.pe.fused_kernel import fused_output
from archonsim.runs.scenario import Scenario
from archonsim.trace.fused_weight import fuse
from archonsim.trace.synthetic import synthesize
from archonsim.trace.synthetic_clips import with_clips
from archonsim.tracefile.find import find_workload
from archonsim.tracefile.writer import write_workload
from rtl.bench import write_tile
from tests.strategies import UNLIMITED

DIGITS = "workloads/fusionet_digits.h5"
#: Nothing but the array takes time.
FREE = (*UNLIMITED, "mask_fetch=once", "main_order=published")


@pytest.mark.parametrize("changes", [(), ("pe.rows=3", "pe.cols=5", "pe.adders=4")])
def test_tiles_add_up_to_the_main_phase_of_a_run(changes: tuple[str, ...]) -> None:
    keys = (*FREE, *changes)
    frame = archonsim.run("archon", DIGITS, set=keys, images=2).to_dataframe()
    rows = frame[frame["phase"] == "main"].set_index("name")
    for block in ("b1", "b3"):
        tiles, number = [], 0
        while True:
            try:
                tile = archonsim.tile_trace(
                    "archon", DIGITS, block=block, tile=number, set=keys, images=2
                )
            except archonsim.SpecError:
                break
            tiles.append(tile)
            number += 1
        assert sum(tile.macs for tile in tiles) == rows.loc[block, "macs"]
        assert sum(tile.adds for tile in tiles) == rows.loc[block, "adds"]
        assert sum(tile.drain for tile in tiles) == rows.loc[block, "stall_drain"]
        assert (
            sum(int(tile.beat_stall.sum()) for tile in tiles) == rows.loc[block, "stall_broadcast"]
        )
        assert sum(tile.beats for tile in tiles) == rows.loc[block, "compute"]


@pytest.mark.parametrize("order", ["published", "mapped"])
def test_psums_are_the_networks_output(order: str) -> None:
    """Up to fixed point: 16 bits of weight and input, adders of 20 bits that here hold all sums."""
    workload = find_workload(DIGITS)
    block = next(iter(workload.blocks()))
    assert workload.trace is not None
    image = workload.trace.block("b1", 0)
    exact = fused_output(
        block,
        fuse(block, workload.trace),
        image.input,
        image.keep1.unpack(),
        image.keep2.unpack(),
    )
    tile = archonsim.tile_trace("archon", workload, block="b1", set={"main_order": order})
    assert tile.overflows == 0
    ours = tile.psums.T * tile.unit / 2**tile.fraction + tile.constant[:, None]
    assert np.abs(ours.reshape(exact.shape) - exact).max() < 2e-3 * np.abs(exact).max()


@pytest.mark.parametrize("order", ["published", "mapped"])
def test_clip_terms_are_part_of_the_tile(order: str, tmp_path: Path) -> None:
    """Its sums are the block's output; the circuit, whose masks have two values, refuses it."""
    made = with_clips(*synthesize(network("fusionet_digits"), seed=2), 0.2)
    write_workload(tmp_path / "w.h5", *made)
    workload, block = find_workload(str(tmp_path / "w.h5")), next(made[0].blocks())
    keys = {"main_order": order}
    tile = archonsim.tile_trace("archon", workload, block=block.name, set=keys)
    image, fused = made[1].block(block.name, 0), fuse(block, made[1])
    keeps = image.keep1.states(), image.keep2.states()
    exact = fused_output(block, fused, image.input, *keeps)
    ours = tile.psums.T * tile.unit / 2**tile.fraction + tile.constant[:, None]
    assert np.abs(ours.reshape(exact.shape) - exact).max() < 5e-3 * np.abs(exact).max()
    assert np.count_nonzero(tile.survives[tile.clip]) > 100
    assert not tile.clip[: np.argmax(tile.clip)].any()
    assert tile.clip[np.argmax(tile.clip) :].all()
    with pytest.raises(ValueError, match="block b1: clips activations"):
        write_tile(io.BytesIO(), "tile", tile)


def test_the_mapped_order_streams_the_same_groups() -> None:
    published, mapped = (
        archonsim.tile_trace("archon", DIGITS, block="b3", set={"main_order": order})
        for order in ("published", "mapped")
    )
    columns = [
        sorted(zip(tile.out, tile.channel, tile.tap, np.diff(tile.group_start), strict=True))
        for tile in (published, mapped)
    ]
    assert columns[0] == columns[1]
    assert np.array_equal(published.psums, mapped.psums)


def test_candidates_of_a_group_come_in_rising_order() -> None:
    tile = archonsim.tile_trace("archon", DIGITS, block="b4")
    for first, last in zip(tile.group_start[:-1], tile.group_start[1:], strict=True):
        assert np.all(np.diff(tile.mid[first:last]) > 0)


def test_a_beat_that_arrives_late_waits() -> None:
    soon = archonsim.tile_trace("archon", DIGITS, block="b1")
    late = archonsim.tile_trace("archon", DIGITS, block="b1", arrival=[0, *[40] * (soon.beats - 1)])
    assert (late.beat_cycle[0], late.beat_cycle[1], late.beat_wait[1]) == (0, 40, 39)
    assert np.array_equal(late.psums, soon.psums)


def test_a_scenario_asks_the_same() -> None:
    scenario = Scenario(arch="archon", workload=DIGITS, images=1)
    one = archonsim.tile_trace(scenario, block="b2")
    other = archonsim.tile_trace("archon", DIGITS, block="b2", images=1)
    assert np.array_equal(one.retire, other.retire)
    with pytest.raises(archonsim.MaskError, match=r"images is \[1, 2\]; a tile is of one image"):
        archonsim.tile_trace(dataclasses.replace(scenario, images=[1, 2]), block="b2")


@pytest.mark.parametrize(
    ("arch", "options", "message"),
    [
        ("dense", {"block": "b1"}, "architecture 'dense' has no tiles to trace"),
        ("archon", {"block": "b9"}, "has no fused block 'b9'.*b1, b2, b3, b4"),
        ("archon", {"block": "b1", "tile": 1}, "tile is 1; block b1 has tiles 0 to 0"),
        (
            "archon",
            {"block": "b1", "arrival": [0]},
            r"shape \(1,\).*one cycle for each",
        ),
        ("archon", {"block": "b1", "fidelity": "ideal"}, "tile_trace needs cycle"),
    ],
)
def test_what_cannot_be_traced_is_refused_in_one_line(
    arch: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(archonsim.UserError, match=message):
        archonsim.tile_trace(arch, DIGITS, **options)  # type: ignore[arg-type]
