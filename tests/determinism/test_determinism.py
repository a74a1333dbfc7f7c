"""Each command twice: the same bytes, whatever hash seed, threads, locale, zone, folder, jobs."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from archonsim.cli.app import COMMANDS as EVERY_COMMAND
from archonsim.machines.registry import machine_names
from archonsim.plugins import FIGURES, plugin_names

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DIGITS = str(ROOT / "workloads" / "fusionet_digits.h5")
HAS_TORCH = importlib.util.find_spec("torch") is not None

#: What differs between the two, by variable. Python has its own conversions of numbers, so that
#: the locale must change nothing; PyTorch and numba share work among their threads.
WORLDS: tuple[dict[str, str], ...] = (
    {
        "PYTHONHASHSEED": "1",
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "LC_ALL": "C",
        "TZ": "UTC",
        "COLUMNS": "80",
        "JOBS": "1",
    },
    {
        "PYTHONHASHSEED": "4242",
        "OMP_NUM_THREADS": "2",
        "NUMBA_NUM_THREADS": "2",
        "LC_ALL": "C.UTF-8",
        "TZ": "Asia/Kathmandu",
        "COLUMNS": "200",
        "JOBS": "2",
    },
)

ON_ARCHON = f"-a archon -w {DIGITS}"
#: Left out: `warm` makes nothing, and --dry-run asks how fast the machine is.
#: Command lines by the folder that they write to, ``{jobs}`` standing for a number of processes.
COMMANDS: dict[str, str] = {
    **{f"run-{name}": f"run -a {name} -w {DIGITS} -o run-{name}" for name in machine_names()},
    "run-json": f"run {ON_ARCHON} -f json --images all --jobs {{jobs}}",
    "run-trace": f"run {ON_ARCHON} --stats --breakdown energy --trace run-trace/timeline.json",
    "run-masks": f"run {ON_ARCHON} --masks random:0.5 -f csv",
    "compare": f"compare -a all -w {DIGITS} -o compare",
    "sweep": f"sweep {ON_ARCHON} --param pe.adders=2,6 --param pe.rows=4,8 -j {{jobs}} -o sweep",
    "advise": f"advise {ON_ARCHON}",
    "waterfall": f"waterfall {ON_ARCHON} -o waterfall",
    "ledger": f"ledger {ON_ARCHON} -o ledger",
    "report": f"report {ON_ARCHON} -o report/page.html",
    "reproduce": "reproduce eyerissv2 -f json",
    "inspect": f"inspect {DIGITS} --deep",
    "verify": f"verify -w {DIGITS} --images all",
    "archs": "archs archon --area",
    "networks": "networks -f json",
    "synthesize": "synthesize fusionet_digits --seed 3 --activations 0.5 -o synthesize/made.h5",
    "export": "export --module net:make --images photos.npy --untrained -o export/made.h5",
    "plot-curve": "plot curve sweep --x pe.adders --where pe.rows=8 -o plot-curve",
    "plot-cycles": f"plot cycles {ON_ARCHON} -o plot-cycles",
    "plot-density": f"plot density -w {DIGITS} -o plot-density",
    "plot-energy": f"plot energy {ON_ARCHON} -o plot-energy",
    "plot-heatmap": "plot heatmap sweep --x pe.adders --y pe.rows -o plot-heatmap",
    "plot-images": f"plot images {ON_ARCHON} --images all -o plot-images",
    "plot-roofline": f"plot roofline {ON_ARCHON} -o plot-roofline",
    "plot-speedup": f"plot speedup -a dense,archon -w {DIGITS} -o plot-speedup",
    "plot-survival": f"plot survival -w {DIGITS} -o plot-survival",
    "plot-waterfall": f"plot waterfall {ON_ARCHON} -o plot-waterfall",
}
#: That say when they were written, or on which machine.
DATED = {"journal.jsonl"}


def _lines(jobs: str) -> dict[str, list[str]]:
    return {
        name: line.format(jobs=jobs).split()
        for name, line in COMMANDS.items()
        if HAS_TORCH or name != "export"
    }


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Return two folders in which all commands ran, at the same time and each in its own world."""
    photos = np.random.default_rng(5).random((8, 3, 12, 12), dtype=np.float32)
    folders, running = [], []
    for number, world in enumerate(WORLDS):
        folder = tmp_path_factory.mktemp(f"world-{'x' * 8 * number}")
        np.save(folder / "photos.npy", photos)
        lines = folder / "lines.json"
        lines.write_text(json.dumps(_lines(world["JOBS"])))
        running.append(
            subprocess.Popen(
                [sys.executable, str(HERE / "session.py"), str(lines)],
                cwd=folder,
                env={**os.environ, **world, "PYTHONPATH": os.pathsep.join((str(HERE), str(ROOT)))},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        folders.append(folder)
    try:
        for process in running:
            _, messages = process.communicate(timeout=600)
            assert process.returncode == 0, messages[-2000:]
    finally:
        for process in running:
            process.kill()
            process.communicate()
    return tuple(folders)


@pytest.mark.parametrize("name", COMMANDS)
def test_bytes_are_the_same(worlds: tuple[Path, ...], name: str) -> None:
    if name == "export" and not HAS_TORCH:
        pytest.skip("PyTorch is not installed")
    one, other = (
        {
            path.relative_to(folder): path.read_bytes()
            for path in (folder / f"{name}.out", *(folder / name).rglob("*"))
            if path.is_file() and path.name not in DATED
        }
        for folder in worlds
    )
    assert one.keys() == other.keys()
    different = [str(path) for path, content in one.items() if content != other[path]]
    assert not different
    assert any(one.values())


def test_every_command_and_figure_is_tried() -> None:
    tried = {name.split("-")[0] for name in COMMANDS}
    assert tried == EVERY_COMMAND.keys() - {"warm"}
    figures = {name.split("-")[1] for name in COMMANDS if name.startswith("plot-")}
    assert figures == set(plugin_names(FIGURES))
