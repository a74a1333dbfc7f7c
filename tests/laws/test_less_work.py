"""Less work, more ports and larger spaces never cost cycles on the row-stationary machines.

Each layer is compared, with the memory model on: a layer's tiles are cut by its mapping's loops, so
that what zeros and ports leave of its cycles does not change how it overlaps with memory.
"""

from __future__ import annotations

import math
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.machines.registry import machine, machine_spec
from archonsim.network.networks import network
from archonsim.network.workload import Workload
from archonsim.runs.simulate import simulate
from archonsim.trace.synthetic import synthesize
from tests.examples import examples
from tests.laws.test_row_stationary import block_of

SETTINGS = examples(12)
SPEEDS = st.sampled_from([1.0, 6.4, 25.6, 100.0])
LATENCIES = st.sampled_from([0, 20, 50, 300])


@cache
def digits() -> Workload:
    return synthesize(network("fusionet_digits"), seed=1, weight_density=(0.2, 0.3, 0.2))[0]


def layers(
    name: str, work: Workload, *overrides: str, fidelity: str = "cycle"
) -> dict[str, tuple[int, int]]:
    """Cycles and compute cycles by layer."""
    found = machine(name)
    spec = machine_spec(found, None, overrides)
    report = simulate(work, found, spec, fidelity="ideal" if fidelity == "ideal" else "cycle")
    return {one.name: (int(one.cycles), int(one.compute)) for one in report.layers}


def never_slower(
    better: dict[str, tuple[int, int]], worse: dict[str, tuple[int, int]], slack: int = 0
) -> list[str]:
    return [name for name in worse if better[name][0] > worse[name][0] + slack]


def memory(speed: float, latency: int) -> tuple[str, str]:
    return f"dram.gigabytes_per_second={speed}", f"dram.latency_cycles={latency}"


@SETTINGS
@given(speed=SPEEDS, latency=LATENCIES, seed=st.integers(0, 5))
def test_running_ahead_never_costs(speed: float, latency: int, seed: int) -> None:
    """Nor a longer FIFO, in any layer, whatever the memory; 19 660 cycles were taken for 19 584."""
    works = (digits(), block_of(weights=0.3, groups=1 + seed % 2))
    for work in works:
        found = [
            layers("sparse", work, *memory(speed, latency), f"barrier={one}")
            for one in ("pass", "fifo:1", "fifo:2", "fifo:4", "fifo:99")
        ]
        for ahead, behind in zip(found[1:], found, strict=False):
            assert not never_slower(ahead, behind)


@SETTINGS
@given(speed=SPEEDS, latency=LATENCIES, barrier=st.sampled_from(["pass", "fifo:1", "fifo:5"]))
def test_skipping_zero_activations_never_costs(speed: float, latency: int, barrier: str) -> None:
    base = (*memory(speed, latency), f"barrier={barrier}")
    for work in (digits(), block_of(weights=0.5, alive=0.3)):
        skipped = layers("sparse", work, *base, "skip_zero_activations=true")
        assert not never_slower(skipped, layers("sparse", work, *base))


@SETTINGS
@given(speed=SPEEDS, latency=LATENCIES, dense=st.floats(0.1, 1.0), share=st.floats(0.1, 1.0))
def test_fewer_non_zero_weights_never_cost(
    speed: float, latency: int, dense: float, share: float
) -> None:
    def at(density: float) -> dict[str, tuple[int, int]]:
        keys = [f"{kind}_density={density}" for kind in ("pointwise", "depthwise")]
        work = network("fusionet_digits")
        return layers("sparse", work, "nnz=density", *keys, *memory(speed, latency))

    # Pieces of a tile's loads are whole bursts: fewer words may be cut a burst less evenly, which
    # takes a cycle at the fastest DRAM.
    assert not never_slower(at(dense * share), at(dense), slack=1)


@pytest.mark.parametrize("fidelity", ["ideal", "cycle"])
@pytest.mark.parametrize("name", ["dense", "sparse"])
@pytest.mark.parametrize("speed", [1.0, 25.6])
def test_the_free_space_never_costs(name: str, fidelity: str, speed: float) -> None:
    """The mapper counts compute cycles alone: 24 657 cycles were taken for 24 517 with DRAM."""
    rate = f"dram.gigabytes_per_second={speed}"
    free, published = (
        layers(name, digits(), f"space={space}", rate, fidelity=fidelity)
        for space in ("free", "published")
    )
    assert not never_slower(free, published)


def test_ports_of_pads_never_cost_with_a_mapping_that_stays() -> None:
    """What the mapper chooses for other ports may wait for DRAM; its compute cycles fall."""
    work = network("mobilenetv2_c10-ics21")
    one, two, four = (
        layers("dense", work, "mapping=ics21", f"pe.pad_writes_per_cycle={ports}")
        for ports in (1, 2, 4)
    )
    assert not never_slower(two, one)
    assert not never_slower(four, two)
    searched = [
        layers("dense", digits(), f"pe.pad_writes_per_cycle={ports}", fidelity="ideal")
        for ports in (1, 2, 4)
    ]
    assert not never_slower(searched[1], searched[0])
    assert not never_slower(searched[2], searched[1])
    assert sum(cycles for cycles, _ in searched[1].values()) < sum(
        cycles for cycles, _ in searched[0].values()
    )


#: DRAM transfers that the pieces of a tile's loads belong to: weights, inputs, partial sums.
LOADS = 3


@SETTINGS
@given(speed=SPEEDS, latency=LATENCIES, burst=st.sampled_from([1, 4, 16]), times=st.integers(2, 32))
@pytest.mark.parametrize("name", ["dense", "sparse", "systolic"])
def test_longer_bursts_gain_a_burst_of_each_load_at_most(
    name: str, speed: float, latency: int, burst: int, times: int
) -> None:
    """The first tile's loads come in pieces of whole bursts: longer ones leave more for later.

    So a longer burst may start a phase earlier, by less than a burst of each load, and end it
    earlier by as much, since what is left moves beside the next tile; it moves no fewer words.
    """
    work = digits()
    base = (*memory(speed, latency), "dram.turnaround_cycles=0")
    short = layers(name, work, *base, f"dram.burst_words={burst}")
    long = layers(name, work, *base, f"dram.burst_words={burst * times}")
    gain = 2 * math.ceil(LOADS * burst * times / (speed / 2 / 0.5)) + 1
    for layer, (cycles, _) in short.items():
        assert long[layer][0] >= cycles - gain, layer
