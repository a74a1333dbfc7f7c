"""What tests of sweeps run, and what they read of it."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

DIGITS = Path(__file__).parents[2] / "workloads" / "fusionet_digits.h5"
SWEEP = [sys.executable, "-m", "archonsim", "sweep"]
ROWS = ["-a", "archon", "-w", str(DIGITS), "--param", "pe.rows=4,8"]
CYCLE = [*ROWS, "--param", "pe.fifo_depth=3..14", "--param", "pe.adders=4,6"]
TABLES = ("results.csv", "results.parquet")


def tables(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in TABLES]


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def wait(condition: object, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until, "nothing happened in time"
        time.sleep(0.005)


def ideal(folder: Path, *more: str, rows: str = "2..4") -> list[str]:
    where = ["-a", "archon", "-w", "fusionet_digits", "--fidelity", "ideal", "-o", str(folder)]
    return ["sweep", *where, "--param", f"pe.rows={rows}", *more]
