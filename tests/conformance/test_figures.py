"""Every registered kind of figure, and the one in docs/add-a-figure.md."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from archonsim.cli.app import run_command
from archonsim.errors import SpecError
from archonsim.plots import RUN, Chart, Figure, Size, figure, figure_names
from archonsim.show.figures.kind import options_of

PAGE = Path(__file__).parents[2] / "docs" / "add-a-figure.md"


@pytest.mark.parametrize("name", figure_names())
def test_a_kind_is_a_command_with_the_options_it_declares(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = figure(name)
    assert run_command(["plot", name, "--help"]) == 0
    said = capsys.readouterr().out
    assert kind.summary.rstrip(".") in said
    for option in options_of(kind):
        assert f"--{option.replace('_', '-')}" in said
    for common in ("--output", "--size", "--name"):
        assert common in said


def test_all_kinds_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["plot", "--help"]) == 0
    said = capsys.readouterr().out
    for name in figure_names():
        assert f"{name} " in said
    assert run_command(["plot", "nothing"]) == 2
    assert "No such command 'nothing'" in capsys.readouterr().err


def test_an_option_without_its_description_is_refused() -> None:
    @dataclasses.dataclass(frozen=True)
    class Bare:
        cause: str = "dram"

    def draw(run: object, options: Bare, size: Size) -> Chart:
        raise NotImplementedError

    kind = Figure(summary="", source=RUN, options=Bare, draw=draw)
    with pytest.raises(
        SpecError, match=r"Bare.cause: it must be Annotated\[TYPE, Option\(HELP\)\]"
    ):
        options_of(kind)


def _install(folder: Path, name: str, code: str, points: str) -> dict[str, str]:
    """Install a module with entry points as pip does; return the environment that has it."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}


def _archonsim(
    environment: dict[str, str], *arguments: str | Path
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "archonsim", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_page_s_example_is_a_figure(tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (toml,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    ((group, points),) = tomllib.loads(toml)["project"]["entry-points"].items()
    listed = "".join(f"{key} = {value}\n" for key, value in points.items())
    environment = _install(tmp_path, "stall_figure", code, f"[{group}]\n{listed}")

    run = ["-w", "fusionet_digits", "-a", "dense"]
    assert _archonsim(environment, "run", *run, "-o", tmp_path / "run").returncode == 0
    figures = tmp_path / "figures"
    for arguments in (["stalls", tmp_path / "run"], ["stalls", *run, "--name", "again"]):
        done = _archonsim(environment, "plot", *arguments, "-o", figures)
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in figures.iterdir()) == [
        f"{name}.{form}" for name in ("again", "stalls") for form in ("csv", "pdf", "png")
    ]
    table = pd.read_csv(figures / "stalls.csv")
    assert table.equals(pd.read_csv(figures / "again.csv"))
    result = pd.read_csv(tmp_path / "run" / "result.csv")
    assert table["stalled"].tolist() == result["stall_dram"].tolist()
    done = _archonsim(
        environment, "plot", "stalls", tmp_path / "run", "--cause", "dran", "-o", figures
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "did you mean 'dram'" in done.stderr


@pytest.mark.full
def test_a_plug_in_that_does_not_load_spoils_no_other(tmp_path: Path) -> None:
    points = "[archonsim.figures]\nbroken = broken_figure:FIGURE\nother = broken_figure:os\n"
    environment = _install(tmp_path, "broken_figure", "import os\n", points)
    shown = _archonsim(environment, "plot", "--help")
    assert shown.returncode == 0
    assert "does not load" in shown.stdout
    for name, needed in (
        ("broken", "does not load: AttributeError"),
        ("other", "must be a Figure"),
    ):
        done = _archonsim(environment, "plot", name, "x", "-o", tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert needed in done.stderr
