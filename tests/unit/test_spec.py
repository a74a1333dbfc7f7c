"""Descriptions: every fault is one line that names the key, the value and what would be right."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from archonsim.errors import SpecError
from archonsim.machines.archon import MACHINE
from archonsim.machines.registry import machine, machine_spec
from archonsim.spec.load import to_table, to_toml
from tests.strategies import archon


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pe.adder=4", "--set pe.adder: unknown key; did you mean 'pe.adders'?"),
        ("pe.adders=0", "--set pe.adders is 0; it must be greater than or equal to 1"),
        ("pe.adders=4.0", "--set pe.adders is 4.0; it must be a valid integer"),
        ("pe.adders=true", "--set pe.adders is True; it must be a valid integer"),
        ("pe.adders=many", "--set pe.adders is 'many'; it must be a valid integer"),
        (
            "dram.model=slow",
            "--set dram.model is 'slow'; it must be 'fixed', 'banks' or 'unlimited'",
        ),
        (
            "dram.gigabytes_per_second=1e-300",
            "--set dram.gigabytes_per_second is 1e-300; it must be greater than or equal to 0.001",
        ),
        ("clock_mhz=1e300", "--set clock_mhz is 1e+300; it must be less than or equal to 1000000"),
        (
            f"dram.latency_cycles={10**30}",
            f"--set dram.latency_cycles is {10**30}; it must be less than 2147483648",
        ),
        ("dram.free=['x']", "--set dram.free is ['x']; 'x' is no kind of data of 'archon'"),
        ("clock_mhz=nan", "--set clock_mhz is nan; it must be"),
        ("clock_mhz=-1", "--set clock_mhz is -1; it must be greater than or equal to 0.001"),
        ("pe=4", "--set pe: unknown key"),
        ("pe.adders", "write KEY=VALUE"),
        ("pe.fifo_depth=3", "fifo_depth is 3 and candidates_per_adder 4"),
        ("pe.cols=65", "cols is 65; at most 64 columns are modelled"),
        ("pe.rows=100000", "rows is 100000; at most 1024 rows are modelled"),
    ],
)
def test_bad_overrides(override: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        archon(override)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_come_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        archon("pe.adders=0", "dram.model=x")
    assert len(str(caught.value).splitlines()) == 2


def test_file_lies_over_preset_and_override_over_file(tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text("clock_mhz = 800\n[pe]\nadders = 8\n")
    spec = machine_spec(MACHINE, config, ["pe.adders=7"])
    assert (spec.clock_mhz, spec.pe.adders, spec.pe.rows) == (800, 7, 8)


def test_faults_of_a_file_name_it(tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text("[pe]\nadders = 'x'\n[drm]\nmodel = 'fixed'\n")
    with pytest.raises(SpecError) as caught:
        machine_spec(MACHINE, config)
    assert f"{config}: pe.adders is 'x'" in str(caught.value)
    assert f"{config}: drm: unknown key; did you mean 'dram'?" in str(caught.value)


@pytest.mark.parametrize("text", ["clock_mhz = ", b"\xff\xfe"])
def test_a_file_that_is_no_toml(tmp_path: Path, text: str | bytes) -> None:
    config = tmp_path / "mine.toml"
    config.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SpecError, match=r"not a TOML file|is not a text file"):
        machine_spec(MACHINE, config)


def test_a_missing_file() -> None:
    with pytest.raises(SpecError, match=r"nowhere.toml: cannot be read: No such file"):
        machine_spec(MACHINE, Path("nowhere.toml"))


def test_resolved_description_reads_back(tmp_path: Path) -> None:
    spec = archon("pe.adders=7", "skip_empty_groups=true")
    config = tmp_path / "resolved.toml"
    config.write_text(to_toml(to_table(spec)))
    assert tomllib.loads(config.read_text())["pe"]["adders"] == 7
    assert machine_spec(MACHINE, config) == spec


def test_unknown_machine() -> None:
    with pytest.raises(SpecError, match=r"unknown architecture 'archn'; did you mean 'archon'\?"):
        machine("archn")
