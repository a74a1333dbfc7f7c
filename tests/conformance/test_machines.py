"""One contract for every registered machine, and for the one in docs/add-a-machine.md."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from archonsim.machines.registry import machine, machine_names, machine_spec
from archonsim.network.networks import network
from archonsim.network.workload import Workload
from archonsim.result.report import LayerReport, Report
from archonsim.runs.simulate import simulate
from archonsim.spec.load import known_keys, to_table, to_toml
from archonsim.trace.synthetic import synthesize

PAGE = Path(__file__).parents[2] / "docs" / "add-a-machine.md"
WORK = synthesize(network("fusionet_digits"), seed=1)[0]
MACHINES = machine_names()


def run(name: str, *overrides: str, fidelity: Any = "cycle", work: Workload = WORK) -> Report:
    found = machine(name)
    return simulate(work, found, machine_spec(found, None, overrides), fidelity=fidelity)


@pytest.mark.parametrize("name", MACHINES)
def test_preset_reads_back(name: str, tmp_path: Path) -> None:
    found = machine(name)
    spec = machine_spec(found)
    path = tmp_path / "preset.toml"
    path.write_text(to_toml(to_table(spec)))
    assert machine_spec(found, path) == spec
    assert tomllib.loads(found.preset)


@pytest.mark.parametrize("name", MACHINES)
def test_every_cycle_has_one_owner(name: str) -> None:
    for layer in run(name).layers:
        assert layer.cycles == layer.compute + sum(layer.stalls.values())
        assert 0 <= layer.utilization <= 1


@pytest.mark.parametrize("name", MACHINES)
def test_all_compute_layers_run_once(name: str) -> None:
    """By name where they run one by one; by block where they are fused."""
    layers = [layer for layer in WORK.layers() if layer.is_compute]
    for fidelity in ("cycle", "ideal"):
        names = {layer.name for layer in run(name, fidelity=fidelity).layers}
        for layer in layers:
            block = layer.name.partition(".")[0]
            assert (layer.name in names) != (block != layer.name and block in names)


@pytest.mark.parametrize(
    "name", [name for name in MACHINES if name != "sparse" and name != "archon"]
)
def test_machines_that_skip_nothing_do_every_mac(name: str) -> None:
    assert run(name).total_macs == WORK.macs


@pytest.mark.parametrize("name", MACHINES)
def test_two_runs_are_the_same(name: str) -> None:
    assert run(name).to_dict() == run(name).to_dict()


@pytest.mark.parametrize("name", MACHINES)
def test_ideal_is_never_above_cycle_with_unlimited_dram(name: str) -> None:
    ideal, cycle = run(name, fidelity="ideal"), run(name, "dram.model=unlimited")
    for one, other in zip(ideal.layers, cycle.layers, strict=True):
        assert (one.name, one.phase) == (other.name, other.phase)
        assert one.cycles <= other.cycles


@pytest.mark.parametrize("name", MACHINES)
def test_more_bandwidth_never_costs_cycles(name: str) -> None:
    totals = [
        run(name, f"dram.gigabytes_per_second={rate}").total_cycles
        for rate in (0.8, 3.2, 12.8, 25.6, 51.2, 400.0)
    ]
    assert totals == sorted(totals, reverse=True)


#: A change to every key of every machine but archon (tests/laws has its own) that must show in the
#: figures of some workload.
CHANGES: dict[str, Any] = {
    "clock_mhz": 2000.0, "pe.rows": 4, "pe.cols": 4, "pe.ifmap_words": 4, "pe.weight_words": 8, "pe.psum_words": 2,
    "pe.pad_writes_per_cycle": 1, "glb.model": "unlimited", "glb.words": 600, "glb.read_words_per_cycle": 1,
    "glb.write_words_per_cycle": 1, "dram.model": "unlimited", "dram.gigabytes_per_second": 5.0, "dram.latency_cycles": 7,
    "dram.burst_words": 512, "dram.free": ["input"], "dram.turnaround_cycles": 50,
    "dram.write_queue_words": 64, "dram.device": "hbm2", "glb.banks": 2, "glb.entry_words": 32, "dma.tile_buffers": 3,
    "space": "free", "nnz": "density", "barrier": "fifo:3", "skip_zero_activations": "true",
    "pointwise_density": 0.5, "depthwise_density": 0.5, "index_bits": 30, "value_bits": 30, "dataflow": "ws",
    "ifmap_sram.words": 300, "filter_sram.words": 300, "ofmap_sram.words": 300, "energy_rules": "ics21",
}  # fmt: skip
TIMINGS = {"systolic": "drained", "fuse": "corrected"}
#: Keys that only count beside another one.
BESIDE = {
    "pointwise_density": ("nnz=density",), "depthwise_density": ("nnz=density",), "dram.device": ("dram.model=banks",),
    "glb.banks": ("glb.model=banks",), "glb.entry_words": ("glb.model=banks",),
}  # fmt: skip
#: Keys that name a file or a table, tested where those are.
NAMED = {"mapping", "technology"}
KEYS = [
    (name, key)
    for name in ("dense", "sparse", "systolic", "fuse")
    for key in known_keys(machine(name).spec_type)
    if key not in NAMED
]
LINES = network("mobilenet_v3_small-fuse-half")


def _without_energy(layer: LayerReport) -> LayerReport:
    return dataclasses.replace(layer, energy=None, energy_pj=None, actions={})


@pytest.mark.parametrize(("name", "key"), KEYS)
def test_every_key_has_an_effect(name: str, key: str) -> None:
    """A flag without an effect is worse than no flag."""
    beside = BESIDE.get(key, ())
    works = [WORK, LINES] if name in TIMINGS else [WORK]

    def figures(*overrides: str) -> list[object]:
        layers = [run(name, *beside, *overrides, work=work).layers for work in works]
        # Sizes change energies, too, but must show elsewhere.
        if key == "energy_rules":
            return [*layers]
        return [_without_energy(one) for layer in layers for one in layer]

    assert figures(f"{key}={TIMINGS[name] if key == 'timing' else CHANGES[key]}") != figures()


def test_the_page_s_example_is_a_machine(tmp_path: Path) -> None:
    """Installed as a plug-in is.

    A module, and a dist-info folder with the entry point of the page.
    """
    text = PAGE.read_text("utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    toml = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(code) == len(toml) == 1
    (tmp_path / "toy_vector.py").write_text(code[0])
    info = tmp_path / "toy_vector-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-vector\nVersion: 1.0\n")
    ((group, points),) = tomllib.loads(toml[0])["project"]["entry-points"].items()
    (info / "entry_points.txt").write_text(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}

    def archonsim(*arguments: str) -> Any:
        command = [sys.executable, "-m", "archonsim", *arguments, "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert "vector" in [row["name"] for row in archonsim("archs")]
    ideal = archonsim(
        "run", "-a", "vector", "-w", "fusionet_digits", "--fidelity", "ideal", "--set", "pe.cols=32"
    )
    head = ideal["layers"][0]
    assert head["cycles"] == 16 * 9 * 2  # channels, weights of each, vectors of 32 pixels in 64
    cycle = archonsim("run", "-a", "vector", "-w", "fusionet_digits", "--set", "pe.cols=32")
    assert cycle["total_cycles"] >= ideal["total_cycles"]
    assert cycle["total_macs"] == network("fusionet_digits").macs
    compared = archonsim("compare", "-a", "vector,dense", "-w", "fusionet_digits")
    assert [row["arch"] for row in compared["rows"]] == ["vector", "dense"]
