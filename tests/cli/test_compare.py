"""``archonsim compare``: figures, warnings, budgets, infeasible points."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from archonsim.cli.app import run_command


def compare(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run_command(["compare", *arguments, "--format", "json"]) == 0
    tree: dict[str, Any] = json.loads(capsys.readouterr().out)
    return tree


def test_headline_of_ics21(capsys: pytest.CaptureFixture[str]) -> None:
    """Modified MobileNetV2 on ARCHON against its baseline on dense.

    5.75x, heads and tails included.
    """
    tree = compare(
        capsys,
        "-w",
        "mobilenetv2_c10-ics21",
        "-w",
        "mobilenetv2mod_c10",
        "-a",
        "dense,archon",
        "--fidelity",
        "ideal",
        "--set",
        "dense.mapping=ics21",
    )
    rows = {(row["workload"], row["arch"]): row for row in tree["rows"]}
    assert rows["mobilenetv2_c10-ics21", "dense"]["cycles"] == 4_132_672
    assert rows["mobilenetv2mod_c10", "archon"]["cycles"] == 718_116
    assert round(rows["mobilenetv2mod_c10", "archon"]["speedup"], 2) == 5.75
    assert any("different networks" in line for line in tree["warnings"])
    assert any("different numbers of PEs" in line for line in tree["warnings"])


def test_an_infeasible_point_is_a_row_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    tree = compare(capsys, "-w", "fusionet_digits", "-a", "systolic,archon")
    systolic, archon = tree["rows"]
    assert systolic["cycles"] > 0
    assert archon["cycles"] is None
    assert "shapes only" in archon["reason"]
    assert any(line.startswith("fusionet_digits on archon: not run") for line in tree["warnings"])


@pytest.mark.parametrize("budget", ["pes", "area"])
def test_budgets_agree_within_one_pe(budget: str, capsys: pytest.CaptureFixture[str]) -> None:
    tree = compare(
        capsys,
        "-w",
        "fusionet_digits",
        "-a",
        "archon,dense",
        "--fidelity",
        "ideal",
        "--budget",
        budget,
    )
    archon, dense = tree["rows"]
    if budget == "pes":
        assert archon["pes"] == dense["pes"] == 64
    else:
        assert abs(archon["area_mm2"] - dense["area_mm2"]) < 5665.58 / 1e6
    assert not any("numbers of PEs" in line for line in tree["warnings"])


def test_published_areas(capsys: pytest.CaptureFixture[str]) -> None:
    tree = compare(capsys, "-w", "fusionet_digits", "-a", "archon,dense", "--fidelity", "ideal")
    assert [round(row["area_mm2"], 3) for row in tree["rows"]] == [1.531, 1.438]
    assert round(tree["rows"][0]["area_mm2"] + tree["rows"][0]["extra_area_mm2"], 3) == 1.696


def test_different_clocks_are_compared_by_time_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    slow, fast = (
        compare(
            capsys,
            "-w",
            "fusionet_digits",
            "-a",
            "archon,dense",
            "--fidelity",
            "ideal",
            "--set",
            f"dense.clock_mhz={clock}",
        )
        for clock in (500, 1000)
    )
    assert fast["rows"][1]["speedup"] == pytest.approx(2 * slow["rows"][1]["speedup"])
    assert any("different clocks" in line for line in fast["warnings"])


def test_table_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "compare",
        "-w",
        "fusionet_digits",
        "-a",
        "archon,dense",
        "--fidelity",
        "ideal",
        "--base",
        "dense",
    ]
    assert run_command([*arguments, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert float(rows[1]["speedup"]) == 1
    assert run_command(arguments) == 0
    table = capsys.readouterr().out
    assert "speedup over fusionet_digits on dense" in table
    assert "not like with like" in table


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["-a", "archon,dens"], "did you mean 'dense'"),
        (["-a", "archon", "--base", "dense"], "--base 'dense' is not among"),
        (["-a", "archon", "--set", "pe.rows=4"], "write ARCH.KEY=VALUE"),
        (["-a", "archon", "--set", "archon.pe.row=4"], "did you mean 'pe.rows'"),
        (["-a", "archon,systolic", "--budget", "area"], "no area of 'systolic' is published"),
    ],
)
def test_bad_input(arguments: list[str], needed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["compare", "-w", "fusionet_digits", *arguments]) == 2
    captured = capsys.readouterr()
    assert needed in captured.err
    assert captured.err.count("\n") == 1
