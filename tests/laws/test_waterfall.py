"""One owner for every cycle: what must hold for every waterfall."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.explain.attribute import explain
from archonsim.explain.relax import chip_alone, steps
from archonsim.machines.archon import MACHINE
from archonsim.machines.registry import machine, machine_names, machine_spec, words_of
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.networks import network
from archonsim.network.workload import Provenance, Workload
from archonsim.result.values import Number
from archonsim.result.waterfall import Bars, Waterfall
from archonsim.runs.simulate import simulate
from archonsim.trace.synthetic import synthesize
from archonsim.trace.what_if import MaskPolicy
from archonsim.vocabulary.owners import BY_NAME
from tests.examples import examples
from tests.laws.test_archon import BLOCKS, run, workload_of
from tests.strategies import UNLIMITED, archon, make_block, replace_spec

MACHINES = machine_names()
MEMORY = {"weights", "masks", "map", "dram"}


@cache
def digits() -> Workload:
    return synthesize(network("fusionet_digits"), seed=1, images=2)[0]


def fall_of(
    name: str, *overrides: str, work: Workload | None = None, masks: str = "trace"
) -> Waterfall:
    found = machine(name)
    return explain(
        work or digits(), found, machine_spec(found, None, overrides), masks=MaskPolicy.parse(masks)
    )


def check(fall: Waterfall, cycles: list[Number]) -> None:
    """Steps are positive, known, in order, and end at exactly the cycles of each phase."""
    assert [one.cycles for one in fall.phases] == cycles
    order = list(fall.words.names("owners"))
    for bars in (*fall.phases, *fall.layers, *fall.kinds, fall.network):
        names = [step.owner for step in bars.steps]
        assert names == sorted(names, key=order.index)
        assert set(bars.owners) == set(names)
        assert all(type(step.cycles) is int and step.cycles > 0 for step in bars.steps)
        assert bars.steps[-1].cumulative == bars.cycles
    assert fall.network.cycles == sum(cycles)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("masks", ["trace", "all", "random:0"])
@pytest.mark.parametrize("name", MACHINES)
def test_steps_end_at_the_cycles_of_the_run(name: str, masks: str) -> None:
    found = machine(name)
    report = simulate(digits(), found, machine_spec(found), masks=MaskPolicy.parse(masks))
    check(fall_of(name, masks=masks), [layer.cycles for layer in report.layers])


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_s_runs_are_nested(name: str) -> None:
    found = machine(name)
    spec = machine_spec(found, None, ["dram.gigabytes_per_second=3"])
    whole = simulate(digits(), found, spec).layers
    moved = {
        (place, direction, kind)
        for layer in whole
        for place, direction, kind in (key.split(".") for key in layer.traffic)
    }
    words = words_of(found)
    nested = list(steps(spec, moved, words))
    assert [owner for owner, _ in nested] == (
        ["weights", "masks", "dram"] if name == "archon" else ["weights", "dram"]
    )
    reports = [
        simulate(digits(), found, relaxed).layers
        for relaxed in (chip_alone(spec, words), *(one for _, one in nested))
    ]
    for phase in zip(*reports, strict=True):
        cycles = [layer.cycles for layer in phase]
        assert cycles == sorted(cycles)


@examples(40)
@given(
    block=BLOCKS,
    density=st.floats(0, 1),
    seed=st.integers(0, 1000),
    gigabytes=st.floats(0.5, 60),
    latency=st.integers(0, 200),
    port=st.integers(1, 32),
    order=st.sampled_from(["layer", "channel"]),
    weights=st.sampled_from(["stream", "cache"]),
    free=st.sets(st.sampled_from(["weight", "input", "mask"])),
    banks=st.booleans(),
    queue=st.sampled_from([0, 64, 512]),
    buffers=st.integers(2, 4),
    fetch=st.sampled_from(["once", "charged"]),
    main_order=st.sampled_from(["published", "mapped"]),
)
def test_timing_more_of_the_memory_never_saves_a_cycle_of_any_phase(
    block: Block,
    density: float,
    seed: int,
    gigabytes: float,
    latency: int,
    port: int,
    order: str,
    weights: str,
    free: set[str],
    banks: bool,
    queue: int,
    buffers: int,
    fetch: str,
    main_order: str,
) -> None:
    """The law behind the waterfall.

    Its runs are nested, so its steps need no clipping, phase by phase.
    """
    work = workload_of(block, density=density, seed=seed)
    models = ("dram.model=banks", "glb.model=banks", "prediction_glb.model=banks") if banks else ()
    spec = archon(
        f"prediction_order={order}",
        f"weights={weights}",
        f"dma.tile_buffers={buffers}",
        f"mask_fetch={fetch}",
        f"main_order={main_order}",
        *models,
    )
    spec = replace_spec(
        spec,
        "dram",
        gigabytes_per_second=gigabytes,
        latency_cycles=latency,
        free=tuple(sorted(free)),
        write_queue_words=queue,
    )
    spec = replace_spec(spec, "prediction_glb", read_words_per_cycle=port)
    whole = run(work, spec)
    known = words_of(MACHINE)
    nested = list(steps(spec, {key for one in whole for key in one.stats.traffic}, known))
    assert nested[-1][1] is spec
    runs = [
        run(work, relaxed) for relaxed in (chip_alone(spec, known), *(one for _, one in nested))
    ]
    for phase in zip(*runs, strict=True):
        cycles = [one.stats.cycles for one in phase]
        assert cycles == sorted(cycles)
    check(explain(work, MACHINE, spec), [one.stats.cycles for one in whole])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("words", [4_300, 6_000, 20_000])
def test_machines_differ_in_time_alone(words: int) -> None:
    """A small GLB has its tiles split and its maps spilled; all runs cut and move the same."""
    work = workload_of(make_block(channels=16, mid=512, out=8, size=(32, 32)), weights=0.1)
    spec = replace_spec(archon("weights=cache"), "glb", words=words)
    whole = run(work, spec)
    moved = {key for one in whole for key in one.stats.traffic}
    known = words_of(MACHINE)
    nested = [chip_alone(spec, known), *(one for _, one in steps(spec, moved, known))]
    runs = [run(work, relaxed) for relaxed in nested]
    for phase in zip(*runs, strict=True):
        assert all(one.stats.traffic == phase[0].stats.traffic for one in phase)
        cycles = [one.stats.cycles for one in phase]
        assert cycles == sorted(cycles)


@pytest.mark.parametrize("bandwidth", [2, 25.6])
def test_hidden_predictions_are_nobody_s_and_the_rest_still_adds_up(bandwidth: float) -> None:
    overrides = ("overlap_prediction=true", f"dram.gigabytes_per_second={bandwidth}")
    work = workload_of(
        *(make_block(channels=8, mid=64, out=8, size=(24, 24), index=index) for index in (1, 2))
    )
    report = simulate(work, MACHINE, archon(*overrides))
    hiding, plain = (
        fall_of("archon", *overrides, work=work),
        fall_of("archon", overrides[1], work=work),
    )
    check(hiding, [layer.cycles for layer in report.layers])
    assert hiding.network.owners["adders"] < plain.network.owners["adders"]


def mains(fall: Waterfall) -> list[Bars]:
    return [one for one in fall.phases if one.phase == "main"]


def through(bars: Bars, last: str) -> Number:
    """Cycles of the owners up to one of them."""
    names = list(BY_NAME)
    return sum(
        cycles for owner, cycles in bars.owners.items() if names.index(owner) <= names.index(last)
    )


def test_all_mac_slots_are_the_published_closed_form() -> None:
    """One cycle for each group and tile, however few survivors.

    The published model's main phase.
    """
    published = [
        one.stats.cycles for one in MACHINE.ideal(digits(), archon()) if one.phase == "main"
    ]
    assert [through(one, "empty") for one in mains(fall_of("archon"))] == published
    needed = [through(one, "macs") for one in mains(fall_of("archon"))]
    assert all(work < slots for work, slots in zip(needed, published, strict=True))


def test_additions_bound_a_main_phase_in_which_everything_survives() -> None:
    work = workload_of(make_block(channels=4, mid=200, out=8, size=(16, 16)), weights=0.9)
    (stats,) = (one.stats for one in run(work, archon(*UNLIMITED), "all") if one.phase == "main")
    (bars,) = mains(fall_of("archon", *UNLIMITED, work=work, masks="all"))
    bound = -(-stats.adds // (64 * 6))
    assert stats.compute < bound, "beats alone are fewer: it is the adders that limit"
    assert through(bars, "adders") == min(bound, stats.cycles - stats.stalls["drain"])
    assert not {"empty", "bias", "beats", "mapping"} & set(bars.owners)


@pytest.mark.parametrize("size", [(16, 16), (11, 13)])
def test_bias_beats_and_edges_are_what_a_run_without_them_saves(size: tuple[int, int]) -> None:
    """On a map that the array divides; at edges a PE in use has that share of them."""
    work = workload_of(make_block(channels=8, mid=64, out=8, size=size), weights=0.3, density=0.2)
    (bars,) = mains(fall_of("archon", work=work))
    timed, untimed = (
        run(work, archon(*UNLIMITED, f"bias_terms={how}"))[-1].stats.compute
        for how in ("timed", "untimed")
    )
    tiles, pixels = -(-size[0] // 8) * -(-size[1] // 8), size[0] * size[1]
    bias = timed - untimed
    assert abs(bars.owners["bias"] - bias * pixels / (64 * tiles)) < 1
    assert bars.owners.get("mapping", 0) == timed - -(-timed // tiles * pixels // 64)
    assert ("mapping" in bars.owners) == (pixels % 64 != 0)


def test_memory_that_takes_no_time_owns_nothing() -> None:
    for name in MACHINES:
        assert not MEMORY - {"masks"} & set(fall_of(name, "dram.model=unlimited").network.owners)
    assert not (MEMORY | {"ports"}) & set(fall_of("archon", *UNLIMITED).network.owners)
    kept = fall_of("archon", "dram.free=['weight', 'map']").network.owners
    assert not {"weights", "map"} & set(kept)
    assert "dram" in kept


@pytest.mark.full
def test_the_owner_is_who_can_be_blamed() -> None:
    """Each key that is named for an owner moves cycles of that owner."""
    wide = workload_of(make_block(channels=16, mid=512, out=8, size=(32, 32)), weights=0.1)

    def owned(owner: str, *overrides: str) -> float:
        return fall_of("archon", *overrides, work=wide).network.owners.get(owner, 0)

    assert owned("map") > 0 == owned("map", "prediction_order=channel")
    assert owned("bias") > 0 == owned("bias", "bias_terms=untimed")
    assert owned("empty") > owned("empty", "skip_empty_groups=true")
    assert owned("imbalance") > owned("imbalance", "pe.fifo_depth=40")
    assert owned("ports") > owned(
        "ports", "glb.read_words_per_cycle=512", "glb.write_words_per_cycle=512"
    )
    slow = "dram.gigabytes_per_second=0.5"
    assert owned("weights", slow) > owned("weights", slow, "weights=cache")
    assert owned("masks") > owned("masks", "prediction_glb.words=1000000")
    published = "main_order=published"
    assert owned("masks", published) > owned("masks", published, "mask_fetch=once")


def test_baselines_own_what_they_are_known_for() -> None:
    layer = next(item for item in digits().items if isinstance(item, Layer) and item.is_compute)
    assert layer.groups == 1
    (systolic,) = (one for one in fall_of("systolic").phases if one.name == layer.name)
    time = layer.weights // layer.out_channels
    folds = -(-layer.out_h * layer.out_w // 64) * -(-layer.out_channels // 64)
    assert through(systolic, "macs") == -(-layer.macs // 4096)
    assert through(systolic, "mapping") == folds * time
    assert systolic.owners["fill"] == folds * (64 + 64 - 2) - 1
    dense, sparse = fall_of("dense").network.owners, fall_of("sparse").network.owners
    assert "imbalance" not in dense
    assert sparse["imbalance"] > 0
    assert sparse["macs"] < dense["macs"]
    patient = fall_of("sparse", "barrier=fifo:20").network.owners
    assert patient["imbalance"] < sparse["imbalance"]


def test_several_images_are_means() -> None:
    found, spec = MACHINE, archon()
    each = [explain(digits(), found, spec, images=[image]).network.owners for image in (0, 1)]
    both = explain(digits(), found, spec, images=None)
    assert both.image_numbers == (0, 1)
    assert both.network.owners == pytest.approx(
        {owner: (each[0][owner] + each[1][owner]) / 2 for owner in each[0]}
    )


def test_a_machine_that_says_nothing_of_its_losses_still_has_an_owner_for_each_cycle() -> None:
    """As a plug-in: what is beyond the work is the mapping's."""
    layer = dataclasses.replace(
        make_block(channels=4, mid=9, out=4).pw1, name="plain", activation="none"
    )
    shapes = Workload(
        name="plain",
        items=(layer,),
        provenance=Provenance(network="plain", dataset="none"),
    )
    fall = fall_of("archon", *UNLIMITED, work=synthesize(shapes, seed=0)[0])
    assert fall.network.owners == {"macs": 9 * 4 * 64 // 64}
    ragged = dataclasses.replace(layer, in_h=9)
    fall = fall_of(
        "archon",
        *UNLIMITED,
        work=synthesize(dataclasses.replace(shapes, items=(ragged,)), seed=0)[0],
    )
    assert fall.network.owners["macs"] == -(-9 * 4 * 72 // 64)
    assert set(fall.network.owners) == {"macs", "mapping"}
