"""``archonsim export`` of users' networks: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from archonsim.cli.app import run_command  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402
from tests.export.nets import mobilenet  # noqa: E402

FACTORY = "tests.export.nets:mobilenet"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint and some images."""
    np.save(
        tmp_path / "x.npy",
        np.random.default_rng(0).standard_normal((12, 3, 16, 16)).astype(np.float32),
    )
    state = mobilenet().state_dict()
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "good.pt")
    torch.save(
        {name: value for name, value in state.items() if "three" not in name}
        | {"extra.weight": torch.ones(1)},
        tmp_path / "other.pt",
    )
    torch.save(state | {"classifier.weight": torch.ones(7, 32)}, tmp_path / "wide.pt")
    state["one.branch.0.weight"][4, 2] = float("nan")
    torch.save(state, tmp_path / "nan.pt")
    return tmp_path


def export(folder: Path, *options: str) -> int:
    images = ["--images", str(folder / "x.npy")] if "--input" not in options else []
    return run_command(
        ["export", "--module", FACTORY, *images, "-o", str(folder / "out.h5"), *options]
    )


def test_an_export_tells_where_it_comes_from_and_nothing_of_where_it_was_made(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (
        "--checkpoint",
        str(folder / "good.pt"),
        "--count",
        "2",
        "--first",
        "3",
        "--predictors",
        "ternary",
        "--calibration",
        "6",
    )
    assert export(folder, *options, "--mean", "0.1", "--note", "a test", "--untrained") == 0
    told = capsys.readouterr().err
    assert "3 of 3 candidate blocks fuse" in told
    assert "% of the positive activations predicted" in told
    about = open_workload(folder / "out.h5").provenance
    assert (about.dataset, about.image_indices, about.preprocessing) == (
        "x.npy",
        "3-4",
        "minus mean 0.1, divided by std 1",
    )
    assert (about.model, about.untrained) == (f"{FACTORY} with good.pt", True)
    assert re.fullmatch(
        "a test; masks of ternary predictors, fitted to 6 images; the network was not trained with"
        r" them \(the largest output stays the same on [012] of 2 images\)",
        about.note,
    )
    assert about.framework == f"torch {torch.__version__}, traced by torch.fx"
    assert len(about.model_sha256) == 64
    assert about.command.startswith(
        f"archonsim export --module {FACTORY} --checkpoint good.pt --output out.h5 --images x.npy"
    )
    assert str(folder).encode() not in (folder / "out.h5").read_bytes()
    assert run_command(["inspect", str(folder / "out.h5")]) == 0
    shown = capsys.readouterr().out
    assert "an UNTRAINED network" in shown
    assert "images 3-4 of x.npy; preprocessing: minus mean 0.1" in shown


def test_equal_exports_give_equal_bytes_and_the_hash_follows_the_weights(folder: Path) -> None:
    assert export(folder, "--checkpoint", str(folder / "good.pt"), "--count", "1") == 0
    first = (folder / "out.h5").read_bytes()
    digest = open_workload(folder / "out.h5").provenance.model_sha256
    assert export(folder, "--checkpoint", str(folder / "good.pt"), "--count", "1") == 0
    assert (folder / "out.h5").read_bytes() == first
    state = torch.load(folder / "good.pt")["state_dict"]
    state["classifier.bias"][0] += 1
    torch.save(state, folder / "good.pt")
    assert export(folder, "--checkpoint", str(folder / "good.pt"), "--count", "1") == 0
    assert open_workload(folder / "out.h5").provenance.model_sha256 != digest


def test_weights_alone_need_the_size_of_an_image(folder: Path) -> None:
    assert export(folder, "--input", "3x16x16") == 0
    work = open_workload(folder / "out.h5")
    assert (work.images, work.provenance.mask_source) == (0, "none")
    assert sum(1 for _ in work.blocks()) == 3


def test_list_speaks_three_formats_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "--module", FACTORY, "--images", str(folder / "x.npy"), "--list"]
    assert run_command(command) == 0
    assert "3 of 3 candidate blocks fuse" in capsys.readouterr().out
    assert run_command([*command, "--format", "json"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert [row["block"] for row in tree["candidates"]] == ["b1", "b2", "b3"]
    assert run_command([*command, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["layers"].split()[0] for row in rows] == [
        "one.branch.0",
        "two.branch.0",
        "three.branch.0",
    ]
    assert run_command(["export", "--network", "fusionet_digits", "--list"]) == 0
    assert "4 of 5 candidate blocks fuse" in capsys.readouterr().out
    assert {path.suffix for path in folder.iterdir()} == {".npy", ".pt"}


REFUSED = {
    "missing and unexpected keys": (
        ["--checkpoint", "other.pt"],
        "does not fit MobileNetV2: missing three.branch.0.weight",
    ),
    "unexpected keys": (["--checkpoint", "other.pt"], "unexpected extra.weight"),
    "another shape": (["--checkpoint", "wide.pt"], "of another shape classifier.weight"),
    "a weight that is no number": (
        ["--checkpoint", "nan.pt"],
        "one.branch.0.weight: value at (4, 2, 0, 0) is nan",
    ),
    "no checkpoint": (["--checkpoint", "absent.pt"], "absent.pt: no such file"),
    "not a checkpoint": (["--checkpoint", "x.npy"], "x.npy: not a checkpoint of tensors"),
    "too few images": (["--count", "13"], "holds 12 images; 13 from number 0 on were asked for"),
    "too few to fit predictors to": (
        ["--predictors", "ternary"],
        "holds 12 images; 36 from number 0 on",
    ),
    "no size": (["--input", "3x16"], "--input is '3x16'; write CxHxW"),
    "no numbers": (["--mean", "a,b"], "--mean is 'a,b'; write numbers"),
    "resizing an array": (["--resize", "8x8"], "--resize is for pictures"),
    "a wrong name": (["--module", "tests.export.nets:absent"], "has no attribute 'absent'"),
    "no such module": (["--module", "no_such_module:net"], "No module named 'no_such_module'"),
    "a factory that fails": (
        ["--module", "tests.export.nets:broken"],
        "RuntimeError: no weights today",
    ),
    "a factory of something else": (
        ["--module", "tests.export.nets:number"],
        "returns int; it must return a torch.nn.Module",
    ),
    "half a name": (["--module", "tests.export.nets"], "write PACKAGE.MODULE:FUNCTION"),
    "an unsupported operator": (
        ["--module", "tests.export.nets:attention"],
        "1: operator 'PixelUnshuffle' is not supported",
    ),
    "attention": (
        ["--module", "tests.export.nets:Attending"],
        "operator 'MultiheadAttention' is not supported",
    ),
    "a weight without a shape": (
        ["--module", "tests.export.nets:lazy"],
        "0.weight: has no values yet",
    ),
    "a factory that leaves": (["--module", "tests.export.nets:leaving"], "SystemExit: 2"),
    "no layers": (
        ["--module", "torch.nn:Identity"],
        "nothing to export: the network has no layers",
    ),
    "two networks": (["--network", "fusionet_c10"], "give one of --model FILE"),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_is_one_line_and_no_file(
    case: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, message = REFUSED[case]
    given = [str(folder / one) if one.endswith((".pt", ".npy")) else one for one in options]
    before = sorted(folder.iterdir())
    assert export(folder, *given) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert sorted(folder.iterdir()) == before


def test_images_of_the_wrong_size_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(folder / "x.npy", np.zeros((8, 1, 16, 16), np.float32))
    assert export(folder) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "MobileNetV2 does not take images of 1x16x16" in line


def test_options_without_an_effect_on_networks_of_ours_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (
        run_command(
            [
                "export",
                "--network",
                "fusionet_digits",
                "--checkpoint",
                "x.pt",
                "-o",
                "y.h5",
                "--mean",
                "3",
            ]
        )
        == 2
    )
    assert "--mean is for --model and --module" in capsys.readouterr().err


def test_an_onnx_file_takes_no_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["export", "--onnx", "x.onnx", "--checkpoint", "x.pt", "-o", "y.h5"]) == 2
    assert "x.onnx comes with its own weights" in capsys.readouterr().err


def test_an_export_without_blocks_says_so_and_verify_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(folder / "out.h5")
    command = ["export", "--module", "tests.export.nets:blockless", "-o", out]
    assert run_command([*command, "--images", str(folder / "x.npy")]) == 0
    assert "weights of 2 layers, no masks (no block fuses), digest" in capsys.readouterr().err
    assert run_command(["verify", "-w", out]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "has no block that fuses: there is nothing to verify" in line
    assert "shapes only" not in line


def test_an_export_without_images_says_so_and_verify_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(folder, "--input", "3x16x16") == 0
    assert "no masks (no images were given)" in capsys.readouterr().err
    assert run_command(["verify", "-w", str(folder / "out.h5")]) == 2
    assert "has weights, but masks of no image: export it with --images" in capsys.readouterr().err


def test_a_model_file_with_a_module_is_its_weights(folder: Path) -> None:
    assert export(folder, "--model", str(folder / "good.pt")) == 0
    by_model = open_workload(folder / "out.h5")
    assert by_model.provenance.model == f"{FACTORY} with good.pt"
    assert export(folder, "--checkpoint", str(folder / "good.pt")) == 0
    assert open_workload(folder / "out.h5").digest == by_model.digest


def test_an_exported_program_equals_its_module(folder: Path) -> None:
    module = mobilenet().eval()
    torch.export.save(torch.export.export(module, (torch.zeros(1, 3, 16, 16),)), folder / "net.pt2")
    images = ["--images", str(folder / "x.npy")]
    out = folder / "out.h5"
    assert run_command(["export", "--model", str(folder / "net.pt2"), *images, "-o", str(out)]) == 0
    program = open_workload(out)
    assert export(folder) == 0
    traced = open_workload(out)
    assert program.provenance.model == "net.pt2"
    assert program.trace is not None
    assert traced.trace is not None
    assert len(list(program.blocks())) == 3
    for block in program.blocks():
        one, two = (trace.block(block.name, 0) for trace in (program.trace, traced.trace))
        np.testing.assert_array_equal(one.keep1.unpack(), two.keep1.unpack())
        np.testing.assert_array_equal(one.keep2.unpack(), two.keep2.unpack())
    weights_alone = ["export", "--model", str(folder / "net.pt2"), "-o", str(out)]
    assert run_command(weights_alone) == 0  # it says the size of its image
    assert (program.macs, program.params) == (traced.macs, traced.params)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("net.pth", "a .pth file holds weights without their network; add --module"),
        ("net.caffemodel", "not in .caffemodel"),
        ("net", "not in a name without a suffix"),
        ("missing.onnx", "cannot be read: No such file"),
        ("noise.onnx", "not a whole ONNX model"),
        ("noise.pt2", "not a program that torch.export.save wrote"),
    ],
)
def test_a_foreign_model_file_is_one_clear_line(
    folder: Path, name: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name != "missing.onnx":
        (folder / name).write_bytes(np.random.default_rng(1).bytes(3000))
    model = str(folder / name)
    assert run_command(["export", "--model", model, "-o", str(folder / "out.h5")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert model in line
    assert reason in line
    assert not (folder / "out.h5").exists()


def test_two_files_of_weights_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = str(folder / "good.pt")
    assert export(folder, "--model", weights, "--checkpoint", weights) == 2
    assert "both are weights; give one of them" in capsys.readouterr().err
