"""``archonsim waterfall`` and ``archonsim ledger``: contracts, formats, messages."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from archonsim.cli.app import run_command
from archonsim.network.networks import network
from archonsim.trace.synthetic import synthesize
from archonsim.tracefile.writer import write_workload
from archonsim.vocabulary.owners import BY_NAME


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("workload") / "digits.h5"
    write_workload(path, *synthesize(network("fusionet_digits"), seed=1, images=2))
    return str(path)


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run_command([str(one) for one in arguments]) == 0
    return capsys.readouterr().out


def tree_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    return json.loads(output(capsys, *arguments, "-f", "json"))


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def spaced(value: int) -> str:
    return f"{value:,}".replace(",", " ")


@pytest.mark.parametrize("arch", ["archon", "dense", "systolic"])
def test_a_waterfall_ends_at_what_run_takes(
    trace: str, arch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = tree_of(capsys, "run", "-a", arch, "-w", trace, "--set", "dram.gigabytes_per_second=5")
    fall = tree_of(
        capsys, "waterfall", "-a", arch, "-w", trace, "--set", "dram.gigabytes_per_second=5"
    )
    assert fall["total_cycles"] == fall["network"]["steps"][-1]["cumulative"] == ran["total_cycles"]
    assert fall["machine"] == ran["machine"]
    assert fall["digest"] == ran["digest"]
    assert [(one["name"], one["phase"], one["cycles"]) for one in fall["phases"]] == [
        (one["name"], one["phase"], one["cycles"]) for one in ran["layers"]
    ]
    assert (
        {step["owner"] for step in fall["network"]["steps"]}
        <= fall["owners"].keys()
        == BY_NAME.keys()
    )


def test_formats_of_a_waterfall_say_the_same(
    trace: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["waterfall", "-a", "archon", "-w", trace, "-o", tmp_path / "out"]
    tree = tree_of(capsys, *command)
    assert json.loads((tmp_path / "out" / "waterfall.json").read_text()) == tree
    for grain, key in (("layer", "layers"), ("phase", "phases")):
        rows = rows_of(output(capsys, *command, "--by", grain, "-f", "csv"))
        steps = [(one["name"], step) for one in tree[key] for step in one["steps"]]
        assert [
            (row["name"], row["owner"], int(row["cycles"]), int(row["cumulative"])) for row in rows
        ] == [(name, step["owner"], step["cycles"], step["cumulative"]) for name, step in steps]
    assert rows_of((tmp_path / "out" / "waterfall.csv").read_text()) == rows
    table = output(capsys, *command)
    for step in tree["network"]["steps"]:
        line = next(
            line for line in table.splitlines() if line.startswith(BY_NAME[step["owner"]].title)
        )
        assert spaced(step["cycles"]) in line
        assert spaced(step["cumulative"]) in line
    for needed in ("SYNTHETIC", "bias_terms", "█", "500 MHz", "masks: trace"):
        assert needed in table


@pytest.mark.parametrize("grain", ["layer", "phase"])
def test_a_line_for_each_layer_or_phase_fits_a_terminal(
    trace: str, grain: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = output(capsys, "waterfall", "-a", "archon", "-w", trace, "--by", grain)
    bars = table.partition("\n\n")[2].partition("\n\n")[0].splitlines()
    assert all(len(line.rstrip()) <= 80 for line in bars)
    tree = tree_of(capsys, "waterfall", "-a", "archon", "-w", trace)
    for one in tree[f"{grain}s"]:
        assert any(spaced(one["cycles"]) in line for line in bars)
    assert spaced(tree["total_cycles"]) in bars[-1]


def test_what_if_masks_and_images_of_a_waterfall(
    trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["waterfall", "-a", "archon", "-w", trace]
    everything = tree_of(capsys, *command, "--masks", "all")
    nothing = tree_of(capsys, *command, "--masks", "random:0")
    assert nothing["total_cycles"] < everything["total_cycles"]
    assert "imbalance" not in {step["owner"] for step in nothing["network"]["steps"]}
    both = tree_of(capsys, *command, "--images", "all")
    each = [tree_of(capsys, *command, "--images", image)["total_cycles"] for image in (0, 1)]
    assert both["total_cycles"] == pytest.approx(sum(each) / 2)
    assert "mean of images 0, 1" in output(capsys, *command, "--images", "all")


def test_a_ledger_books_what_inspect_counts_and_run_takes(
    trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tree_of(capsys, "ledger", "-w", trace)
    for masks, cost in book["runs"].items():
        ran = tree_of(capsys, "run", "-a", "archon", "-w", trace, "--masks", masks)
        assert cost == {
            "cycles": ran["total_cycles"],
            "adds": ran["total_adds"],
            "macs": ran["total_macs"],
        }
    inspected = tree_of(capsys, "inspect", trace, "--images", "0")["blocks"]
    keys = ("activations", "hits", "false_alarms", "misses")
    assert [{key: one[key] for key in keys} for one in book["relus"]] == [
        {key: block[relu][key] for key in keys}
        for block in inspected
        for relu in ("relu1", "relu2")
    ]


def test_formats_of_a_ledger_say_the_same(
    trace: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["ledger", "-w", trace, "--images", "all", "-o", tmp_path / "out"]
    tree = tree_of(capsys, *command)
    assert json.loads((tmp_path / "out" / "ledger.json").read_text()) == tree
    text = output(capsys, *command, "-f", "csv")
    assert (tmp_path / "out" / "ledger.csv").read_text() == text
    assert [{key: str(value) for key, value in one.items()} for one in tree["relus"]] == rows_of(
        text
    )
    table = output(capsys, *command)
    tables = table.partition("\n\n")[2].partition("\n\nfalse alarms cost")[0]
    assert all(len(line.rstrip()) <= 80 for line in tables.splitlines())
    for needed in (
        "SYNTHETIC",
        "sums over images 0, 1",
        "perfect prediction",
        spaced(tree["runs"]["oracle"]["cycles"]),
    ):
        assert needed in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["waterfall", "-a", "archon", "-w", "fusionet_digits"], "has shapes only"),
        (["waterfall", "-a", "archom", "-w", "fusionet_digits"], "did you mean 'archon'"),
        (
            ["waterfall", "-a", "archon", "-w", "fusionet_digits", "--set", "pe.adder=1"],
            "did you mean 'pe.adders'",
        ),
        (["waterfall", "-a", "dense", "-w", "fusionet_digits", "--images", "7"], "--images 7"),
        (["ledger", "-w", "fusionet_digits"], "has shapes only"),
        (["ledger", "-w", "nowhere.h5"], "nowhere.h5"),
    ],
)
def test_faults_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_shapes_are_enough_where_no_masks_are_needed(capsys: pytest.CaptureFixture[str]) -> None:
    fall = tree_of(capsys, "waterfall", "-a", "dense", "-w", "fusionet_digits")
    assert (
        fall["total_cycles"]
        == tree_of(capsys, "run", "-a", "dense", "-w", "fusionet_digits")["total_cycles"]
    )
    assert "shapes only" in output(capsys, "waterfall", "-a", "systolic", "-w", "fusionet_digits")
