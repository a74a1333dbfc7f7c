"""DRAM keeps its own time: what a faster array's clock can gain, and what it cannot."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.machines.registry import machine, machine_names, machine_spec
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.runs.simulate import simulate
from archonsim.spec.dram_device import say_dram
from archonsim.spec.load import to_table, to_toml
from archonsim.spec.parts import DramSpec
from tests.examples import examples
from tests.laws.test_archon import BLOCKS
from tests.laws.test_memory import two_blocks
from tests.strategies import make_block

SETTINGS = examples(8)


def cycles(name: str, work: Workload, clock: float, *overrides: str) -> int:
    found = machine(name)
    spec = machine_spec(found, None, (f"clock_mhz={clock}", *overrides))
    return int(simulate(work, found, spec).total_cycles)


@pytest.mark.sampled(5)
@SETTINGS
@given(
    block=BLOCKS,
    clock=st.sampled_from([100.0, 250.0, 333.3, 500.0]),
    times=st.integers(2, 5),
    latency=st.sampled_from([0.0, 12.5, 100.0, 777.7]),
    turnaround=st.sampled_from([0.0, 16.0, 33.3]),
)
@pytest.mark.parametrize("model", ["fixed", "banks"])
@pytest.mark.parametrize("name", machine_names())
def test_a_faster_clock_gains_its_ratio_at_most_and_never_costs_time(
    name: str, model: str, block: Block, clock: float, times: int, latency: float, turnaround: float
) -> None:
    work = two_blocks(block, 1)
    own = (f"dram.latency_ns={latency}", f"dram.turnaround_ns={turnaround}")
    keys = (f"dram.model={model}", *(own if model == "fixed" else ()))
    slow, fast = cycles(name, work, clock, *keys), cycles(name, work, clock * times, *keys)
    assert slow <= fast <= slow * times


@pytest.mark.parametrize("name", machine_names())
def test_clocks_in_between(name: str) -> None:
    """More cycles with every clock, and less time, to a cycle for each wait for DRAM."""
    work = two_blocks(make_block(channels=8, mid=24, out=8, size=(12, 12)), 1)
    clocks = [200.0, 300.0, 450.0, 500.0, 750.0, 1000.0, 1700.0]
    found = [cycles(name, work, clock) for clock in clocks]
    assert found == sorted(found)
    times = [one / clock for one, clock in zip(found, clocks, strict=True)]
    assert all(after <= before * 1.01 for before, after in itertools.pairwise(times))


def test_cycles_of_the_array_scale_with_its_clock_and_say_so() -> None:
    """100 ns are 50 cycles at 500 MHz and 100 at 1 GHz; 50 cycles are 50, and named cycles."""
    by_time = DramSpec(gigabytes_per_second=25.6, latency_ns=100.0, turnaround_ns=16, burst_words=4)
    assert [by_time.latency(clock) for clock in (500.0, 1000.0)] == [50, 100]
    assert [by_time.turnaround(clock) for clock in (500.0, 1000.0)] == [8, 16]
    by_cycles = DramSpec(
        gigabytes_per_second=25.6, latency_cycles=50, turnaround_cycles=8, burst_words=4
    )
    assert [by_cycles.latency(clock) for clock in (500.0, 1000.0)] == [50, 50]
    assert by_cycles.turnaround(1000.0) == 8
    assert say_dram(to_table(by_time)) == "25.6 GB/s, 100 ns latency"
    assert say_dram(to_table(by_cycles)) == "25.6 GB/s, 50 cycles latency"


@pytest.mark.parametrize("name", machine_names())
def test_presets_take_as_many_cycles_as_with_the_old_keys(name: str) -> None:
    work = two_blocks(make_block(channels=8, mid=24, out=8, size=(12, 12)), 1)
    old = ("dram.latency_cycles=50", "dram.turnaround_cycles=8")
    assert cycles(name, work, 500.0) == cycles(name, work, 500.0, *old)
    assert cycles(name, work, 1000.0) > cycles(name, work, 1000.0, *old)


def test_a_description_without_cycles_is_toml() -> None:
    spec = machine_spec(machine("dense"), None, ())
    assert "latency_ns = 100" in to_toml(to_table(spec))
    assert "latency_cycles" not in to_toml(to_table(spec))
