"""Laws of the array whose sums stop early."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.export.recompute import weighted
from archonsim.machines.charge import action_pj
from archonsim.machines.registry import machine, machine_spec
from archonsim.machines.snapea import MACHINE
from archonsim.machines.snapea.layer import SnapeaLayer
from archonsim.network.layer import Layer
from archonsim.network.networks import network
from archonsim.network.workload import Provenance, Workload
from archonsim.result.report import LayerReport, Report
from archonsim.runs.simulate import simulate
from archonsim.spec.technology import load_technology
from archonsim.trace.image import ImageInputs
from archonsim.trace.synthetic import synthesize
from archonsim.trace.tensors import Floats, LayerTensors, MemoryTrace
from tests.examples import examples

GUESS = "mode=predictive"
ENDLESS = ("dram.model=unlimited", "glb.model=unlimited")


def run(work: Workload, *overrides: str) -> Report:
    return simulate(work, MACHINE, machine_spec(MACHINE, None, (*ENDLESS, *overrides)))


def layer_of(work: Workload, *overrides: str) -> LayerReport:
    return run(work, *overrides).layers[0]


def work_of(layer: Layer, tensors: LayerTensors, x: Floats) -> Workload:
    trace = MemoryTrace(
        layers={layer.name: tensors},
        predictor_pairs={},
        blocks={},
        images=1,
        maps={(layer.name, 0): x},
    )
    about = Provenance(network="one", dataset="none")
    return Workload(name="one", items=(layer,), provenance=about, trace=trace)


@st.composite
def works(draw: st.DrawFn, kind: str = "any", *, activation: str = "relu") -> Workload:
    """A layer with random weights and inputs that are not negative."""
    depthwise = draw(st.booleans())
    groups = draw(st.integers(2, 12)) if depthwise else draw(st.sampled_from([1, 1, 2]))
    kernel = draw(st.sampled_from([1, 3]))
    channels, filters = (
        (1, 1) if depthwise else (draw(st.integers(1, 30)), draw(st.integers(1, 20)))
    )
    layer = Layer(
        name="one",
        kind="depthwise" if depthwise else "conv",
        role="conv",
        in_channels=groups * channels,
        out_channels=groups * filters,
        in_h=draw(st.integers(3, 12)),
        in_w=draw(st.integers(3, 12)),
        kernel_h=kernel,
        kernel_w=kernel,
        stride_h=draw(st.integers(1, 2)),
        stride_w=draw(st.integers(1, 2)),
        padding=(kernel // 2,) * 4,
        groups=groups,
        activation=activation,  # type: ignore[arg-type]
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    weight = rng.standard_normal(layer.weight_shape).astype(np.float32)
    weight[rng.random(layer.weight_shape) < draw(st.sampled_from([0.0, 0.5]))] = 0
    if kind == "positive":
        weight = np.abs(weight) + np.float32(0.01)
    tensors = LayerTensors(
        weight=weight,
        scale=np.ones(layer.out_channels, np.float32),
        shift=rng.standard_normal(layer.out_channels).astype(np.float32),
    )
    shape = (layer.in_channels, layer.in_h, layer.in_w)
    return work_of(layer, tensors, np.maximum(rng.standard_normal(shape), 0).astype(np.float32))


def parts(work: Workload) -> tuple[Layer, LayerTensors, Floats]:
    layer = next(iter(work.layers()))
    assert work.trace is not None
    x = work.trace.values(layer.name, 0)
    assert x is not None
    return layer, work.trace.layer(layer.name), x


@examples(20)
@given(work=works())
def test_stopping_never_multiplies_more_nor_longer(work: Workload) -> None:
    off = layer_of(work, "mode=off")
    assert off.macs == next(iter(work.layers())).macs
    for keys in (
        ("zero_weights=keep",),
        (),
        ("negatives=stored",),
        ("meet=round",),
        (GUESS,),
    ):
        one = layer_of(work, *keys)
        assert one.macs <= off.macs
        assert one.cycles <= layer_of(work, "mode=off", *(x for x in keys if "meet" in x)).cycles
    guessing = [layer_of(work, GUESS, f"lost_share={share}").macs for share in (0.0, 0.1, 1.0)]
    assert guessing == sorted(guessing, reverse=True)


@examples(20)
@given(work=works("positive"))
def test_positive_weights_are_a_dense_layer(work: Workload) -> None:
    exact, off = layer_of(work), layer_of(work, "mode=off")
    assert (exact.macs, exact.cycles) == (off.macs, off.cycles)


@pytest.mark.parametrize("activation", ["none", "hswish"])
@examples(5)
@given(data=st.data())
def test_without_a_relu_sums_run_in_full(activation: str, data: st.DataObject) -> None:
    work = data.draw(works(activation=activation))
    exact, off = layer_of(work, "zero_weights=keep"), layer_of(work, "mode=off")
    assert (exact.macs, exact.cycles) == (off.macs, off.cycles)


def test_a_layer_that_reads_negative_values_runs_in_full() -> None:
    layer = Layer(
        name="one", kind="conv", role="conv", in_channels=2, out_channels=2, activation="relu"
    )
    ones = np.ones(2, np.float32)
    tensors = LayerTensors(weight=np.full((2, 2, 1, 1), -1, np.float32), scale=ones, shift=-ones)
    reads = {"positive": 1.0, "negative": -1.0}
    macs = {
        name: layer_of(work_of(layer, tensors, np.full((2, 1, 1), value, np.float32))).macs
        for name, value in reads.items()
    }
    assert macs == {"positive": 0, "negative": 4}


@examples(30)
@given(work=works(), lanes=st.sampled_from([1, 2, 3, 4]), times=st.sampled_from([2, 3]))
def test_more_lanes_never_cost_cycles(work: Workload, lanes: int, times: int) -> None:
    """As many times as many: groups of lanes then join, and none is cut anew."""
    few, many = (layer_of(work, f"pe.lanes={count}") for count in (lanes, lanes * times))
    assert many.cycles <= few.cycles
    assert many.macs == few.macs


@examples(30)
@given(work=works())
def test_outputs_are_those_of_the_layer(work: Workload) -> None:
    """What stops has nothing to lose: behind the ReLU it is what the whole sum is."""
    layer, tensors, x = parts(work)
    model = SnapeaLayer(layer, tensors, machine_spec(MACHINE))
    stops = model.stop(x).stops.reshape(layer.out_channels, layer.out_h, layer.out_w)
    whole = model.lengths[:, None, None]
    y, _ = weighted(layer, tensors, x)
    assert (y[stops < whole] <= 1e-4).all()
    assert ((stops == whole) | (y < 1e-4)).all()


def test_energy_is_counts_times_energies() -> None:
    work = synthesize(network("fusionet_digits"), seed=1)[0]
    spec = machine_spec(MACHINE)
    technology, sizes = load_technology(spec.technology), MACHINE.energy_sizes(spec)
    for layer in simulate(work, MACHINE, spec).layers:
        charged: dict[str, float] = {}
        for key, times in layer.actions.items():
            component, action, kind = key.split(".")
            pj = times * action_pj(component, action, technology, sizes)
            charged[f"{component}.{kind}"] = charged.get(f"{component}.{kind}", 0.0) + pj
        assert layer.energy == pytest.approx(charged)
        assert layer.actions["mac.multiply.compute"] == layer.macs


def test_a_run_says_which_sums_may_stop() -> None:
    work = synthesize(network("fusionet_digits"), seed=1)[0]
    assert any("sums may stop in 4 of 17 layers" in line for line in run(work).includes)
    guess = run(work, GUESS, "lost_share=0.25").includes
    assert any("at most 25 % of a filter's positive outputs" in line for line in guess)
    assert not any("may stop" in line for line in run(work, "mode=off").includes)


def test_thresholds_lose_no_more_than_their_share() -> None:
    work = synthesize(network("fusionet_digits"), seed=1)[0]
    for share, some in ((0.0, False), (0.3, True)):
        found = machine("snapea").prepare(
            work, machine_spec(MACHINE, None, (GUESS, f"lost_share={share}"))
        )
        results = found.run(ImageInputs(), lambda name: None)
        lost = sum(one.stats.activity["speculation.lost"] for one in results)
        cut = lost + sum(one.stats.activity["speculation.right"] for one in results)
        assert cut > 0
        assert (lost > 0) == some
