"""What must hold for every run of the systolic and the FuSe array."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.dataflow.operands import BufferSizes, cut, group_demand
from archonsim.dataflow.systolic import Dataflow, Gemm, fold
from archonsim.errors import SpecError, WorkloadError
from archonsim.machines.phases import PhaseResult
from archonsim.machines.registry import machine, machine_spec
from archonsim.network.layer import Layer
from archonsim.network.networks import network
from archonsim.network.workload import Provenance, Workload
from tests.examples import examples
from tests.strategies import NO_IMAGE

FLOWS = st.sampled_from(["os", "ws", "is"])


@st.composite
def layers(draw: Any) -> Layer:
    """A small layer of any kind that multiplies."""
    groups, kernel = (
        draw(st.integers(1, 4)),
        draw(st.sampled_from([(1, 1), (3, 3), (1, 3), (3, 1)])),
    )
    kind = draw(st.sampled_from(["conv", "depthwise", "fc"]))
    size = (1, 1) if kind == "fc" else (draw(st.integers(3, 12)), draw(st.integers(3, 12)))
    kernel, groups = ((1, 1), 1) if kind == "fc" else (kernel, groups)
    each_in, each_out = (
        (1, 1) if kind == "depthwise" else (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    )
    return Layer(
        name="one",
        kind=kind,
        role=kind,
        in_channels=groups * each_in,
        out_channels=groups * each_out,
        in_h=size[0],
        in_w=size[1],
        kernel_h=kernel[0],
        kernel_w=kernel[1],
        stride_h=draw(st.integers(1, 2)),
        stride_w=draw(st.integers(1, 2)),
        groups=groups,
    )


@st.composite
def machines(draw: Any) -> tuple[str, list[str]]:
    """An architecture and its settings."""
    settings_ = [f"pe.rows={draw(st.integers(1, 12))}", f"pe.cols={draw(st.integers(1, 12))}"]
    settings_ += [
        f"{name}_sram.words={draw(st.sampled_from([64, 300, 4096]))}"
        for name in ("ifmap", "filter", "ofmap")
    ]
    if draw(st.booleans()):
        return "fuse", [
            *settings_,
            f"timing={draw(st.sampled_from(['public', 'paper', 'corrected']))}",
        ]
    flow = draw(FLOWS)
    timing = draw(st.sampled_from(["scalesim", "drained", *(["fuseconv"] if flow == "os" else [])]))
    return "systolic", [*settings_, f"dataflow={flow}", f"timing={timing}"]


def run(
    arch: str, overrides: list[str], *items: Layer, fidelity: str = "cycle"
) -> list[PhaseResult]:
    found, work = machine(arch), Workload(name="w", items=items, provenance=Provenance(network="w"))
    spec = machine_spec(found, None, overrides)
    if fidelity == "ideal":
        return found.ideal(work, spec)

    return found.prepare(work, spec).run(NO_IMAGE, lambda name: None)


@examples(80)
@given(layer=layers(), described=machines())
def test_memory_only_adds_cycles_and_more_bandwidth_takes_none(
    layer: Layer, described: tuple[str, list[str]]
) -> None:
    arch, overrides = described
    (ideal,) = run(arch, overrides, layer, fidelity="ideal")
    (free,) = run(arch, [*overrides, "dram.model=unlimited"], layer)
    (slow,) = run(arch, [*overrides, "dram.gigabytes_per_second=1"], layer)
    (fast,) = run(arch, [*overrides, "dram.gigabytes_per_second=8"], layer)
    assert ideal.stats.cycles == free.stats.cycles <= fast.stats.cycles <= slow.stats.cycles
    for result in (ideal, free, slow, fast):
        assert result.stats.macs == layer.macs
        assert result.stats.cycles == result.stats.compute + sum(result.stats.stalls.values())
        assert result.stats.compute == ideal.stats.cycles


@examples(40)
@given(layer=layers(), described=machines(), side=st.integers(1, 2))
def test_no_array_is_busier_than_all_of_its_pes(
    layer: Layer, described: tuple[str, list[str]], side: int
) -> None:
    """SCALE-Sim's missing last cycle, taken off each group, made 1x1 arrays busy for 100.006 %."""
    arch, overrides = described
    for size in ([], [f"pe.rows={side}", f"pe.cols={side}"]):
        for fidelity in ("ideal", "cycle"):
            (result,) = run(arch, [*overrides, *size], layer, fidelity=fidelity)
            assert 0 < result.utilization <= 1


def test_one_product_takes_one_cycle_and_one_pe_as_many_as_there_are_products() -> None:
    one = Layer(name="dot", kind="conv", role="gemm", in_channels=1, out_channels=1)
    single = ["pe.rows=1", "pe.cols=1"]
    for flow in ("os", "ws", "is"):
        (result,) = run("systolic", [*single, f"dataflow={flow}"], one, fidelity="ideal")
        assert result.stats.cycles == 1
    wide = Layer(
        name="dw", kind="depthwise", role="dw", in_channels=73, out_channels=73, in_h=9, in_w=9,
        kernel_h=3, kernel_w=3, groups=73,
    )  # fmt: skip
    (result,) = run("systolic", single, wide, fidelity="ideal")
    assert result.stats.cycles == wide.macs == 73 * 49 * 9  # 73 less by SCALE-Sim's convention
    (result,) = run("systolic", ["pe.rows=1", "pe.cols=2"], wide, fidelity="ideal")
    assert result.stats.cycles == 73 * (49 * (9 + 1) - 1)  # the convention as published


@examples(80)
@given(layer=layers(), described=machines())
def test_every_operand_is_read_and_every_output_written(
    layer: Layer, described: tuple[str, list[str]]
) -> None:
    (result,) = run(*described, layer)
    traffic: Counter[tuple[str, str, str]] = result.stats.traffic
    assert traffic["dram", "read", "input"] >= layer.in_channels * layer.in_h * layer.in_w
    assert traffic["dram", "read", "weight"] >= layer.weights
    assert traffic["dram", "write", "output"] == layer.out_channels * layer.out_h * layer.out_w
    assert traffic["dram", "read", "psum"] == traffic["dram", "write", "psum"]
    (roomy,) = run(
        described[0],
        [*described[1], *(f"{name}_sram.words=100000" for name in ("ifmap", "filter", "ofmap"))],
        layer,
    )
    assert (
        roomy.stats.traffic["dram", "read", "input"] == layer.in_channels * layer.in_h * layer.in_w
    )
    assert roomy.stats.traffic["dram", "read", "weight"] == layer.weights
    assert roomy.stats.traffic["dram", "read", "psum"] == 0


@examples(100)
@given(
    layer=layers(),
    flow=FLOWS,
    rows=st.integers(1, 9),
    cols=st.integers(1, 9),
    sizes=st.tuples(*[st.sampled_from([16, 64, 1000])] * 3),
    most=st.integers(1, 20),
)
def test_tiles_fit_half_of_every_buffer_and_leave_nothing_out(
    layer: Layer, flow: Dataflow, rows: int, cols: int, sizes: tuple[int, int, int], most: int
) -> None:
    gemm, buffers = Gemm.of(layer), BufferSizes(*sizes)
    demand = group_demand(layer, gemm, fold(gemm, rows, cols, flow, "drained"), buffers).repeat(
        gemm.groups
    )
    try:
        tiles = cut(layer, demand, buffers, most)
    except WorkloadError as error:
        assert "cut it into more than 20000 tiles" in str(error)  # noqa: PT017
        return
    assert [first for first, _ in tiles] == [0, *(last for _, last in tiles[:-1])]
    assert tiles[-1][1] == len(demand.cycles)
    for first, last in tiles:
        for words, size in zip(
            (demand.inputs, demand.weights, demand.outputs + demand.sums_out), sizes, strict=True
        ):
            assert np.sum(words[first:last]) <= size // 2


def test_blocks_run_layer_by_layer_with_their_number() -> None:
    found = machine("systolic")
    work = network("fusionet_digits")
    results = found.ideal(work, machine_spec(found))
    assert [result.name for result in results] == [
        layer.name for layer in work.layers() if layer.is_compute
    ]
    assert {result.name: result.block for result in results}["b2.dw"] == 2
    assert {result.phase for result in results} == {"layer"}


def test_more_folds_than_memory_holds_are_refused_in_cycle_fidelity_alone() -> None:
    huge = Layer(
        name="huge", kind="conv", role="gemm", in_channels=8, out_channels=40_000, in_h=40_000
    )
    small = ["pe.rows=4", "pe.cols=4"]
    (ideal,) = run("systolic", small, huge, fidelity="ideal")
    assert ideal.stats.macs == 8 * 40_000**2
    with pytest.raises(
        WorkloadError, match=r"layer 'huge': falls into 100000000 folds .* at most 4000000"
    ):
        run("systolic", small, huge)
    with pytest.raises(WorkloadError, match=r"parts of folds"):
        run("systolic", ["pe.rows=64", "pe.cols=64", "ofmap_sram.words=4"], huge)


def test_timing_fuseconv_needs_output_stationary() -> None:
    with pytest.raises(SpecError, match=r"timing is 'fuseconv' and dataflow 'ws'.*dataflow=os"):
        machine_spec(machine("systolic"), None, ("dataflow=ws", "timing=fuseconv"))


@pytest.mark.parametrize(
    ("arch", "setting", "rule"),
    [("systolic", "dataflow=rs", "'os', 'ws' or 'is'"), ("fuse", "timing=drained", "'public'")],
)
def test_unknown_conventions_are_refused_in_one_line(arch: str, setting: str, rule: str) -> None:
    with pytest.raises(SpecError, match=rule) as caught:
        machine_spec(machine(arch), None, (setting,))
    assert "\n" not in str(caught.value)


def test_fuse_pays_off_on_fuse_layers_alone() -> None:
    """The plain array needs more cycles for the 1-D layers than for what they replace.

    The broadcast wires turn that round.
    """
    found, plain = machine("fuse"), machine("systolic")
    spec, plain_spec = machine_spec(found), machine_spec(plain, None, ("timing=fuseconv",))
    cycles = {
        (name, arch.name): sum(
            result.stats.cycles for result in arch.ideal(network(name), described)
        )
        for name in ("mobilenet_v2", "mobilenet_v2-fuse-full")
        for arch, described in ((found, spec), (plain, plain_spec))
    }
    assert cycles["mobilenet_v2", "fuse"] == cycles["mobilenet_v2", "systolic"]
    assert (
        cycles["mobilenet_v2-fuse-full", "systolic"]
        > cycles["mobilenet_v2", "systolic"]
        > 5 * cycles["mobilenet_v2-fuse-full", "fuse"]
    )
