"""The machines of docs/add-a-machine.md, installed as plug-ins are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from archonsim.cli.app import run_command
from archonsim.network.networks import network
from tests.plugin import installed, write_plugin

PAGE = Path(__file__).parents[2] / "docs" / "add-a-machine.md"
WORK = "fusionet_digits"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write both machines of the page, in files and under names that it gives."""
    path = tmp_path_factory.mktemp("plugin")
    vector, gather = blocks("python")
    *points, technology = blocks("toml")
    registered: dict[str, str] = {}
    for text in points:
        ((_, more),) = tomllib.loads(text)["project"]["entry-points"].items()
        registered |= more
    write_plugin(
        path,
        {"toy_vector.py": vector, "toy_gather.py": gather, "toy_gather.toml": technology},
        registered,
    )
    return path


@pytest.fixture
def plugin(folder: Path) -> Iterator[None]:
    with installed(folder):
        yield


def tree(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run_command([*arguments, "-f", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def text(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run_command(arguments) == 0
    return capsys.readouterr().out


def test_the_page_s_first_machine(folder: Path) -> None:
    """In a process of its own, as a user's is."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}

    def archonsim(*arguments: str) -> Any:
        command = [sys.executable, "-m", "archonsim", *arguments, "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert {"vector", "gather"} <= {row["name"] for row in archonsim("archs")}
    ideal = archonsim(
        "run", "-a", "vector", "-w", WORK, "--fidelity", "ideal", "--set", "pe.cols=32"
    )
    head = ideal["layers"][0]
    assert head["cycles"] == 16 * 9 * 2  # channels, weights of each, vectors of 32 pixels in 64
    cycle = archonsim("run", "-a", "vector", "-w", WORK, "--set", "pe.cols=32")
    assert cycle["total_cycles"] >= ideal["total_cycles"]
    assert cycle["total_macs"] == network(WORK).macs
    compared = archonsim("compare", "-a", "vector,dense", "-w", WORK)
    assert [row["arch"] for row in compared["rows"]] == ["vector", "dense"]


@pytest.mark.full
@pytest.mark.usefixtures("plugin")
def test_words_of_a_plug_in_are_everywhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its stall cause, owners, buffer, part and kind of data: none of its cycles vanishes."""
    command = ("-a", "gather", "-w", WORK)
    run = tree(capsys, "run", *command, "--trace", str(tmp_path / "t.json"))
    head = run["layers"][0]
    # 16 channels with 9 weights each, of which 4 are unpacked a cycle.
    assert head["stalls"]["unpack"] == 16 * 3
    assert all(
        one["cycles"] == one["compute"] + sum(one["stalls"].values()) for one in run["layers"]
    )
    assert head["traffic"]["dram.read.index"] == 16 * 3
    assert head["energy"]["decoder.index"] == pytest.approx(0.3 * 16 * 9)
    words = head["traffic"]["line_buffer.write.input"]
    assert words == 16 * 64
    assert head["energy"]["line_buffer.input"] == pytest.approx(words * 10 / 8)
    timeline = (tmp_path / "t.json").read_text()
    assert "port line_buffer.write" in timeline
    assert "read index" in timeline
    rows = text(capsys, "run", *command, "-f", "csv").splitlines()
    assert "stall_unpack" in rows[0]
    table = text(capsys, "run", *command, "--breakdown", "energy")
    assert all(word in table for word in ("unpack", "decoder", "line_buffer", "index"))
    area = tree(capsys, "archs", "gather", "--area")
    assert [one["all_um2"] for one in area["components"]] == [9000.0, 450.0, 64 * 1200.0]

    fall = tree(capsys, "waterfall", *command)
    assert fall["network"]["cycles"] == run["total_cycles"]
    owners = {one["owner"]: one["cycles"] for one in fall["network"]["steps"]}
    assert sum(owners.values()) == run["total_cycles"]
    assert owners["unpacking"] == sum(one["stalls"]["unpack"] for one in run["layers"])
    assert list(owners)[:3] == ["macs", "ragged", "unpacking"]
    assert "mapping" not in owners
    drawn = text(capsys, "waterfall", *command, "--by", "layer")
    assert "decodes_per_cycle (a wider decoder)" in drawn
    assert "U unpacking" in drawn or "u unpacking" in drawn


@pytest.mark.usefixtures("plugin")
def test_a_plug_in_is_compared_swept_drawn_and_reported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ("-a", "gather", "-w", WORK)
    run = tree(capsys, "run", *command)
    for budget in ("none", "pes"):
        rows = tree(capsys, "compare", "-a", "gather,dense", "-w", WORK, "--budget", budget)["rows"]
        assert rows[0]["cycles"] == run["total_cycles"]
        assert rows[0]["area_mm2"] == pytest.approx((9000 + 450 + 64 * 1200) / 1e6)
    text(capsys, "report", *command, "-o", str(tmp_path / "r.html"))
    page = (tmp_path / "r.html").read_text()
    assert "stall: unpack" in page
    assert "port line buffer.write" in page
    text(capsys, "run", *command, "-o", str(tmp_path / "run"))
    text(capsys, "plot", "cycles", str(tmp_path / "run" / "result.json"), "-o", str(tmp_path))
    drawn = pd.read_csv(tmp_path / "cycles.csv")
    assert drawn["cycles"].sum() == run["total_cycles"]
    assert "unpack" in set(drawn["segment"])
    sweep = ("sweep", "-a", "gather,dense", "-w", WORK, "--param", "gather.decodes_per_cycle=1,4")
    text(capsys, *sweep, "-o", str(tmp_path / "s"))
    table = pd.read_csv(tmp_path / "s" / "results.csv")
    stalls = [name for name in table.columns if name.startswith("stall.")]
    assert (table["cycles"] == table["compute"] + table[stalls].sum(axis=1)).all()
    assert table[table["arch"] == "gather"]["stall.unpack"].is_monotonic_decreasing
    assert (table[table["arch"] == "dense"]["stall.unpack"] == 0).all()
