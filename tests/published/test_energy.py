"""ARCHON's published energies and both machines' areas; what our own rules leave of them.

The shipped technology.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import pytest

from archonsim.machines.archon import MACHINE
from archonsim.machines.dense import MACHINE as DENSE
from archonsim.machines.phases import PhaseResult
from archonsim.network.networks import network
from archonsim.spec.technology import load_technology
from tests.present import present
from tests.published.sources import shared_rows
from tests.row_stationary import DATA, dense, rows
from tests.strategies import archon

NETWORKS = {
    "fusionet": "fusionet_c10",
    "mobilenet": "mobilenetv2mod_c10",
    "shufflenet": "shufflenetmod_c10-ics21",
}

#: The parts of the published overhead, as our (component, kind).
OVERHEAD = {
    "weight_DRAM": ("dram", "weight"), "pred_DRAM": ("dram", "mask"),
    "binary_decoder": ("binary_decoder", "weight"), "pred_buffer": ("prediction_buffer", "mask"),
    "zero_replace_flag_mux_": ("mux_", "mask"), "zero_replacing_mux": ("mux", "weight"),
    "adders": ("adders", "compute"), "masks_and": ("bit_masks_and", "mask"),
}  # fmt: skip
NEST = {
    ("mac", "compute"), ("ifmap_spad", "input"), ("psum_spad", "psum"), ("glb", "input"),
    ("glb", "output"), ("dram", "input"), ("dram", "output"),
}  # fmt: skip
#: ShuffleNet's blocks whose main cycles, and with them the overhead, are those of the block before.
COPIED = {("shufflenet", "b3"), ("shufflenet", "b7")}


@cache
def ideal(name: str, *overrides: str) -> dict[tuple[str, str], PhaseResult]:
    return {
        (one.name, one.phase): one
        for one in MACHINE.ideal(network(NETWORKS[name]), archon(*overrides))
    }


@cache
def published(name: str) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows(DATA / "ics21_archon_energies.csv"):
        if row["network"] == name:
            table[row["block"]][row["part"]] = float(row["uj"])
    return table


def nest(result: PhaseResult) -> float:
    energy = present(result.energy)
    return sum(energy[key] for key in NEST) / 1e6


def rounding(name: str, block: str, phase: str) -> float:
    """Half of 0.01 uJ for each group of what the authors started from, and last digits."""
    groups = next(one.groups for one in network(NETWORKS[name]).blocks() if one.name == block)
    return 0.005 * (groups if phase in ("predict_pw1", "predict_pw2") else 1) + 2e-6


@pytest.mark.parametrize("name", NETWORKS)
def test_published_rules_give_every_phase(name: str) -> None:
    found = ideal(name, "energy_rules=ics21")
    checked = 0
    for block, parts in published(name).items():
        for phase in ("predict_pw1", "predict_dw", "predict_pw2", "main"):
            if phase in parts:
                result = found[block, phase]
                ours = nest(result) if phase == "main" else present(result.energy_pj) / 1e6
                assert ours == pytest.approx(
                    parts[phase], rel=0, abs=rounding(name, block, phase)
                ), (block, phase)
                checked += 1
    assert checked == 3 * len(published(name)) >= 42


@pytest.mark.parametrize("name", NETWORKS)
def test_published_rules_give_every_part_of_the_overhead(name: str) -> None:
    found = ideal(name, "energy_rules=ics21")
    for block, parts in published(name).items():
        energy = present(found[block, "main"].energy)
        if (name, block) not in COPIED:
            assert energy.keys() == NEST | set(OVERHEAD.values())
            ours = {part: energy[key] / 1e6 for part, key in OVERHEAD.items()}
            assert ours == pytest.approx(
                {part: parts[part] for part in OVERHEAD}, rel=0, abs=1e-6
            ), block
            assert sum(ours.values()) == pytest.approx(parts["overhead"], abs=0.00501)


@pytest.mark.parametrize("name", NETWORKS)
def test_our_rules_leave_the_consistent_part_as_it_is(name: str) -> None:
    """The main phase's loop nest, key by key.

    Plain layers whose inputs are not those of depthwise ones.
    """
    ours, theirs = ideal(name), ideal(name, "energy_rules=ics21")
    for (item, phase), result in ours.items():
        other = theirs[item, phase]
        if phase == "main":
            assert {key: present(result.energy)[key] for key in NEST} == {
                key: present(other.energy)[key] for key in NEST
            }
        elif phase == "layer":
            same = result.energy == other.energy
            assert same == (item not in ("head_dw", "b0.dw", "tail_dw")), item


def test_each_inconsistency_is_the_published_rules_alone() -> None:
    """FusioNet's first block, by hand.

    592 x 4 mid channels on 32 x 32 pixels, 32 in and out, 4 groups, 16 tiles, 9 taps.
    """
    ours, theirs = (
        {key: present(result.energy) for key, result in ideal("fusionet", *rules).items()}
        for rules in ((), ("energy_rules=ics21",))
    )
    outputs, tiles, pixels, mid = 2368 * 1024, 16, 1024, 2368
    products = outputs * 8
    one, two, main = ("b1", "predict_pw1"), ("b1", "predict_dw"), ("b1", "main")
    # A multiplication: 0.22 pJ and one for each of 32 input channels; 2.2 pJ, one for each output.
    assert theirs[one]["mac", "compute"] == pytest.approx(0.22 * products / 32)
    assert ours[one]["mac", "compute"] == pytest.approx(2.2 * outputs)
    # An addition: of 16 bits, or a quarter of an adder.
    assert theirs[one]["adders", "compute"] == pytest.approx(0.043 * products)
    assert ours[one]["adders", "compute"] == pytest.approx(0.054 / 4 * products)
    # The predicted map is narrow in DRAM alone, or in the GLB, too.
    assert theirs[one]["glb", "output"] == pytest.approx(4 * ours[one]["glb", "map"])
    assert theirs[one]["dram", "output"] == pytest.approx(ours[one]["dram", "map"])
    # What 4 bits save of the second prediction's input is taken from one map, or from all.
    assert theirs[two]["dram", "input"] == pytest.approx(128 * 34 * 34 * (mid - 0.75))
    assert (
        0.25 <= ours[two]["dram", "map"] / (128 * 34 * 34 * mid) < 0.27
    )  # rows that two tiles share come twice
    # A fused weight's index: 16/10, or 26 bits of 16; 1.4 % or 1.2 % of 8 x 592 x 9 x 32 weights.
    dense_weights = 8 * 592 * 9 * 32
    assert theirs[main]["dram", "weight"] == pytest.approx(
        dense_weights * 0.014 * 1.6 * 128 * tiles
    )
    candidates = round(dense_weights * 0.012)
    assert ours[main]["dram", "weight"] == pytest.approx(-(-candidates * 26 // 16) * 128 * tiles)
    # Full lanes in each cycle, or candidates; half of both survive.
    assert theirs[main]["adders", "compute"] == pytest.approx(0.054 * 64 * 24 * 36864 * 0.5)
    assert ours[main]["adders", "compute"] == pytest.approx(0.054 * candidates * pixels * 0.5)
    # Masks: 8 times the prediction GLB's accesses, or words that move through DRAM.
    assert theirs[main]["dram", "mask"] == pytest.approx((21.203 + 21.456) * 38400 * 8)
    halo = sum(min(8 * y + 9, 32) - max(8 * y - 1, 0) for y in range(4)) ** 2
    assert ours[main]["dram", "mask"] == pytest.approx(128 * (halo + pixels) * mid / 16)


def test_published_networks_only() -> None:
    from archonsim.errors import SpecError

    with pytest.raises(
        SpecError,
        match="ICS'21 has no energies of 'fusionet_digits' on ARCHON; it has fusionet_c10,",
    ):
        MACHINE.ideal(network("fusionet_digits"), archon("energy_rules=ics21"))
    with pytest.raises(
        SpecError, match=r"pe.adders is 3; mobilenetv2mod_c10 was published with 6 or 5"
    ):
        MACHINE.ideal(network("mobilenetv2mod_c10"), archon("energy_rules=ics21", "pe.adders=3"))


@pytest.mark.parametrize("name", ["archon_5_adders", "archon_6_adders", "dense"])
def test_areas_by_component(name: str) -> None:
    wanted = {
        row["component"]
        .replace("weights_", "weight_")
        .replace("pred_glb", "prediction_glb")
        .replace("shared_", ""): row
        for row in rows(DATA / "ics21_areas.csv")
        if row["machine"] == name
    }
    ours = (
        DENSE.resources(dense())
        if name == "dense"
        else MACHINE.resources(archon(f"pe.adders={name[7]}"))
    )
    total = wanted.pop("total")
    published = [part for part in ours.parts if not part.estimate]
    assert {part.component for part in published} == set(wanted)
    for part in published:
        row = wanted[part.component]
        assert part.area_um2 == pytest.approx(float(row["each"]), abs=0.01), part.component
        assert (part.instances, part.in_pe, part.counted) == (
            int(row["instances"]),
            row["scope"] == "PE",
            row["counted"] == "1",
        )
        assert part.all_um2 == pytest.approx(
            float(row["all"]), abs=0.6
        )  # some are sums of rounded figures
    assert ours.area_um2 == pytest.approx(float(total["all"]), abs=0.6)
    assert ours.extra_area_um2 == (0 if name == "dense" else 164714)


def test_the_shipped_technology_has_the_reference_tables_largest_values() -> None:
    table = {
        (row["machine"], row["component"], row["action"]): float(row["energy_max_pJ"])
        for row in shared_rows("ics21/ert.csv")
    }
    shipped = load_technology("45nm")
    sizes = {
        "glb": {51200: "archon_main", 55296: "dense", 65536: "archon_pred_old"},
        "ifmap_spad": {12: "archon_main", 16: "dense", 32: "archon_pred"},
        "psum_spad": {12: "archon_pred", 24: "dense", 32: "archon_main"},
        "weight_spad": {128: "archon_pred", 224: "dense"},
        "prediction_glb": {4376: "archon_overhead"},
        "prediction_buffer": {128: "archon_overhead"},
        "dram": {1: "dense"},
    }
    names = {
        "glb": "shared_glb",
        "weight_spad": "weights_spad",
        "prediction_glb": "pred_glb",
        "dram": "DRAM",
    }
    for memory, machines in sizes.items():
        for words, machine in machines.items():
            for action in ("read", "write"):
                assert (
                    shipped.memory(memory).at(action, words)
                    == table[machine, names.get(memory, memory), action]
                )
    assert shipped.action_pj("mac", "multiply") == table["dense", "mac", "mac_random"]
    assert shipped.action_pj("adders", "narrow_add") == pytest.approx(
        shipped.action_pj("adders", "add") / 4
    )
    for part, action in (
        ("adders", "add"),
        ("adder_fifo", "push"),
        ("adder_fifo", "pop"),
        ("bit_masks_and", "process"),
        ("mux_", "process"),
        ("mux", "process"),
        ("binary_decoder", "process"),
    ):
        assert shipped.action_pj(part, action) == table["archon_overhead", part, action]
