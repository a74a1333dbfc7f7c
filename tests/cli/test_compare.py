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
        whole = archon["area_mm2"] + archon["extra_area_mm2"]
        assert abs(whole - dense["area_mm2"]) < 5665.58 / 1e6
    assert not any("numbers of PEs" in line for line in tree["warnings"])


def test_machines_that_skip_both_zeros_fit_an_area(capsys: pytest.CaptureFixture[str]) -> None:
    """With as much memory for maps as ARCHON has, whose area they then share."""
    names = ("archon", "eyerissv2", "scnn", "sparten")
    less = [f"--set={name}.glb.words=49152" for name in names[1:]]
    common = ("-w", "fusionet_digits", "-a", ",".join(names), "--fidelity", "ideal")
    archon, *others = compare(capsys, *common, *less, "--budget", "area")["rows"]
    whole = archon["area_mm2"] + archon["extra_area_mm2"]
    for row, um2 in zip(others, (5_184.12, 139_201.24, 17_843.23), strict=True):
        assert abs(whole - row["area_mm2"]) < 2 * um2 / 1e6  # sides of at most 1 to 2


def test_an_array_that_is_as_large_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """9 x 8 PEs were turned to 8 x 9: dense took 26 737 cycles for 24 517 on the digits."""
    common = ("-w", "fusionet_digits", "-a", "sparse,dense", "--fidelity", "ideal")
    _, as_is = compare(capsys, *common)["rows"]
    _, equal = compare(capsys, *common, "--budget", "pes")["rows"]
    assert (equal["rows"], equal["cols"], equal["cycles"]) == (9, 8, as_is["cycles"])
    _, smaller = compare(
        capsys, *common, "--budget", "pes", "--set", "sparse.pe.rows=7", "--set", "sparse.pe.cols=8"
    )["rows"]
    assert (smaller["rows"], smaller["cols"]) == (8, 7)  # tall, as before


@pytest.mark.parametrize("side", [65, 96, 200])
def test_equal_numbers_of_pes_are_equal_beyond_64_x_64(
    side: int, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = compare(
        capsys,
        *("-w", "fusionet_digits", "-a", "systolic,fuse", "--fidelity", "ideal"),
        *("--budget", "pes", "--set", f"systolic.pe.rows={side}"),
        *("--set", f"systolic.pe.cols={side}"),
    )
    assert [row["pes"] for row in tree["rows"]] == [side * side] * 2
    assert not any("numbers of PEs" in line for line in tree["warnings"])


def test_a_size_that_no_array_has_is_said_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    common = ("-w", "fusionet_digits", "--fidelity", "ideal", "--budget", "pes")
    prime = ("--set", "systolic.pe.rows=1", "--set", "systolic.pe.cols=67")
    tree = compare(capsys, *common, "-a", "systolic,dense", *prime)
    assert [row["pes"] for row in tree["rows"]] == [67, 66]
    assert "not like with like: different numbers of PEs: 67, 66" in tree["warnings"]
    large = ("--set", "systolic.pe.rows=100", "--set", "systolic.pe.cols=100")
    assert run_command(["compare", *common, "-a", "systolic,archon", *large]) == 2
    error = capsys.readouterr().err
    assert "'archon' would need 100 x 100 PEs: cols is 100; at most 64" in error
    assert error.count("\n") == 1


def test_area_counts_the_prediction_glb(capsys: pytest.CaptureFixture[str]) -> None:
    """Without it 54 PEs of ARCHON would fit dense's 1.438 mm2."""
    common = ("-w", "fusionet_digits", "-a", "dense,archon", "--fidelity", "ideal")
    tree = compare(capsys, *common, "--budget", "area")
    dense, archon = tree["rows"]
    assert archon["pes"] == 35
    whole = archon["area_mm2"] + archon["extra_area_mm2"]
    more = abs(whole / dense["area_mm2"] - 1)
    (line,) = [line for line in tree["warnings"] if line.startswith("areas as near")]
    assert f"archon {whole:.3f} mm2, {more:.1%}" in line


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


def test_networks_each_on_a_machine_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """The headline: modified MobileNetV2 on ARCHON, its baseline on dense and pruned on sparse."""
    pairs = "mobilenetv2_c10-ics21:dense,mobilenetv2_c10-ics21:sparse,mobilenetv2mod_c10:archon"
    keys = ("--set", "sparse.nnz=ics21", "--fidelity", "ideal")
    tree = compare(capsys, "--pair", pairs, *keys)
    assert [(row["workload"], row["arch"], row["cycles"]) for row in tree["rows"]] == [
        ("mobilenetv2_c10-ics21", "dense", 4_132_672),
        ("mobilenetv2_c10-ics21", "sparse", 1_512_504),
        ("mobilenetv2mod_c10", "archon", 718_116),
    ]
    assert round(tree["rows"][2]["speedup"], 2) == 5.75
    assert any("different networks" in line for line in tree["warnings"])


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--pair", "fusionet_digits"], "write WORKLOAD:ARCH, for example"),
        (["--pair", "fusionet_digits:dens"], "did you mean 'dense'"),
        (["--pair", "fusionet_digits:dense", "-a", "archon"], "leave out -w and -a"),
        (["-w", "fusionet_digits"], "give -w WORKLOAD and -a ARCH,ARCH, or --pair"),
    ],
)
def test_bad_pairs(arguments: list[str], needed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert needed in captured.err
    assert captured.err.count("\n") == 1
