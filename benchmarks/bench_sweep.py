"""How fast sweeps are.

1 000 points of the closed forms, and 64 of the stepped machine, in one process and in two.

Run with ``python benchmarks/bench_sweep.py``. Prints JSON with ``--json``. Each sweep is the whole
command in a process of its own, forecast, journal and tables included.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIGITS, CIFAR = (
    str(ROOT / "workloads" / f"{name}.h5") for name in ("fusionet_digits", "fusionet_c10")
)

SWEEPS = {
    "1000 ideal points, fusionet_c10 on archon": [
        "-a", "archon", "-w", "fusionet_c10", "--fidelity", "ideal", "--param", "pe.rows=4..13",
        "--param", "pe.cols=4..13", "--param", "pe.adders=1..10",
    ],
    "1000 ideal points, 4 networks on 5 machines": [
        "-a", "archon", "-a", "dense", "-a", "sparse", "-a", "systolic", "-a", "fuse", "-w",
        "fusionet_c10", "-w", "mobilenetv2_c10", "-w", "mnasnet_c10", "-w", "shufflenet_c10",
        "--fidelity", "ideal", "--param", "clock_mhz=100..1080..20",
    ],
    "64 cycle points, fusionet_digits.h5": [
        "-a", "archon", "-w", DIGITS, "--param", "pe.rows=4,8,16,32", "--param", "pe.adders=2..9",
        "--param", "lane_order=rotate,fixed",
    ],
    "64 cycle points, fusionet_c10.h5": [
        "-a", "archon", "-w", CIFAR, "--param", "pe.rows=4,8,16,32", "--param", "pe.adders=2..9",
        "--param", "lane_order=rotate,fixed",
    ],
}  # fmt: skip


def measure(arguments: list[str], jobs: int) -> dict[str, object]:
    """Run one sweep; return seconds, peak memory of its largest process, and the table's bytes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "archonsim",
            "sweep",
            *arguments,
            "-o",
            folder,
            "-j",
            str(jobs),
        ]
        since = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - since
        table = (Path(folder) / "results.csv").read_bytes()
    return {
        "seconds": round(seconds, 1),
        "points": table.count(b"\n") - 1,
        "forecast": done.stderr.splitlines()[0],
        "peak_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        "table": table,
    }


def main() -> None:
    """Measure and print."""
    result: dict[str, object] = {"python": platform.python_version(), "cpus": os.cpu_count()}
    for name, arguments in SWEEPS.items():
        runs = {jobs: measure(arguments, jobs) for jobs in (1, 2)}
        tables = {run.pop("table") for run in runs.values()}
        result[name] = {
            **{f"{jobs} processes": run for jobs, run in runs.items()},
            "identical": len(tables) == 1,
        }
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
        return
    for name, value in result.items():
        if not isinstance(value, dict):
            sys.stdout.write(f"{name:8} {value}\n")
            continue
        sys.stdout.write(f"{name}\n")
        for what, figures in value.items():
            sys.stdout.write(f"  {what:12} {figures}\n")


if __name__ == "__main__":
    main()
