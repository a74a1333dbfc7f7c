"""Small inputs that ask for much: each ends in one line, within 10 s of work and 1 GB.

Time is that of the processor, so that a busy machine fails no test, and memory is the process's own
peak; a limit of the address space and a time-out end what goes wrong all the same.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

DIGITS = Path(__file__).parents[2] / "workloads" / "fusionet_digits.h5"
SECONDS, BYTES = 10, 10**9
GEMM = "Layer, M, N, K\n"

Made = tuple[list[str], str]


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
    resource.setrlimit(resource.RLIMIT_CPU, (6 * SECONDS, 6 * SECONDS))


#: Starts a command from a small process and writes what it used: a child's peak memory begins with
#: that of the process that forked it, and a whole test run is large.
LAUNCHER = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    code = os.waitstatus_to_exitcode(status)
    json.dump([code, used.ru_utime + used.ru_stime, used.ru_maxrss], file)
"""


def _measured(arguments: list[str], folder: Path) -> tuple[int, str, float, int]:
    """Run a command; return its exit code, stderr, seconds of CPU and peak memory in bytes."""
    err, report = folder / "stderr.txt", folder / "used.json"
    command = [sys.executable, "-m", "archonsim", *arguments]
    with err.open("wb") as file:
        subprocess.run(
            [sys.executable, "-c", LAUNCHER, str(report), *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stderr=file,
            preexec_fn=_limit,
            check=True,
        )
    code, seconds, kibibytes = json.loads(report.read_text())
    return code, err.read_text(), seconds, 1024 * kibibytes


def many_images(folder: Path) -> Made:
    return ["run", "-a", "archon", "-w", str(DIGITS), "--images", "0-99999999"], "may name at most"


def huge_number(folder: Path) -> Made:
    images = "9" * 5000
    return ["run", "-a", "archon", "-w", str(DIGITS), "--images", images], "it must be all, or"


def _digits(folder: Path) -> Path:
    path = folder / "x.h5"
    shutil.copy(DIGITS, path)
    return path


def declared_images(folder: Path) -> Made:
    path = _digits(folder)
    with h5py.File(path, "r+") as file:
        file.attrs["images"] = 30_000_000
    return ["inspect", str(path)], "images is 30000000; it must be from 0 to"


def declared_weights(folder: Path) -> Made:
    """A dataset of 3 GB of which nothing is stored."""
    path = _digits(folder)
    with h5py.File(path, "r+") as file:
        name = next(one for one in file["layers"] if "weight" in file["layers"][one])
        layer = file["layers"][name]
        for axis in ("in_channels", "out_channels"):
            layer.attrs[axis] = np.int64(27_000)
        for axis in ("kernel_h", "kernel_w", "in_h", "in_w", "groups"):
            layer.attrs[axis] = np.int64(1)
        layer.attrs["padding"] = np.zeros(4, np.int64)
        for part, shape in (
            ("weight", (27_000, 27_000, 1, 1)),
            ("scale", (27_000,)),
            ("shift", (27_000,)),
        ):
            del layer[part]
            layer.create_dataset(part, shape, "float32", chunks=True, compression="gzip")
        file["items"] = 0
        del file["items"]
        file.attrs["items"] = np.array([f"layers/{name}".encode()])
    return ["inspect", str(path)], ""


def many_items(folder: Path) -> Made:
    path = _digits(folder)
    with h5py.File(path, "r+") as file:
        first = bytes(file.attrs["items"][0])
        del file.attrs["items"]
        file.attrs.create("items", np.array([first] * 5000))
    return ["inspect", str(path)], "twice; each layer and block stands there once"


def many_adders(folder: Path) -> Made:
    wanted = ["run", "-a", "archon", "-w", str(DIGITS), "--set", "pe.adders=5000"]
    return wanted, "adders is 5000; at most 256 are modelled"


def tiny_memory(folder: Path) -> Made:
    (folder / "net.csv").write_text(GEMM + "a, 512, 512, 64\n")
    wanted = ["run", "-a", "systolic", "-w", "net.csv", "--set", "ofmap_sram.words=2"]
    return wanted, "tiles; take larger memories, or ideal fidelity"


def huge_dimension(folder: Path) -> Made:
    (folder / "net.csv").write_text(GEMM + f"a, 1, 1, {2**63}\n")
    return ["run", "-a", "systolic", "-w", "net.csv"], "it must be less than 2^31"


def huge_product(folder: Path) -> Made:
    (folder / "net.csv").write_text(GEMM + f"a, {2**31 - 1}, {2**31 - 1}, {2**31 - 1}\n")
    return ["run", "-a", "systolic", "-w", "net.csv"], "multiplications; it must have less than"


def many_folds(folder: Path) -> Made:
    (folder / "net.csv").write_text(GEMM + "a, 30000000, 30000, 1000\n")
    return ["run", "-a", "systolic", "-w", "net.csv"], "folds or parts of folds"


def many_points(folder: Path) -> Made:
    axes = ["--param", "pe.rows=1..1000", "--param", "glb.words=1..100000"]
    wanted = ["sweep", "-a", "dense", "-w", "mobilenet_v2", "--fidelity", "ideal", *axes]
    return wanted, "100000000 points; a sweep has at most"


def nested_toml(folder: Path) -> Made:
    (folder / "x.toml").write_text("a = " + "[" * 900 + "]" * 900)
    return ["run", "-a", "dense", "-w", "mobilenet_v2", "--config", "x.toml"], "nested too deeply"


def long_integer(folder: Path) -> Made:
    (folder / "x.toml").write_text("clock_mhz = " + "9" * 5000)
    return ["run", "-a", "dense", "-w", "mobilenet_v2", "--config", "x.toml"], "not a TOML file"


def long_setting(folder: Path) -> Made:
    digits = "9" * 5000
    wanted = ["run", "-a", "dense", "-w", "mobilenet_v2", "--set", f"pe.rows={digits}"]
    return wanted, "is no value: too many digits"


def nested_setting(folder: Path) -> Made:
    deep = "[" * 900 + "]" * 900
    wanted = ["run", "-a", "dense", "-w", "mobilenet_v2", "--set", f"pe.rows={deep}"]
    return wanted, "nested too deeply"


def nested_mapping(folder: Path) -> Made:
    (folder / "x.json").write_text("[" * 100_000 + "]" * 100_000)
    wanted = ["run", "-a", "dense", "-w", "mobilenet_v2", "--set", "mapping=x.json"]
    return wanted, "not a JSON file: nested too deeply"


def table_for_a_value(folder: Path) -> Made:
    wanted = ["sweep", "-a", "dense", "-w", "mobilenet_v2", "--param", "pe.rows={a=1}"]
    return wanted, "is a table; a value is a number"


def endless_topology(folder: Path) -> Made:
    (folder / "net.csv").symlink_to("/dev/zero")
    return ["run", "-a", "systolic", "-w", "net.csv"], "is a device; a topology is a CSV file"


def endless_workload(folder: Path) -> Made:
    os.mkfifo(folder / "x.h5")
    return ["inspect", "x.h5"], "is a pipe; a workload is an HDF5 file"


def endless_description(folder: Path) -> Made:
    os.mkfifo(folder / "x.toml")
    return ["run", "-a", "dense", "-w", "mobilenet_v2", "--config", "x.toml"], "is a pipe"


def endless_result(folder: Path) -> Made:
    os.mkfifo(folder / "result.json")
    return ["report", "result.json", "-o", "x.html"], "result.json: "


def endless_sweep(folder: Path) -> Made:
    os.mkfifo(folder / "sweep.toml")
    return ["sweep", "sweep.toml"], "sweep.toml: is a pipe"


CASES = [
    many_images, huge_number, declared_images, declared_weights, many_items, many_adders,
    tiny_memory, huge_dimension, huge_product, many_folds, many_points, nested_toml, long_integer,
    long_setting, nested_setting, nested_mapping, table_for_a_value, endless_topology,
    endless_workload, endless_description, endless_result, endless_sweep,
]  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_small_inputs_take_little(make: Callable[[Path], Made], tmp_path: Path) -> None:
    arguments, said = make(tmp_path)
    code, err, seconds, peak = _measured(arguments, tmp_path)
    assert code == 2, err
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if line.startswith("archonsim: error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert len(errors[0]) < 1000
    assert seconds < SECONDS
    assert peak < BYTES
