"""Energy and area on the command line: every format, options, messages."""

from __future__ import annotations

import csv
import io
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from archonsim.cli.app import run_command
from archonsim.machines.registry import machine, machine_spec
from archonsim.network.networks import network
from archonsim.result.wording import number
from archonsim.trace.synthetic import synthesize
from archonsim.tracefile.writer import write_workload
from tests.laws.test_energy import SHIPPED


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("workload") / "digits.h5"
    write_workload(path, *synthesize(network("fusionet_digits"), seed=1, images=3))
    return path


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert run_command([str(one) for one in (*arguments, "--format", "json")]) == 0
    tree: dict[str, Any] = json.loads(capsys.readouterr().out)
    return tree


def test_energy_in_every_format(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "-a", "archon", "-w", str(trace)]
    tree = run_json(capsys, *arguments)
    assert tree["energy_uj"] == pytest.approx(sum(one["energy_pj"] for one in tree["layers"]) / 1e6)
    for one in tree["layers"]:
        assert one["energy_pj"] == pytest.approx(sum(one["energy"].values()))
        assert {key.rpartition(".")[0].partition(".")[0] for key in one["actions"]} == {
            key.partition(".")[0] for key in one["energy"]
        }
    assert run_command([*arguments, "-f", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    components = [key for key in rows[0] if key.startswith("energy_") and key != "energy_pj"]
    assert "energy_dram" in components
    for row, one in zip(rows, tree["layers"], strict=True):
        assert (
            float(row["energy_pj"])
            == pytest.approx(one["energy_pj"])
            == pytest.approx(sum(float(row[key]) for key in components))
        )
    assert run_command([*arguments, "--breakdown", "energy"]) == 0
    table = capsys.readouterr().out
    total = f"{tree['energy_uj']:.2f}"
    assert "energy uJ" in table
    assert [line.split()[-3] for line in table.splitlines() if line.startswith("total ")][
        -1
    ] == total
    assert {line.split()[0] for line in table.splitlines() if line.split()} >= {
        "dram",
        "glb",
        "mac",
        "weight",
        "mask",
        "compute",
    }


def test_energy_of_several_images_is_a_mean(
    trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = run_json(capsys, "run", "-a", "archon", "-w", trace, "--images", "all")
    each = [sum(layer["energy_pj"] for layer in one["layers"]) for one in tree["per_image"]]
    assert len(set(each)) == 3
    assert tree["energy_uj"] == pytest.approx(sum(each) / 3e6)


def test_energy_rules_and_files_by_option(
    trace: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "free.toml"
    shipped = files("archonsim") / "data" / "technologies" / "45nm.toml"
    path.write_text(re.sub(r"\b\d+\.\d+", "0.0", shipped.read_text("utf-8")))
    assert run_json(capsys, "run", "-a", "dense", "-w", trace, "--energy", path)["energy_uj"] == 0
    ideal = ("-w", "fusionet_c10", "--fidelity", "ideal")
    ours, theirs = (
        run_json(capsys, "run", "-a", "archon", *ideal, "--energy", rules)
        for rules in ("consistent", "ics21")
    )
    assert ours["total_cycles"] == theirs["total_cycles"]
    assert theirs["energy_uj"] > ours["energy_uj"] > 0
    tree = run_json(capsys, "compare", "-a", "archon,dense,systolic", *ideal, "--energy", "ics21")
    assert tree["rows"][0]["energy_uj"] == theirs["energy_uj"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("-a", "archon", "--energy", "ics22"),
            "--energy is 'ics22'; it must be consistent or ics21, or a technology file",
        ),
        (
            ("-a", "archon", "--energy", "nowhere.toml"),
            "nowhere.toml: cannot be read: No such file",
        ),
        (
            ("-a", "systolic", "--energy", "ics21"),
            "--energy ics21: this architecture's description has no key energy_rules",
        ),
        (
            ("-a", "archon", "--energy", "ics21"),
            "energy rules ics21 are a closed form without masks: use --fidelity ideal",
        ),
    ],
)
def test_energy_faults_are_one_line(
    arguments: tuple[str, ...], message: str, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["run", "-w", str(trace), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_unknown_energy_says_why(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", "-a", "systolic", "-w", str(trace), "--breakdown", "energy"]) == 0
    assert (
        "energy of systolic is not known: technology '45nm' lacks its parts (docs/energy.md)"
        in capsys.readouterr().out
    )


def test_area_by_component(capsys: pytest.CaptureFixture[str]) -> None:
    tree = run_json(capsys, "archs", "archon", "--area")
    assert tree["total_um2"] == pytest.approx(1_531_226.6)
    assert tree["apart_um2"] == 164_714
    assert sum(one["all_um2"] for one in tree["components"] if one["in_total"]) == pytest.approx(
        tree["total_um2"], abs=1
    )
    assert tree["pe_um2"] == pytest.approx(
        sum(
            one["um2"] for one in tree["components"] if one["where"] == "PE" and not one["estimate"]
        ),
        abs=0.1,
    )
    assert tree["estimates_um2"] == pytest.approx(
        sum(one["all_um2"] for one in tree["components"] if one["estimate"]), abs=1
    )
    assert run_command(["archs", "archon", "--area"]) == 0
    table = capsys.readouterr().out
    assert re.search(r"prediction_glb +1 +164 714.00 +164 714 +apart", table)
    assert re.search(r"PE +64 +8 471.45 +542 173 +35.4 %", table)
    for arguments, message in (
        (["archs", "fuse"], "no areas of 'fuse' are published"),
        (["archs"], "name an architecture"),
    ):
        assert run_command([*arguments, "--area"]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "pes", "pe_um2", "total_um2"),
    [
        # 16 multipliers and address adders, 32 banks that choose one of 16 products of 32 bits,
        # 250 words of weights, twice 32 x 32 sums; beside the memory of maps.
        (
            "scnn",
            64,
            16 * (1239.5 + 111.875) + 32 * 15 * 2 * 50.4 + 3474.22 * 250 / 224 + 64 * 1020.59,
            64 * 139_201.24 + 1_030_209 * 655_360 / 55_296,
        ),
        # Four lanes, each with a register and a comparison; weights and indices.
        (
            "snapea",
            64,
            4 * (1239.5 + 111.875 + 60.455 / 3) + 2 * 3474.22 * 256 / 224,
            64 * 13_427.18 + 1_030_209 * 655_360 / 55_296,
        ),
        # A join: two prefix sums of 128 x 7 bits, and as many gates.
        (
            "sparten",
            1024,
            332.25
            + 414.68 * 64 / 16
            + 3474.22 * 128 / 224
            + 1020.59
            + 2 * 128 * 7 * 111.875 / 20
            + 128 * 7 * 50.4 / 16,
            1024 * 17_843.23 + 1_030_209 * 524_288 / 55_296,
        ),
        # Two multipliers a PE.
        (
            "eyerissv2",
            192,
            485.1975 + 3013.83 + 1020.59 + 2 * 332.25,
            192 * 5_184.1175 + 1_030_209 * 98_304 / 55_296,
        ),
    ],
)
def test_areas_are_sums_of_unit_areas(
    name: str, pes: int, pe_um2: float, total_um2: float, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = run_json(capsys, "archs", name, "--area")
    assert tree["pe_um2"] == pytest.approx(pe_um2, abs=0.1)
    assert tree["total_um2"] == pytest.approx(total_um2, rel=1e-6)
    assert {one["instances"] for one in tree["components"] if one["where"] == "PE"} == {pes}
    assert run_command(["archs", name, "--area"]) == 0
    assert re.search(rf"PE +{number(pes)} ", capsys.readouterr().out)


def test_areas_of_edge_fed_arrays_need_their_parts(tmp_path: Path) -> None:
    own = "".join(
        f"[areas.{name}]\num2 = {um2}\nwords = {words}\n"
        for name, um2, words in (
            ("ifmap_sram", 100.0, 1000),
            ("filter_sram", 200.0, 1000),
            ("ofmap_sram", 300.0, 1000),
            ("pe_registers", 6.0, 3),
            ("mac", 50.0, 1),
        )
    )
    path = tmp_path / "own.toml"
    path.write_text(SHIPPED + own)
    found = machine("systolic")
    resources = found.resources(machine_spec(found, None, [f"technology={path}"]))
    assert resources.area_um2 == pytest.approx(32.768 * 600 + 4096 * 56.0)
    assert {part.component: (part.instances, part.in_pe) for part in resources.parts} == {
        **dict.fromkeys(("ifmap_sram", "filter_sram", "ofmap_sram"), (1, False)),
        **dict.fromkeys(("mac", "pe_registers"), (4096, True)),
    }
