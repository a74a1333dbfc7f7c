"""Technology files: one line for everything wrong, and sizes between the published ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.errors import SpecError, UndeclaredError
from archonsim.machines.archon import MACHINE
from archonsim.machines.charge import area_part, charge
from archonsim.network.networks import network
from archonsim.spec.technology import Area, Memory, Technology, load_technology
from tests.laws.test_energy import SHIPPED
from tests.strategies import archon


@pytest.mark.parametrize(
    ("line", "other", "message"),
    [
        (
            "multiply = 2.2 ",
            "multiply = -1 ",
            r"parts.mac.multiply is -1; it must be greater than or equal to 0",
        ),
        (
            "multiply = 2.2 ",
            "multiply = nan ",
            "parts.mac.multiply is nan; it must be a finite number",
        ),
        (
            "multiply = 2.2 ",
            'multiply = "much" ',
            "parts.mac.multiply is 'much'; it must be a valid number",
        ),
        ("multiply = 2.2 ", "divide = 2.2 ", "part 'mac' has no action 'divide'; it has multiply"),
        ("[parts.mac]", "[parts.mack]", "unknown part 'mack'; did you mean 'mac'?"),
        ("[memories.glb]", "[memories.gbl]", "unknown memory 'gbl'; did you mean 'glb'?"),
        (
            "read = [512.0]",
            "read = [-512.0]",
            "memories.dram.read.0 is -512.0; it must be greater than or equal to 0",
        ),
        ("read = [512.0]", "read = []", "memories.dram.read is"),
        (
            "read = [512.0]",
            "read = [512.0, 1.0]",
            "memories.dram: 2 read and 1 write energies for 1 sizes; give one for each",
        ),
        (
            "write = [512.0]",
            "write = [512.0, 1.0]",
            "memories.dram: 1 read and 2 write energies for 1 sizes; give one for each",
        ),
        (
            "words = [128, 224]",
            "words = [224, 128]",
            r"memories.weight_spad: words are \[224, 128\]; sizes must rise",
        ),
        (
            "access_words = 4",
            "access_words = 0",
            "memories.dram.access_words is 0; it must be greater than or equal to 1",
        ),
        (
            "access_words = 4",
            "acces_words = 4",
            "memories.dram.acces_words: unknown key|memories.dram.access_words is missing",
        ),
        (
            'access = "largest"',
            'access = "mean"',
            "access is 'mean'; it must be 'largest' or 'own'",
        ),
        ('access = "largest"', "", "access is missing"),
        ('source = "', 'sauce = "', "sauce: unknown key|source is missing"),
        ('source = "', "source = ", "not a TOML file"),
    ],
)
def test_a_bad_file_is_one_line(line: str, other: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    assert line in SHIPPED
    path.write_text(SHIPPED.replace(line, other, 1))
    with pytest.raises(SpecError, match=message) as caught:
        load_technology(str(path))
    assert "bad.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "[memories.prediction_buffer]",
            r"energy of memory 'prediction_buffer' is missing; add \[memories.prediction_buffer\]",
        ),
        ("[parts.mux]", r"energy of mux.process is missing; add process to \[parts.mux\]"),
    ],
)
def test_what_a_machine_needs_must_be_there(section: str, message: str, tmp_path: Path) -> None:
    head, _, rest = SHIPPED.partition(section)
    path = tmp_path / "short.toml"
    path.write_text(head + rest[rest.index("\n[") :])
    with pytest.raises(SpecError, match=message):
        MACHINE.ideal(network("fusionet_digits"), archon(f"technology={path}"))


@pytest.mark.parametrize("name", ["45nm", "eyerissv2", "scnn", "snapea", "sparten"])
def test_shipped_technologies_name_what_registered_machines_declare(name: str) -> None:
    assert load_technology(name).source


def test_areas_are_of_as_many_as_stand_together_and_in_proportion_to_words() -> None:
    technology = Technology(
        source="a test's",
        access="own",
        memories={},
        parts={},
        areas={"mac": Area(um2=50.0), "glb": Area(um2=300.0, words=100)},
    )
    mac = area_part(technology, "mac")
    assert (mac.area_um2, mac.instances, mac.in_pe) == (50.0, 1, False)
    both = area_part(technology, "mac", instances=7, copies=2, in_pe=True)
    assert (both.area_um2, both.instances, both.in_pe) == (100.0, 7, True)
    assert area_part(technology, "glb", words=250).area_um2 == 750.0


@pytest.mark.parametrize(
    ("component", "action", "message"),
    [
        ("mack", "multiply", "mack.*did you mean 'mac'"),
        ("mac", "divide", "component 'mac' has no action 'divide'; it has multiply"),
    ],
)
def test_what_no_machine_declares_is_not_charged(component: str, action: str, message: str) -> None:
    with pytest.raises(UndeclaredError, match=message):
        charge({(component, action, "compute"): 1}, load_technology("45nm"), {})


def test_unknown_names_and_files() -> None:
    with pytest.raises(SpecError, match="unknown technology '7nm'; did you mean '45nm'"):
        load_technology("7nm")
    with pytest.raises(SpecError, match=r"nowhere.toml: cannot be read: No such file"):
        load_technology("nowhere.toml")


MEMORY = Memory(
    access_words=4, words=(1000, 2000, 8000), read=(10.0, 20.0, 40.0), write=(11.0, 21.0, 41.0)
)


@pytest.mark.parametrize(
    ("words", "pj"),
    [(1000, 10.0), (2000, 20.0), (8000, 40.0), (4000, 800**0.5), (500, 5.0), (32000, 80.0)],
)
def test_sizes_between_and_beyond_follow_a_power_law(words: int, pj: float) -> None:
    assert MEMORY.at("read", words) == pytest.approx(pj)


@given(words=st.integers(1, 10**7))
def test_larger_memories_never_cost_less(words: int) -> None:
    assert 0 < MEMORY.at("write", words) <= MEMORY.at("write", words + 1)
    glb = load_technology("45nm").memory("glb")
    assert glb.at("read", words) <= glb.at("read", words + 1)


def test_published_sizes_are_exact() -> None:
    glb = load_technology("45nm").memory("glb")
    assert [glb.at("write", words) for words in glb.words] == list(glb.write)


def test_one_size_holds_for_all_and_free_memories_stay_free() -> None:
    assert Memory(access_words=1, read=(3.0,), write=(4.0,)).at("read", 77) == 3.0
    assert (
        Memory(access_words=1, words=(1, 2), read=(0.0, 4.0), write=(0.0, 4.0)).at("read", 3) == 0.0
    )
