"""Commands beyond a run, for every registered machine: sweeps, and reports with their timelines."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

import archonsim
from archonsim.cli.app import run_command
from archonsim.machines.registry import machine_names
from archonsim.network.networks import network
from archonsim.trace.synthetic import synthesize
from archonsim.tracefile.writer import write_workload

MACHINES = machine_names()
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three layers and a block: what commands do costs more than what machines do."""
    path = tmp_path_factory.mktemp("workload") / "digits.h5"
    whole = network("fusionet_digits")
    write_workload(path, *synthesize(replace(whole, items=whole.items[:4]), seed=1))
    return path


@pytest.fixture(scope="module")
def rows(digits: Path) -> Rows:
    swept = archonsim.sweep(MACHINES, str(digits), {"dram.gigabytes_per_second": [3.2, 25.6]})
    with swept.csv.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_sweep_over_all(rows: Rows) -> None:
    assert len(rows) == 2 * len(MACHINES)
    assert {row["status"] for row in rows} == {"ok"}
    for name in MACHINES:
        slow, fast = (int(row["cycles"]) for row in rows if row["arch"] == name)
        assert slow > fast


@pytest.mark.parametrize("name", MACHINES)
def test_report(name: str, digits: Path, rows: Rows, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    assert run_command(["report", "-a", name, "-w", str(digits), "-o", str(page)]) == 0
    said = page.read_text("utf-8")
    _, cycles = (row["cycles"] for row in rows if row["arch"] == name)
    assert cycles in said
    assert "port " in said or "DRAM channel" in said
