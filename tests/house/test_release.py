"""What a release is made of: bounds, licences and the version in one place."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import archonsim

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_version_stands_in_one_place_and_the_citation_agrees() -> None:
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT
    citation = re.search(
        r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE
    )
    assert citation is not None
    assert citation[1].strip("\"'") == archonsim.__version__


def test_every_requirement_has_a_lower_bound() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "bounds.py", "train", "onnx", "tflite", "cluster", "test"],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) > len(PROJECT["dependencies"])
    assert all(re.fullmatch(r"[\w.-]+==[\d.]+", line) for line in lines)


def test_every_requirement_has_a_licence_on_the_page() -> None:
    page = (ROOT / "docs" / "licences.md").read_text("utf-8")
    listed = dict(re.findall(r"^\| ([\w.-]+) \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE))
    for requirement in PROJECT["dependencies"]:
        name = re.split(r"[^\w-]", requirement)[0].replace("_", "-").lower()
        assert listed[name] != "not stated"
