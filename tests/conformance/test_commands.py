"""Commands beyond a run, for every registered machine: report, timeline, sweep."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import archonsim
from archonsim.cli.app import run_command
from archonsim.machines.registry import machine as named
from archonsim.machines.registry import machine_names, words_of
from archonsim.network.networks import network
from archonsim.trace.synthetic import synthesize
from archonsim.tracefile.writer import write_workload

MACHINES = machine_names()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("workload") / "digits.h5"
    write_workload(path, *synthesize(network("fusionet_digits"), seed=1))
    return path


@pytest.mark.parametrize("name", MACHINES)
def test_report_and_timeline(name: str, digits: Path, tmp_path: Path) -> None:
    page, timeline = tmp_path / "r.html", tmp_path / "t.json"
    run = ["-a", name, "-w", str(digits)]
    assert run_command(["report", *run, "-o", str(page)]) == 0
    assert run_command(["run", *run, "--trace", str(timeline)]) == 0
    words = words_of(named(name))
    result = archonsim.run(name, digits).report
    said = page.read_text("utf-8")
    assert str(result.total_cycles) in said
    assert all(layer.name in said for layer in result.layers)
    for layer in result.layers:
        assert set(layer.stalls) <= set(words.names("stalls"))
    events = json.loads(timeline.read_text("utf-8"))["traceEvents"]
    assert {layer.name for layer in result.layers} <= {one["name"].split()[0] for one in events}


def test_a_sweep_over_all(digits: Path, tmp_path: Path) -> None:
    swept = archonsim.sweep(
        MACHINES, str(digits), {"dram.gigabytes_per_second": [3.2, 25.6]}, folder=tmp_path / "s"
    )
    with swept.csv.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(MACHINES)
    assert {row["status"] for row in rows} == {"ok"}
    for name in MACHINES:
        slow, fast = (int(row["cycles"]) for row in rows if row["arch"] == name)
        assert slow >= fast == archonsim.run(name, digits).report.total_cycles
