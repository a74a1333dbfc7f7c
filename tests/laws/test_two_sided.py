"""Laws of the arrays that skip zeros of both operands."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archonsim.machines.charge import action_pj
from archonsim.machines.registry import machine, machine_names, machine_spec
from archonsim.machines.two_sided.bits import layer_pairs
from archonsim.machines.two_sided.machine import TwoSidedMachine
from archonsim.network.layer import Layer
from archonsim.network.networks import network
from archonsim.network.workload import Provenance, Workload
from archonsim.result.report import Report
from archonsim.runs.simulate import simulate
from archonsim.spec.technology import load_technology
from archonsim.trace.mask import Mask
from archonsim.trace.synthetic import synthesize
from archonsim.trace.synthetic_inputs import with_inputs
from archonsim.trace.tensors import LayerTensors, MemoryTrace
from archonsim.trace.what_if import MaskPolicy

MACHINES = [name for name in machine_names() if isinstance(machine(name), TwoSidedMachine)]
#: Neither memory nor banks nor routers make an array wait.
ENDLESS = {
    "eyerissv2": tuple(
        f"cluster.{kind}_values_per_cycle=1000000" for kind in ("input", "weight", "psum")
    ),
    "scnn": ("accumulator.model=unlimited",),
}
SETTINGS = settings(max_examples=15, deadline=None)


def run(name: str, work: Workload, *overrides: str, masks: str = "trace") -> Report:
    found = machine(name)
    keys = ("dram.model=unlimited", "glb.model=unlimited", *ENDLESS.get(name, ()), *overrides)
    spec = machine_spec(found, None, keys)
    return simulate(work, found, spec, masks=MaskPolicy.parse(masks))


@cache
def digits() -> Workload:
    made = synthesize(network("fusionet_digits"), seed=1, weight_density=(0.4, 0.5, 0.4))
    return with_inputs(*made, 0.4)[0]


def layer_of(draw: st.DrawFn) -> Layer:
    groups = draw(st.sampled_from([1, 1, 2]))
    kernel = draw(st.sampled_from([1, 3]))
    return Layer(
        name="one",
        kind="conv",
        role="conv",
        in_channels=groups * draw(st.integers(1, 40)),
        out_channels=groups * draw(st.integers(1, 40)),
        in_h=draw(st.integers(3, 12)),
        in_w=draw(st.integers(3, 12)),
        kernel_h=kernel,
        kernel_w=kernel,
        stride_h=draw(st.integers(1, 2)),
        stride_w=draw(st.integers(1, 2)),
        padding=(kernel // 2,) * 4,
        groups=groups,
    )


@st.composite
def works(draw: st.DrawFn) -> Workload:
    """A layer with random weights and inputs."""
    layer = layer_of(draw)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    dense = draw(st.sampled_from([0.2, 0.7, 1.0])), draw(st.sampled_from([0.2, 0.7, 1.0]))
    return work_of(
        layer,
        rng.random(layer.weight_shape) < dense[0],
        rng.random((layer.in_channels, layer.in_h, layer.in_w)) < dense[1],
    )


def work_of(
    layer: Layer,
    nonzero: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    alive: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> Workload:
    ones = np.ones(layer.out_channels, np.float32)
    tensors = LayerTensors(weight=nonzero.astype(np.float32), scale=ones, shift=ones)
    bits = alive.reshape(alive.shape[0], alive.shape[1], alive.shape[2])
    trace = MemoryTrace(
        layers={layer.name: tensors},
        predictor_pairs={},
        blocks={},
        images=1,
        inputs={(layer.name, 0): Mask.pack(bits)},
    )
    about = Provenance(network="one", dataset="none")
    return Workload(name="one", items=(layer,), provenance=about, trace=trace)


def bits_of(work: Workload) -> tuple[Layer, LayerTensors, Mask]:
    layer = next(iter(work.layers()))
    assert work.trace is not None
    found = work.trace.activations(layer.name, 0)
    assert found is not None
    return layer, work.trace.layer(layer.name), found


@SETTINGS
@given(work=works())
@pytest.mark.parametrize("name", MACHINES)
def test_products_are_the_pairs_of_non_zeros(name: str, work: Workload) -> None:
    layer, tensors, found = bits_of(work)
    assert run(name, work).total_macs == layer_pairs(layer, tensors.weight != 0, found.unpack())


@SETTINGS
@given(work=works())
@pytest.mark.parametrize("name", MACHINES)
def test_two_sides_are_never_slower_than_one(name: str, work: Workload) -> None:
    both, weights, inputs, none = (
        run(name, work, f"skip={skip}").total_cycles
        for skip in ("both", "weights", "activations", "none")
    )
    assert both <= min(weights, inputs) <= max(weights, inputs) <= none


@SETTINGS
@given(work=works())
@pytest.mark.parametrize("name", MACHINES)
def test_ones_everywhere_are_a_dense_layer(name: str, work: Workload) -> None:
    layer = next(iter(work.layers()))
    shape = (layer.in_channels, layer.in_h, layer.in_w)
    ones = work_of(layer, np.ones(layer.weight_shape, np.bool_), np.ones(shape, np.bool_))
    dense = run(name, work, "skip=none")
    assert run(name, ones).total_cycles == dense.total_cycles
    assert run(name, ones).total_macs == dense.total_macs


@pytest.mark.sampled(3)
@SETTINGS
@given(work=works(), seed=st.integers(0, 99))
@pytest.mark.parametrize("name", MACHINES)
def test_order_of_channels_changes_nothing_but_balance(
    name: str, work: Workload, seed: int
) -> None:
    layer, tensors, found = bits_of(work)
    rng = np.random.default_rng(seed)
    inputs = rng.permutation(layer.in_channels // layer.groups)
    whole = np.concatenate([inputs + group * len(inputs) for group in range(layer.groups)])
    moved = work_of(layer, tensors.weight[:, inputs] != 0, found.unpack()[whole].astype(np.bool_))
    one, other = run(name, work).layers[0], run(name, moved).layers[0]
    assert one.macs == other.macs
    assert one.traffic == other.traffic


@pytest.mark.parametrize("name", MACHINES)
def test_energy_is_counts_times_energies(name: str) -> None:
    found = machine(name)
    spec = machine_spec(found)
    assert isinstance(found, TwoSidedMachine)
    technology, sizes = load_technology(spec.technology), found.energy_sizes(spec)
    for layer in simulate(digits(), found, spec).layers:
        charged: dict[str, float] = {}
        for key, times in layer.actions.items():
            component, action, kind = key.split(".")
            pj = times * action_pj(component, action, technology, sizes)
            charged[f"{component}.{kind}"] = charged.get(f"{component}.{kind}", 0.0) + pj
        assert layer.energy == pytest.approx(charged)


@pytest.mark.parametrize("name", MACHINES)
def test_masks_of_all_ones_fill_every_layer(name: str) -> None:
    dense = {layer.name: layer.macs for layer in run(name, digits(), "skip=weights").layers}
    ones = {layer.name: layer.macs for layer in run(name, digits(), masks="all").layers}
    assert ones == dense
    fewer = run(name, digits(), masks="random:0.1").total_macs
    assert fewer < run(name, digits()).total_macs < sum(dense.values())


@pytest.mark.parametrize("name", MACHINES)
def test_without_bits_the_masks_of_blocks_tell(name: str) -> None:
    work = digits()
    assert isinstance(work.trace, MemoryTrace)
    blind = replace(work, trace=replace(work.trace, inputs={}))
    known, unknown = run(name, work), run(name, blind)
    for one, other in zip(known.layers, unknown.layers, strict=True):
        assert one.macs <= other.macs
    assert any("known in" in line for line in unknown.includes)
    assert any("as traced in all" in line for line in known.includes)
