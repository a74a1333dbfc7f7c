"""``run --fuse advised``: blocks that fusing makes slower run as plain layers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archonsim.cli.app import run_command
from archonsim.errors import SpecError
from archonsim.explain.fusing import choose_fused
from archonsim.machines.registry import machine, machine_spec
from archonsim.runs.scenario import Scenario
from archonsim.tracefile.find import find_workload

DIGITS = Path(__file__).parents[2] / "workloads/fusionet_digits.h5"


def test_the_network_is_no_slower_and_says_which_blocks_are_plain(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On the digits b4 is faster as three layers, which only the simulation tells."""
    line = ["run", "-a", "archon", "-w", str(DIGITS), "-f", "json"]
    assert run_command([*line, "--fuse", "advised"]) == 0
    out, error = capsys.readouterr()
    assert "3 of 4 blocks run fused" in error
    assert "b4 as plain layers: the network takes" in error
    tree = json.loads(out)
    plain = {layer["name"] for layer in tree["layers"] if layer["phase"] == "layer"}
    assert {"b4.pw1", "b4.dw", "b4.pw2"} <= plain
    as_is = Scenario(arch="archon", workload=DIGITS).prepare().execute()
    assert tree["total_cycles"] < as_is.total_cycles


def test_dense_weights_are_left_unfused_without_a_simulation(dense: Path) -> None:
    asked = machine("archon"), machine_spec(machine("archon"))
    steps: list[str] = []
    work, choices = choose_fused(find_workload(str(dense)), *asked, on_step=steps.append)
    assert not any(one.fused for one in choices)
    assert not any(block.predicted for block in work.blocks())
    assert not steps
    digits = find_workload(str(DIGITS))
    work, choices = choose_fused(digits, *asked, budget=1)
    assert not any(block.predicted for block in work.blocks())
    assert all("of memory" in one.reason for one in choices)


def test_a_machine_that_fuses_nothing_is_refused() -> None:
    asked = machine("dense"), machine_spec(machine("dense"))
    with pytest.raises(SpecError, match="dense"):
        choose_fused(find_workload(str(DIGITS)), *asked)
