"""The command line: contracts, messages, exit codes, interrupted runs."""

from __future__ import annotations

import csv
import io
import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from archonsim.cli.app import run_command
from archonsim.network.networks import network
from archonsim.trace.synthetic import synthesize
from archonsim.tracefile.writer import write_workload
from tests.uncounted import without_coverage

ARCHONSIM = [sys.executable, "-m", "archonsim"]


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("workload") / "digits.h5"
    write_workload(path, *synthesize(network("fusionet_digits"), seed=1, images=3))
    return path


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert run_command([str(one) for one in (*arguments, "--format", "json")]) == 0
    tree: dict[str, Any] = json.loads(capsys.readouterr().out)
    return tree


def test_json_contract(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = run_json(capsys, "run", "--arch", "archon", "--workload", trace)
    for key, kind in {
        "arch": str,
        "workload": str,
        "fidelity": str,
        "images": int,
        "clock_mhz": float,
        "total_cycles": int,
        "total_macs": int,
        "total_adds": int,
        "provenance": dict,
        "digest": str,
        "layers": list,
        "per_image": list,
    }.items():
        assert type(tree[key]) is kind, key
    layers = tree["layers"]
    assert tree["total_cycles"] == sum(one["cycles"] for one in layers)
    assert tree["total_macs"] == sum(one["macs"] for one in layers)
    for one in layers:
        assert {
            "name",
            "block",
            "phase",
            "cycles",
            "macs",
            "adds",
            "stalls",
            "utilization",
        } <= one.keys()
        assert type(one["cycles"]) is int
        assert 0 <= one["utilization"] <= 1
        assert one["cycles"] == one["compute"] + sum(one["stalls"].values())
    assert [one["phase"] for one in layers if one["block"] == 1] == [
        "predict_pw1",
        "predict_dw",
        "main",
    ]
    assert {one["phase"] for one in layers if one["block"] is None} == {"layer"}


def test_several_images_are_means_with_each_beside(
    trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = run_json(capsys, "run", "-a", "archon", "-w", trace, "--images", "all")
    assert tree["images"] == 3
    each = [one["total_cycles"] for one in tree["per_image"]]
    assert all(type(cycles) is int for cycles in each)
    assert len(set(each)) > 1, "masks differ, so cycles must"
    assert tree["total_cycles"] == pytest.approx(sum(each) / 3)
    single = run_json(capsys, "run", "-a", "archon", "-w", trace, "--images", "2")
    assert single["total_cycles"] == each[2]


def test_formats_say_the_same(
    trace: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["run", "-a", "archon", "-w", str(trace), "-o", str(tmp_path / "out")]
    assert run_command([*arguments, "-f", "csv"]) == 0
    text = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(text)))
    tree = run_json(capsys, *arguments)
    assert [int(row["cycles"]) for row in rows] == [one["cycles"] for one in tree["layers"]]
    assert (tmp_path / "out" / "result.csv").read_text() == text
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == tree
    assert run_command(arguments) == 0
    table = capsys.readouterr().out
    assert f"{tree['total_cycles']:,}".replace(",", " ") in table
    for needed in (
        "SYNTHETIC",
        "includes:",
        "excludes:",
        "500 MHz",
        "DRAM 25.6 GB/s",
        "digest",
        "cycle fidelity",
    ):
        assert needed in table


def test_each_model_of_dram_is_named_as_what_it_is(
    trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def footer(*overrides: str) -> str:
        sets = [word for text in overrides for word in ("--set", text)]
        assert run_command(["run", "-a", "archon", "-w", str(trace), *sets]) == 0
        return next(line for line in capsys.readouterr().out.splitlines() if " MHz; " in line)

    assert "DRAM 25.6 GB/s, 100 ns latency" in footer()
    assert "DRAM hbm2 with banks and rows, at most 238.9 GB/s" in footer(
        "dram.model=banks", "dram.device=hbm2"
    )
    assert "DRAM unlimited" in footer("dram.model=unlimited")


def test_same_input_same_bytes(trace: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        command = [
            "run",
            "-a",
            "archon",
            "-w",
            str(trace),
            "--masks",
            "flip:0.1",
            "--seed",
            "5",
            "-o",
            str(tmp_path / folder),
        ]
        subprocess.run([*ARCHONSIM, *command], check=True, capture_output=True)
    for name in ("result.json", "result.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_if_masks_order_as_they_must(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cycles = {
        masks: run_json(capsys, "run", "-a", "archon", "-w", trace, "--masks", masks)[
            "total_cycles"
        ]
        for masks in ("all", "trace", "random:0")
    }
    assert cycles["random:0"] < cycles["trace"] < cycles["all"]


def test_ideal_needs_no_masks(capsys: pytest.CaptureFixture[str]) -> None:
    tree = run_json(capsys, "run", "-a", "archon", "-w", "fusionet_c10", "--fidelity", "ideal")
    assert sum(one["cycles"] for one in tree["layers"] if one["phase"] == "main") == 433_152


def test_verify_passes_and_the_clipped_variant_fails(
    trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["verify", "-w", str(trace)]) == 0
    assert "PASS" in capsys.readouterr().out
    assert run_command(["verify", "-w", str(trace), "--clip", "-f", "json"]) == 1
    tree = json.loads(capsys.readouterr().out)
    assert not any(check["passed"] for check in tree["checks"])


def test_archs_prints_what_config_reads(
    tmp_path: Path, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["archs", "archon", "--set", "pe.adders=3"]) == 0
    config = tmp_path / "three.toml"
    config.write_text(capsys.readouterr().out)
    tree = run_json(capsys, "run", "-a", "archon", "-w", trace, "--config", config)
    assert tree["machine"]["pe"]["adders"] == 3


ON_SHAPES = ["run", "-a", "archon", "-w", "fusionet_c10"]
BAD = {
    "missing file": (["run", "-a", "archon", "-w", "nowhere.h5"], ["nowhere.h5", "no such file"]),
    "unknown network": (
        ["run", "-a", "archon", "-w", "fusionet_c11"],
        ["fusionet_c11", "did you mean"],
    ),
    "unknown arch": (
        ["run", "-a", "archn", "-w", "fusionet_c10"],
        ["unknown architecture 'archn'", "'archon'"],
    ),
    "shape-only in cycle": (
        ON_SHAPES,
        ["shapes only", "archonsim export", "synthesize", "--fidelity ideal"],
    ),
    "unknown key": ([*ON_SHAPES, "--set", "pe.ader=1"], ["pe.ader", "did you mean 'pe.adders'"]),
    "zero adders": (
        [*ON_SHAPES, "--set", "pe.adders=0"],
        ["pe.adders is 0", "greater than or equal to 1"],
    ),
    "ill-typed": ([*ON_SHAPES, "--set", "pe.adders=x"], ["pe.adders is 'x'", "integer"]),
    "missing option": (["run"], ["--arch"]),
    "unknown option": (["run", "--arc", "x"], ["--arc"]),
    "unknown command": (["rn"], ["rn"]),
    "bad choice": ([*ON_SHAPES, "--fidelity", "exact"], ["exact", "cycle", "ideal"]),
    "bad images": ([*ON_SHAPES, "--images", "x"], ["--images is 'x'"]),
    "bad masks": ([*ON_SHAPES, "--masks", "x"], ["--masks is 'x'", "oracle"]),
    "verify without masks": (["verify", "-w", "fusionet_c10"], ["shapes only"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, needed = BAD[case]
    assert run_command(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("archonsim: error: ")
    for word in needed:
        assert word in captured.err


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _newer(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = np.array([99, 0])


def _foreign(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = [1, 2]


def _text(path: Path) -> None:
    path.write_text("not HDF5 at all")


def _stride_zero(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["layers/b1.dw"].attrs["stride_h"] = 0


def _short_mask(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        old = file["blocks/b1/keep1"]
        attributes, data = dict(old.attrs), old[:, :, :-1]
        del file["blocks/b1/keep1"]
        new = file.create_dataset("blocks/b1/keep1", data=data)
        new.attrs.update(attributes)


def _nan_weight(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["layers/head_conv/weight"][0, 0, 0, 0] = np.nan


DAMAGE = {
    "truncated": (_truncate, ["truncated"]),
    "newer version": (_newer, ["version", "99"]),
    "not a workload": (_foreign, ["workload"]),
    "not HDF5": (_text, ["HDF5"]),
    "stride 0": (_stride_zero, ["stride_h", "0"]),
    "mask of the wrong length": (_short_mask, ["keep1"]),
    "NaN weight": (_nan_weight, ["head_conv"]),
}


@pytest.mark.parametrize("case", DAMAGE)
@pytest.mark.parametrize("command", ["run", "inspect", "verify"])
def test_damaged_files(
    case: str, command: str, trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, needed = DAMAGE[case]
    path = tmp_path / "damaged.h5"
    path.write_bytes(trace.read_bytes())
    damage(path)
    arguments = {
        "run": ["run", "-a", "archon", "-w", str(path)],
        "inspect": ["inspect", str(path)],
        "verify": ["verify", "-w", str(path)],
    }
    assert run_command(arguments[command]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    for word in [str(path), *needed]:
        assert word in captured.err


def test_output_that_is_not_writable(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    assert run_command(["run", "-a", "archon", "-w", str(trace), "-o", str(blocker)]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing_half_written(trace: Path, tmp_path: Path) -> None:
    """A real limit on file size stands in for the full disk: the write fails midway."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    environment = {**without_coverage(), "NUMBA_DISABLE_JIT": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    for command in (
        [
            "run",
            "-a",
            "archon",
            "-w",
            "fusionet_c10",
            "--fidelity",
            "ideal",
            "-o",
            str(tmp_path / "out"),
        ],
        ["synthesize", "fusionet_digits", "-o", str(tmp_path / "out.h5")],
    ):
        done = subprocess.run(
            [*ARCHONSIM, *command],
            capture_output=True,
            text=True,
            preexec_fn=limit,
            env=environment,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert done.stderr.splitlines()[-1].startswith("archonsim: error: "), done.stderr
        assert "Traceback" not in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="needs /dev/full, which this system lacks"
)
def test_standard_output_on_a_full_disk() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*ARCHONSIM, "run", "-a", "archon", "-w", "fusionet_c10", "--fidelity", "ideal"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_says_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*ARCHONSIM, "synthesize", "fusionet_c10", "--images", "9", "-o", str(tmp_path / "out.h5")],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted" in err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_a_callback_of_compiled_code_is_not_lost() -> None:
    """ctypes swallows what a callback raises; the interrupt comes again behind it."""
    program = (
        "import ctypes, signal, time\n"
        "from archonsim.cli.interrupts import raise_lost_interrupts\n"
        "raise_lost_interrupts()\n"
        "@ctypes.CFUNCTYPE(None)\n"
        "def callback():\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "callback()\n"
        "try:\n"
        "    time.sleep(20)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)


def test_a_closed_pipe_is_no_error(trace: Path) -> None:
    command = " ".join([*ARCHONSIM, "run", "-a", "archon", "-w", str(trace), "-f", "json"])
    shell = ["bash", "-c", f"{command} | head -1"]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("{")
    assert "Traceback" not in done.stderr
