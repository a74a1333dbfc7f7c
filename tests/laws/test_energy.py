"""What must hold of energy, whatever runs.

It is counts times energies, and the counts are what happened.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.machines.archon import MACHINE
from archonsim.machines.dense import MACHINE as DENSE
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import Machine
from archonsim.machines.registry import machine, machine_spec
from archonsim.machines.row_stationary.layers import map_layers
from archonsim.machines.sparse import MACHINE as SPARSE
from archonsim.machines.systolic import MACHINE as SYSTOLIC
from archonsim.network.block import Block
from archonsim.network.networks import network, network_names
from archonsim.trace.fused_weight import fuse
from archonsim.trace.image import image_inputs
from archonsim.trace.what_if import MaskPolicy
from archonsim.vocabulary.vocabulary import COMMON
from tests.examples import examples
from tests.laws.test_archon import BLOCKS, digits, run, workload_of
from tests.present import present
from tests.row_stationary import dense, sparse
from tests.strategies import NO_IMAGE, UNLIMITED, archon, make_block

SETTINGS = examples(30)
SHIPPED = (resources.files("archonsim") / "data" / "technologies" / "45nm.toml").read_text("utf-8")
RAW: dict[str, Any] = tomllib.loads(SHIPPED)

#: Sizes of ARCHON's memories in its two configurations, and of the dense array's, as published.
MAIN = {"glb": 51200, "ifmap_spad": 12, "psum_spad": 32}
PREDICTION = {"glb": 51200, "ifmap_spad": 32, "psum_spad": 12, "weight_spad": 128}
EYERISS = {"glb": 55296, "ifmap_spad": 16, "psum_spad": 24, "weight_spad": 224}


def by_hand(
    actions: Counter[tuple[str, str, str]], sizes: dict[str, int]
) -> dict[tuple[str, str], float]:
    """Counts times the shipped file's figures, read as plain TOML."""
    energy: Counter[tuple[str, str]] = Counter()
    for (component, action, kind), times in actions.items():
        if component in RAW["memories"]:
            one = RAW["memories"][component]
            at = one["words"].index(sizes[component]) if component in sizes else 0
            energy[component, kind] += (
                times * max(one["read"][at], one["write"][at]) / one["access_words"]
            )
        else:
            energy[component, kind] += times * RAW["parts"][component][action]
    return dict(energy)


def energy_pj(results: Iterable[PhaseResult]) -> float:
    """Energy of several phases."""
    return sum(present(one.energy_pj) for one in results)


def check(result: PhaseResult, sizes: dict[str, int]) -> None:
    assert result.energy == pytest.approx(by_hand(result.stats.actions, sizes), rel=1e-12)
    assert min(result.stats.actions.values()) >= 0
    assert result.energy_pj == pytest.approx(sum(present(result.energy).values()))
    # A component that did nothing costs nothing, and what costs something did something.
    assert {key for key, value in present(result.energy).items() if value} == {
        (component, kind) for (component, _, kind), times in result.stats.actions.items() if times
    }


@SETTINGS
@given(block=BLOCKS, density=st.floats(0, 1), seed=st.integers(0, 1000), ideal=st.booleans())
def test_energy_on_archon_is_counts_times_energies(
    block: Block, density: float, seed: int, ideal: bool
) -> None:
    work = workload_of(block, density=density, seed=seed)
    for one in MACHINE.ideal(work, archon()) if ideal else run(work, archon()):
        check(one, MAIN if one.phase == "main" else PREDICTION)


@pytest.mark.parametrize("fidelity", ["ideal", "cycle"])
def test_energy_of_the_baselines_is_counts_times_energies(fidelity: str) -> None:
    machines: list[tuple[Machine, object]] = [(DENSE, dense()), (SPARSE, sparse())]
    for found, spec in machines:
        results = (
            found.ideal(digits(), spec)
            if fidelity == "ideal"
            else found.prepare(digits(), spec).run(NO_IMAGE, lambda name: None)
        )
        for one in results:
            check(one, EYERISS)


@SETTINGS
@given(block=BLOCKS, density=st.floats(0, 1), seed=st.integers(0, 1000))
def test_the_accumulate_stage_counts_what_happened(block: Block, density: float, seed: int) -> None:
    work = workload_of(block, density=density, seed=seed)
    stats = next(one.stats for one in run(work, archon()) if one.phase == "main")
    actions = stats.actions
    candidates = fuse(block, present(work.trace)).candidates
    tiles = -(-block.dw.out_h // 8) * -(-block.dw.out_w // 8)
    assert actions["binary_decoder", "process", "weight"] == 16 * candidates * tiles
    looked_up = candidates * block.dw.out_h * block.dw.out_w
    assert looked_up == stats.adds_possible
    for key in (("prediction_buffer", "read"), ("bit_masks_and", "process"), ("mux_", "process")):
        assert actions[*key, "mask"] == looked_up
    assert (
        actions["adder_fifo", "push", "weight"]
        == actions["adder_fifo", "pop", "weight"]
        == stats.adds
    )
    assert actions["mux", "process", "weight"] == 2 * stats.adds
    assert (
        actions["mac", "multiply", "compute"]
        == actions["ifmap_spad", "read", "input"]
        == stats.macs
    )
    # Bias sums are added to a partial sum, without a product.
    sums = actions["psum_spad", "write", "psum"] - stats.traffic["glb", "write", "psum"]
    assert actions["adders", "add", "compute"] == stats.adds + sums - stats.macs
    assert stats.macs <= sums <= stats.adds


@SETTINGS
@given(block=BLOCKS, seed=st.integers(0, 1000))
def test_memories_are_charged_for_the_words_that_move(block: Block, seed: int) -> None:
    """Memories are charged for the traffic, and buffers for what passes them from DRAM.

    Fused weights bypass the buffers.
    """
    for one in run(workload_of(block, seed=seed), archon()):
        traffic, actions = one.stats.traffic, one.stats.actions
        for (component, direction, kind), words in traffic.items():
            if component == "dram":
                assert actions[component, direction, kind] == words
        for kind in ("input", "map", "mask"):
            buffer = "prediction_glb" if kind == "mask" else "glb"
            assert (
                actions[buffer, "write", kind]
                == traffic[buffer, "write", kind] + traffic["dram", "read", kind]
            )
            assert (
                actions[buffer, "read", kind]
                == traffic[buffer, "read", kind] + traffic["dram", "write", kind]
            )
        assert actions["glb", "write", "weight"] == 0


def test_cached_weights_are_written_once_and_read_for_every_tile() -> None:
    work = workload_of(make_block(channels=8, mid=52, out=12, size=(16, 16)), weights=0.1)
    mains = [run(work, archon(f"weights={how}"))[-1] for how in ("stream", "cache")]
    streamed, cached = (one.stats.actions for one in mains)
    assert (
        cached["glb", "write", "weight"]
        == cached["dram", "read", "weight"]
        > 0
        == streamed["glb", "write", "weight"]
    )
    assert cached["glb", "read", "weight"] == 3 * cached["dram", "read", "weight"]
    assert streamed["dram", "read", "weight"] == 4 * cached["dram", "read", "weight"]


@pytest.mark.parametrize(
    "overrides",
    [UNLIMITED, ("dram.gigabytes_per_second=1.0",), ("clock_mhz=100",), ("pe.fifo_depth=9",)],
)
def test_time_changes_no_energy(overrides: tuple[str, ...]) -> None:
    assert [one.energy for one in run(digits(), archon(*overrides))] == [
        one.energy for one in run(digits(), archon())
    ]


@pytest.mark.parametrize(
    ("more", "less"), [("all", "trace"), ("trace", "random:0"), ("all", "random:0.5")]
)
def test_more_survivors_never_cost_less(more: str, less: str) -> None:
    """Not for additions, nor for any other part."""
    for one, other in zip(
        run(digits(), archon(), more), run(digits(), archon(), less), strict=True
    ):
        dear, cheap = present(one.energy), present(other.energy)
        assert all(dear[key] >= value for key, value in cheap.items())
        if one.phase == "main" and less == "random:0":
            assert ("adders", "compute") not in cheap
            assert dear["adders", "compute"] > 0


@pytest.mark.parametrize("override", ["fused_density=0.5", "survival=1.0", "energy_rules=ics21"])
def test_keys_of_energy_in_ideal_fidelity(override: str) -> None:
    work = network("fusionet_c10")
    ours, other = MACHINE.ideal(work, archon()), MACHINE.ideal(work, archon(override))
    assert [one.stats.cycles for one in ours] == [one.stats.cycles for one in other]
    assert energy_pj(ours) < energy_pj(other)


def test_refetched_masks_are_charged() -> None:
    """FusioNet's masks exceed the prediction buffer.

    The prediction GLB sends them again, and buffers take them in again.
    """
    work = workload_of(make_block(channels=8, mid=512, out=12, size=(8, 8)), weights=0.05)
    once, again = (
        run(work, archon("main_order=published", f"mask_fetch={how}"))[-1]
        for how in ("once", "charged")
    )
    refetched = once.stats.activity["prediction_buffer.refetched_words"]
    sent = [one.stats.actions["prediction_glb", "read", "mask"] for one in (once, again)]
    assert sent[1] == sent[0] + refetched > sent[0]
    assert (
        present(once.energy)["prediction_buffer", "mask"]
        < present(again.energy)["prediction_buffer", "mask"]
    )
    assert present(once.energy)["adders", "compute"] == present(again.energy)["adders", "compute"]


def test_a_pricier_action_costs_that_component_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text(SHIPPED.replace("push = 0.146", "push = 1.146"))
    for one, other in zip(
        run(digits(), archon()), run(digits(), archon(f"technology={path}")), strict=True
    ):
        pushed = sum(one.stats.actions["adder_fifo", "push", kind] for kind in ("weight", "psum"))
        assert present(other.energy_pj) - present(one.energy_pj) == pytest.approx(pushed * 1.0)
        assert {
            key: value for key, value in present(other.energy).items() if key[0] != "adder_fifo"
        } == {key: value for key, value in present(one.energy).items() if key[0] != "adder_fifo"}


def test_energies_may_be_those_of_reads_and_writes(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(SHIPPED.replace('access = "largest"', 'access = "own"'))
    largest, own = (
        DENSE.ideal(digits(), dense()),
        DENSE.ideal(digits(), dense(f"technology={path}")),
    )
    for one, other in zip(largest, own, strict=True):
        assert one.stats.actions == other.stats.actions
        words = one.stats.actions["weight_spad", "read", "weight"]
        assert present(one.energy)["weight_spad", "weight"] - present(other.energy)[
            "weight_spad", "weight"
        ] == pytest.approx(words * (1.18 - 0.759))
        assert present(one.energy)["dram", "weight"] == present(other.energy)["dram", "weight"]


def test_dense_energy_is_the_nest_s_where_no_maps_are_shared() -> None:
    for one, mapped in zip(
        DENSE.ideal(digits(), dense()), map_layers(digits(), dense()), strict=True
    ):
        if mapped.problem.input_maps == 1:
            assert one.energy_pj == pytest.approx(mapped.cost.energy_pj * mapped.problem.groups)
        else:
            assert (
                one.stats.actions["dram", "read", "input"]
                >= one.stats.traffic["dram", "read", "input"]
            )


def test_sparse_layers_move_the_maps_of_dense_ones_and_fewer_weights() -> None:
    pruned = 0
    for one, other in zip(
        DENSE.ideal(digits(), dense()), SPARSE.ideal(digits(), sparse()), strict=True
    ):
        share, shared = other.stats.macs / one.stats.macs, ("dram", "glb")
        weights = other.stats.actions["dram", "read", "weight"]
        assert weights <= one.stats.actions["dram", "read", "weight"]
        pruned += share < 1 and weights < one.stats.actions["dram", "read", "weight"]
        for key, times in one.stats.actions.items():
            if key[0] not in shared:
                assert other.stats.actions[key] == round(times * share), key
            elif key[2] != "weight":
                assert other.stats.actions[key] == times, key
    assert pruned


def test_skipped_products_cost_nothing() -> None:
    plain, skipping = (
        SPARSE.prepare(digits(), sparse(f"skip_zero_activations={skip}")).run(
            image_inputs(digits(), MaskPolicy(), 0), lambda name: None
        )
        for skip in ("false", "true")
    )
    assert all(
        one.stats.actions["mac", "multiply", "compute"] == one.stats.macs
        for one in (*plain, *skipping)
    )
    assert energy_pj(skipping) < energy_pj(plain)


def systolic_technology(path: Path) -> str:
    """The shipped one, with parts of our own making for the systolic array.

    A test's, no real ones.
    """
    own = "".join(
        f"\n[memories.{name}]\naccess_words = 1\nread = [{pj}]\nwrite = [{pj}]\n{words}\n"
        for name, pj, words in (
            ("ifmap_sram", "2.0, 4.0", "words = [9000, 32768]"),
            ("filter_sram", "2.0, 4.0", "words = [9000, 32768]"),
            ("ofmap_sram", "4.0, 8.0", "words = [9000, 32768]"),
            ("pe_registers", 0.5, ""),
        )
    )
    path.write_text(SHIPPED.replace("[parts.mac]", own + "\n[parts.mac]"))
    return f"technology={path}"


def test_systolic_energy_needs_a_technology_that_has_its_parts(tmp_path: Path) -> None:
    work = network("fusionet_digits")

    def results(*overrides: str) -> list[PhaseResult]:
        spec = machine_spec(SYSTOLIC, None, overrides)
        return SYSTOLIC.prepare(work, spec).run(NO_IMAGE, lambda name: None)

    assert all(one.energy is None for one in results())
    for one in results(systolic_technology(tmp_path / "own.toml")):
        actions = one.stats.actions
        assert (
            present(one.energy)["ofmap_sram", "output"]
            == 8.0 * actions["ofmap_sram", "write", "output"]
            > 0
        )
        assert present(one.energy)["pe_registers", "compute"] == 0.5 * 6 * one.stats.macs
        assert (
            present(one.energy)["dram", "weight"]
            == 128 * one.stats.traffic["dram", "read", "weight"]
        )


@pytest.mark.sampled(2)
@pytest.mark.parametrize("arch", ["archon", "dense"])
def test_every_named_network_has_an_energy(arch: str) -> None:
    """Whatever its shapes.

    5x5 and 7x7 windows, maps that eight PEs do not divide, layers of one pixel.
    """
    found = machine(arch)
    for name in network_names():
        for one in found.ideal(network(name), machine_spec(found)):
            assert present(one.energy_pj) > 0
            assert all(COMMON.has("components", key[0]) for key in present(one.energy))
