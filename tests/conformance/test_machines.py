"""One contract for every registered machine."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from archonsim.explain.attribute import explain
from archonsim.explain.relax import runs, steps
from archonsim.machines.registry import machine, machine_names, machine_spec, words_of
from archonsim.network.networks import network
from archonsim.network.workload import Workload
from archonsim.result.report import Report
from archonsim.runs.simulate import simulate
from archonsim.spec.load import to_table, to_toml
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


@pytest.mark.sampled(2)
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


@pytest.mark.parametrize("name", MACHINES)
def test_no_machine_multiplies_more_than_the_network(name: str) -> None:
    assert 0 < run(name).total_macs <= WORK.macs


@pytest.mark.parametrize("name", MACHINES)
def test_two_runs_are_the_same(name: str) -> None:
    assert run(name).to_dict() == run(name).to_dict()


@pytest.mark.parametrize("name", MACHINES)
def test_ideal_is_never_above_cycle_with_unlimited_dram(name: str) -> None:
    ideal, cycle = run(name, fidelity="ideal"), run(name, "dram.model=unlimited")
    for one, other in zip(ideal.layers, cycle.layers, strict=True):
        assert (one.name, one.phase) == (other.name, other.phase)
        assert one.cycles <= other.cycles


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", MACHINES)
def test_more_bandwidth_never_costs_cycles(name: str) -> None:
    totals = [
        run(name, f"dram.gigabytes_per_second={rate}").total_cycles
        for rate in (0.8, 3.2, 12.8, 25.6, 51.2, 400.0)
    ]
    assert totals == sorted(totals, reverse=True)


@pytest.mark.parametrize("name", MACHINES)
def test_every_cycle_has_an_owner(name: str) -> None:
    """The waterfall of a run adds up to the run, phase by phase, in words of the machine."""
    found = machine(name)
    spec = machine_spec(found)
    fall = explain(WORK, found, spec)
    layers = simulate(WORK, found, spec).layers
    assert [(one.name, one.phase, one.cycles) for one in fall.phases] == [
        (one.name, one.phase, one.cycles) for one in layers
    ]
    assert sum(step.cycles for step in fall.network.steps) == sum(one.cycles for one in layers)
    assert set(fall.network.owners) <= set(words_of(found).names("owners"))


@pytest.mark.parametrize("name", MACHINES)
def test_relaxed_machines_are_as_many_as_said(name: str) -> None:
    found = machine(name)
    spec, words = machine_spec(found), words_of(found)
    moved = {
        (component, direction, kind)
        for layer in run(name).layers
        for component, direction, kind in (key.split(".") for key in layer.traffic)
    }
    assert 1 + len(list(steps(spec, moved, words))) <= runs(spec, words)
