"""One Eyeriss v2 PE on published masks: its own cycles, and a density model's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archonsim.cli.app import run_command
from archonsim.errors import SpecError, WorkloadError
from archonsim.network.layer import Layer
from archonsim.pe.csc_reference import products_of_cycles
from archonsim.reproduce.eyerissv2 import pe_cycles, reproduce_eyerissv2
from tests.published.sources import SHARED

HEADER = "layer,kind,in_channels,out_channels,height,width,ground_truth_cycles\n"


def write(
    folder: Path, rows: str, **masks: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> Path:
    (folder / "cycles.csv").write_text(HEADER + rows)
    with (folder / "masks.npz").open("wb") as file:
        np.savez(file, **masks)  # type: ignore[arg-type]
    return folder


def test_every_published_figure_comes_out() -> None:
    found = reproduce_eyerissv2()
    assert len(found.cells) == 11
    assert [cell.item for cell in found.cells if cell.status != "exact"] == []


def test_shipped_tables_are_the_source_s() -> None:
    folder = SHARED / "eyerissv2"
    if not folder.is_dir():
        pytest.skip("eyerissv2 is read from ../shared/reference")
    found = reproduce_eyerissv2(folder)
    assert [cell.ours for cell in found.cells] == [
        cell.ours for cell in reproduce_eyerissv2().cells
    ]
    assert found.ok


def test_layers_of_one_s_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Masks made here, the PE stepped cycle by cycle; a wrong figure is said to differ."""
    rng = np.random.default_rng(3)
    alive, weights = rng.random((3, 4, 6)) < 0.5, rng.random((5, 6)) < 0.6
    row = np.ascontiguousarray(alive.transpose(2, 0, 1)).reshape(6, 12).astype(np.uint8)
    cycles = len(list(products_of_cycles(weights[:, :, None], row, 12, 1, 1)))
    masks = {"L1_act": np.packbits(alive), "L1_wgt": np.packbits(weights)}
    line = "L1,pointwise,6,5,3,4,{}\n"
    folder = write(tmp_path, line.format(cycles) + "L2,depthwise 3x3,8,8,5,5,1800\n", **masks)
    assert reproduce_eyerissv2(folder).ok
    assert run_command(["reproduce", "eyerissv2", "--data", str(folder)]) == 0
    assert run_command(["reproduce", "date21", "--data", str(folder)]) == 2
    assert "--data" in capsys.readouterr().err
    assert not reproduce_eyerissv2(write(tmp_path, line.format(cycles + 1), **masks)).ok


def test_bad_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"cycles\.csv"):
        reproduce_eyerissv2(tmp_path)
    with pytest.raises(SpecError, match="line 2: height is '-1'"):
        reproduce_eyerissv2(write(tmp_path, "L1,pointwise,6,5,-1,4,7\n"))
    with pytest.raises(SpecError, match="line 2: kind is 'dense'"):
        reproduce_eyerissv2(write(tmp_path, "L1,dense,6,5,1,4,7\n"))
    with pytest.raises(WorkloadError, match="L1_act is missing"):
        reproduce_eyerissv2(write(tmp_path, "L1,pointwise,6,5,1,4,7\n"))
    short = {"L1_act": np.zeros(2, np.uint8)}
    with pytest.raises(WorkloadError, match=r"L1_act is 2 of uint8; it must be 3 bytes"):
        reproduce_eyerissv2(write(tmp_path, "L1,pointwise,6,5,1,4,7\n", **short))


def test_order_of_channels_and_filters_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    layer = Layer(
        name="pw", kind="conv", role="pw1", in_channels=40, out_channels=70, in_h=5, in_w=6
    )
    nonzero = rng.random(layer.weight_shape) < 0.4
    alive = (rng.random((40, 5, 6)) < 0.5).astype(np.uint8)
    inputs, filters = rng.permutation(40), rng.permutation(70)
    assert pe_cycles(layer, nonzero, alive) == pe_cycles(
        layer, nonzero[filters][:, inputs], alive[inputs]
    )
