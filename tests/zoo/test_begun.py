"""Trainings that have begun go on from what the repository keeps of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.zoo.network import build  # noqa: E402
from workloads.begun import FOLDER, pack, unpack  # noqa: E402
from workloads.checkpoint import CheckpointFolder, Position  # noqa: E402
from workloads.recipe import FOLDER as RECIPES  # noqa: E402
from workloads.recipe import parse_recipe  # noqa: E402


def test_weights_and_place_survive(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build("fusionet_digits").state_dict()
    position = Position(
        recipe="cpu", phase=1, step=7, seconds=3.0, results=[{"flavour": "vanilla"}]
    )
    CheckpointFolder(tmp_path / "run").save(position, model, {"optimiser": {}})
    pack(tmp_path / "run", tmp_path / "begun.npz")
    assert unpack(tmp_path / "begun.npz", tmp_path / "again") == position
    found = CheckpointFolder(tmp_path / "again").load()
    assert found is not None
    assert found[0] == position
    assert found[2] == {}
    assert found[1].keys() == model.keys()
    for name, value in model.items():
        assert found[1][name].dtype == value.dtype
        np.testing.assert_allclose(found[1][name].numpy(), value.numpy(), rtol=1e-3, atol=1e-6)


def test_what_cannot_be_packed_or_unpacked_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="no checkpoint"):
        pack(tmp_path / "empty", tmp_path / "begun.npz")
    (tmp_path / "foreign.npz").write_text("nothing\n")
    with pytest.raises(WorkloadError, match=r"foreign\.npz: no training that has begun"):
        unpack(tmp_path / "foreign.npz", tmp_path / "again")
    CheckpointFolder(tmp_path / "taken").save(Position(recipe="cpu"), {}, {})
    with pytest.raises(WorkloadError, match="holds a checkpoint already"):
        unpack(tmp_path / "foreign.npz", tmp_path / "taken")


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.npz")), ids=lambda file: file.stem)
def test_what_is_kept_fits_its_recipe(file: Path, tmp_path: Path) -> None:
    position = unpack(file, tmp_path / file.stem)
    path = RECIPES / f"{file.stem}.toml"
    recipe = parse_recipe(path.read_text("utf-8"), path.name)
    assert position.recipe == recipe.name
    found = CheckpointFolder(tmp_path / file.stem).load()
    assert found is not None
    network = build(recipe.network, recipe.phases[position.phase].flavour)
    network.load_state_dict(found[1])
