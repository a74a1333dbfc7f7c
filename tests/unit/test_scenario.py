"""One description of a run: the same fields for commands, Python and sweeps."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from pathlib import Path
from typing import get_type_hints

import pytest

import archonsim
from archonsim.cli.app import run_command
from archonsim.cli.options import SETTINGS
from archonsim.errors import SpecError
from archonsim.runs.comparison import ComparisonScenario, every_pair
from archonsim.runs.scenario import Options, Scenario, Settings

DIGITS = str(Path(__file__).parents[2] / "workloads" / "fusionet_digits.h5")
FIELDS = {field.name for field in dataclasses.fields(Settings)}


def test_an_option_is_a_field_everywhere() -> None:
    hints = get_type_hints(Settings)
    assert get_type_hints(Options) == {name: hints[name] for name in FIELDS}
    assert set(SETTINGS) == FIELDS
    for function in (archonsim.run, archonsim.compare, archonsim.sweep, archonsim.advise):
        assert set(inspect.signature(function).parameters) >= FIELDS


@pytest.mark.parametrize("command", ["run", "compare", "sweep", "report", "plot cycles"])
def test_every_command_that_runs_scenarios_has_every_option(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    apart = {"config"} if command in ("compare", "report", "plot cycles") else set()
    assert all(f"--{name} " in text for name in FIELDS - apart)


def test_a_scenario_is_what_its_keywords_say() -> None:
    scenario = Scenario(arch="archon", workload=DIGITS, set={"pe.adders": 4}, images="0,2")
    result = archonsim.run(scenario)
    assert result == archonsim.run("archon", DIGITS, set=["pe.adders=4"], images=[0, 2])
    assert pickle.loads(pickle.dumps(scenario)) == scenario
    oracle = dataclasses.replace(scenario, masks="oracle")
    assert archonsim.run(oracle).report.masks == "oracle"
    assert archonsim.advise(oracle).advice.masks == "oracle"
    with pytest.raises(SpecError, match="a Scenario is a whole description"):
        archonsim.run(scenario, images=1)
    with pytest.raises(SpecError, match="workload is missing"):
        archonsim.run("archon")
    with pytest.raises(SpecError, match="fidelity is 'ideal'; advise needs cycle"):
        archonsim.advise(dataclasses.replace(scenario, fidelity="ideal"))


def test_a_comparison_holds_any_pairs() -> None:
    one = Scenario(arch="dense", workload="fusionet_c10", fidelity="ideal")
    two = Scenario(arch="archon", workload="fusionet_digits", fidelity="ideal")
    compared = archonsim.compare(ComparisonScenario(scenarios=(one, two), base="archon"))
    rows = compared.comparison.rows
    assert [(row.arch, row.workload) for row in rows] == [
        ("dense", "fusionet_c10"),
        ("archon", "fusionet_digits"),
    ]
    assert compared.comparison.base == 1
    assert rows[1].speedup == 1
    with pytest.raises(SpecError, match="--base 'sparse' is not among --arch dense,archon"):
        ComparisonScenario(scenarios=(one, two), base="sparse")
    with pytest.raises(SpecError, match="nothing to compare"):
        every_pair("archon", [], Settings())
