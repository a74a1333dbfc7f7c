"""Wrong plug-ins: each works, or is refused in one line that names it and what is missing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from archonsim.cli.app import run_command
from tests.conformance.test_page import blocks
from tests.plugin import installed, write_plugin

RUN = ("run", "-a", "hostile", "-w", "fusionet_digits")
WATERFALL = ("waterfall", "-a", "hostile", "-w", "fusionet_digits")
COMPARE = ("compare", "-a", "hostile,dense", "-w", "fusionet_digits")

#: The second machine of the page with one thing changed, and what is said of it.
REFUSED: list[tuple[str, str, str, tuple[str, ...]]] = [
    # Seen when it is loaded.
    ('ideal_includes = ("compute",)', "", "ideal_includes is missing", COMPARE),
    (
        'excludes = ("everything else",)',
        'excludes = "everything else"',
        "excludes is 'everything else'; it must be a tuple of texts",
        RUN,
    ),
    (
        "def steps(self, workload):",
        "def steps(self):",
        "steps takes (); it must take (workload)",
        RUN,
    ),
    (
        'name = "hostile"',
        'name = "other"',
        "name is 'other'; it must be the name that it is registered as",
        RUN,
    ),
    (
        "MACHINE = GatherMachine()",
        "MACHINE = GatherMachine",
        "the entry point is the class GatherMachine; it must be an object of it",
        RUN,
    ),
    ("decodes_per_cycle = 4\n", "decodes_per_cycle = 0\n", "preset: ", RUN),
    ("clock_mhz = 500", "clock_mhz = [", "preset is no TOML", RUN),
    (
        'owner="unpacking"),)',
        'owner="unpackers"),)',
        "stall cause 'unpack': owner is 'unpackers'; it must be an owner of cycles; did you mean"
        " 'unpacking'?",
        RUN,
    ),
    (
        'letter="L"',
        'letter="M"',
        "owner 'ragged': letter is 'M', which 'macs' has; it must be one letter of its own",
        RUN,
    ),
    (
        'Component(name="decoder"',
        'Component(name="mac"',
        "component 'mac' is a common one that every machine may use",
        RUN,
    ),
    (
        'holds=("input",)',
        'holds=("inputs",)',
        "buffer 'line_buffer' holds 'inputs', which is no kind of data; did you mean 'input'?",
        RUN,
    ),
    (
        'Kind(name="index"',
        'Kind(name="my index"',
        "kind of data 'my index': a name is lower-case letters, digits and underscores",
        RUN,
    ),
    ("kinds=(Kind(", "kinds=(Stall(", "vocabulary.kinds holds Stall(", RUN),
    # Seen where it is first used.
    (
        'bounds=lambda stats: {"ragged"',
        'bounds=lambda stats: {"rugged"',
        "head_conv layer: owner 'rugged' is not declared: Machine.vocabulary needs"
        " owners=(Owner(name='rugged', ...),); did you mean 'ragged'?",
        WATERFALL,
    ),
    (
        'stats.wait("unpack"',
        'stats.wait("unpacking"',
        "stall cause 'unpacking' is not declared: Machine.vocabulary needs"
        " stalls=(Stall(name='unpacking', ...),)",
        RUN,
    ),
    (
        'stats.act("decoder", "decode"',
        'stats.act("coder", "decode"',
        "component 'coder' is not declared",
        RUN,
    ),
    (
        'stats.act("decoder", "decode"',
        'stats.act("decoder", "unpack"',
        "component 'decoder' has no action 'unpack'; it has decode",
        RUN,
    ),
    ('"read", "index"', '"read", "indices"', "kind of data 'indices' is not declared", RUN),
    (
        'Transfer("line_buffer", "write"',
        'Transfer("lime_buffer", "write"',
        "a transfer of 'input' goes to 'lime_buffer' (write), which its memory system does not"
        " have; did you mean 'line_buffer'?",
        RUN,
    ),
    (
        'Transfer("line_buffer", "write", "input"',
        'Transfer("line_buffer", "write", "weight"',
        "a transfer of 'weight' passes buffer 'line_buffer', which holds input",
        RUN,
    ),
    ('        stats.wait("unpack", self.tile.unpack)\n', "", "every cycle needs one cause", RUN),
    (
        "macs=layer.macs // layer.out_channels,\n        unpack",
        "macs=layer.macs / layer.out_channels,\n        unpack",
        "macs is ",
        RUN,
    ),
    (
        "        return LayerwiseSimulation(",
        "        return None\n        return LayerwiseSimulation(",
        "prepare returns None; it must return a simulation",
        RUN,
    ),
]


def hostile(folder: Path, old: str, new: str) -> None:
    """Write the page's second machine under another name, with one thing changed in it."""
    vector, gather = blocks("python")
    files = {
        "toy_vector.py": vector,
        "toy_gather.py": gather,
        "toy_gather.toml": blocks("toml")[-1],
    }
    files["toy_gather.py"] = gather.replace('name = "gather"', 'name = "hostile"')
    hits = [name for name in files if old in files[name]]
    assert hits, f"the page no longer has {old!r}"
    files[hits[-1]] = files[hits[-1]].replace(old, new)
    write_plugin(folder, files, {"hostile": "toy_gather:MACHINE"})


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("old", "new", "message", "command"), REFUSED)
def test_is_refused_in_one_line(
    old: str,
    new: str,
    message: str,
    command: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile(tmp_path, old, new)
    with installed(tmp_path):
        code = run_command(command)
    said = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert len(said) == 1
    assert "architecture 'hostile': " in said[0]
    assert message in said[0]


def test_a_broken_plug_in_hides_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile(tmp_path, 'ideal_includes = ("compute",)', "")
    with installed(tmp_path):
        assert run_command(["archs", "-f", "json"]) == 0
        rows = {row["name"]: row["summary"] for row in json.loads(capsys.readouterr().out)}
        assert "ideal_includes is missing" in rows["hostile"]
        assert "row-stationary" in rows["dense"]
        assert run_command(["run", "-a", "dense", "-w", "fusionet_digits"]) == 0


def test_a_description_without_rows_and_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs and is compared; what needs a rectangle of PEs says so."""
    vector = re.sub(r"\bpe: ArraySpec", "lanes: int", blocks("python")[0])
    vector = vector.replace("pe = { rows = 1, cols = 64 }", "lanes = 64")
    vector = vector.replace("spec.pe.count", "spec.lanes")
    write_plugin(tmp_path, {"toy_vector.py": vector}, {"vector": "toy_vector:MACHINE"})

    def tree(*arguments: str) -> Any:
        assert run_command([*arguments, "-f", "json"]) == 0
        return json.loads(capsys.readouterr().out)

    with installed(tmp_path):
        work = ("-w", "fusionet_digits")
        run = tree("run", "-a", "vector", *work, "--trace", str(tmp_path / "t.json"))
        row = tree("compare", "-a", "vector,dense", *work)["rows"][0]
        assert (row["cycles"], row["pes"], row["rows"]) == (run["total_cycles"], 64, None)
        assert run_command(["compare", "-a", "vector,dense", *work]) == 0
        assert run_command(["report", "-a", "vector", *work, "-o", str(tmp_path / "r.html")]) == 0
        capsys.readouterr()
        for command in (
            ["compare", "-a", "dense,vector", *work, "--budget", "pes"],
            ["plot", "roofline", "-a", "vector", *work, "-o", str(tmp_path)],
        ):
            assert run_command(command) == 2
            said = capsys.readouterr().err.strip().splitlines()
            assert len(said) == 1
            assert "pe.rows and pe.cols" in said[0]


def test_a_simulation_without_an_observer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vector = blocks("python")[0].replace("return LayerwiseSimulation(", "return Unwatched(")
    vector += """

class Unwatched(LayerwiseSimulation):
    def run(self, image, on_step):
        return super().run(image, on_step)
"""
    write_plugin(tmp_path, {"toy_vector.py": vector}, {"vector": "toy_vector:MACHINE"})
    with installed(tmp_path):
        for command in (
            ("run", "-a", "vector"),
            ("compare", "-a", "vector,dense"),
            ("waterfall", "-a", "vector"),
        ):
            assert run_command([*command, "-w", "fusionet_digits"]) == 0
        capsys.readouterr()
        trace = ("--trace", str(tmp_path / "t.json"))
        assert run_command(["run", "-a", "vector", "-w", "fusionet_digits", *trace]) == 2
        assert "'vector' cannot be traced" in capsys.readouterr().err
