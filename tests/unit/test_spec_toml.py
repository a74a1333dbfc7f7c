"""Descriptions as TOML: what is printed reads back, and a fault names where its value stands."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.cli.app import run_command
from archonsim.errors import SpecError
from archonsim.machines.registry import machine, machine_names, machine_spec
from archonsim.spec.load import flat_items, to_table, to_toml
from tests.examples import examples

#: Keys whose value is any text as far as a description goes.
TEXTS = [
    (arch, key)
    for arch in machine_names()
    for key, value in flat_items(to_table(machine_spec(machine(arch))))
    if isinstance(value, str) and key.rpartition(".")[2] in ("technology", "device", "mapping")
]


@pytest.mark.parametrize(("arch", "key"), TEXTS, ids=[f"{arch}-{key}" for arch, key in TEXTS])
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@examples(50)
def test_a_printed_description_reads_back(arch: str, key: str, text: str) -> None:
    beside = {"dram.model": "banks"} if key == "dram.device" else {}
    table = to_table(machine_spec(machine(arch), None, {key: text} | beside))
    assert dict(flat_items(table))[key] == text
    assert tomllib.loads(to_toml(table)) == json.loads(json.dumps(_without_none(table)))


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    """A description as TOML can hold it: keys without a value are left out."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }


PLAIN = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TREES = st.recursive(
    st.dictionaries(TEXT, PLAIN | TEXT | st.lists(PLAIN | TEXT), max_size=4),
    lambda inner: st.dictionaries(TEXT, inner | PLAIN | TEXT, max_size=4),
    max_leaves=12,
)


@given(TREES)
def test_any_plain_data_read_back_from_toml(tree: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(tree)) == tree


@pytest.mark.parametrize(
    "name", ['we"ird.toml', "back\\slash.toml", "tab\there\x7f\x01.toml", "ünï✓.toml", "x" * 300]
)
def test_archs_prints_what_config_takes(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["archs", "archon", "--set", f"technology={name}"]) == 0
    printed = capsys.readouterr().out
    path = tmp_path / "archon.toml"
    path.write_text(printed, "utf-8")
    assert run_command(["archs", "archon", "--config", str(path)]) == 0
    assert capsys.readouterr().out == printed
    assert machine_spec(machine("archon"), path).technology == name


@pytest.mark.parametrize(
    ("held", "changes", "needed"),
    [
        ("", {"pe.fifo_depth": 1}, "--set pe.fifo_depth: fifo_depth is 1 and"),
        ("[pe]\nfifo_depth = 1", {"pe.rows": 4}, "{file}: pe: fifo_depth is 1 and"),
        ("clock_mhz = 'x'", {"pe.rows": 4}, "{file}: clock_mhz is 'x'"),
        ("", {"pe.cols": 65}, "--set pe.cols: cols is 65"),
        (
            "",
            {"pe.fifo_depth": 3, "pe.candidates_per_adder": 8, "pe.rows": 2},
            "--set pe.fifo_depth --set pe.candidates_per_adder: fifo_depth is 3",
        ),
    ],
)
def test_a_fault_names_where_its_value_stands(
    held: str, changes: dict[str, object], needed: str, tmp_path: Path
) -> None:
    path = tmp_path / "my.toml"
    path.write_text(held)
    with pytest.raises(SpecError) as caught:
        machine_spec(machine("archon"), path if held else None, changes)
    assert str(caught.value).startswith(needed.format(file=path))


def test_a_rule_about_the_whole_machine_names_its_change() -> None:
    with pytest.raises(SpecError) as caught:
        machine_spec(machine("systolic"), None, {"timing": "fuseconv", "dataflow": "ws"})
    assert str(caught.value).startswith("--set timing --set dataflow: timing is 'fuseconv'")
