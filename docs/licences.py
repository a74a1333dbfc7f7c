"""Write docs/licences.md (``make licences``): what archonsim needs, and under which licences.

Read from the metadata of the packages in this environment, so that what is named is what the
packages say of themselves. Versions are left out: they are those of each installation.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
HEAD = """# Licences of what is needed

archonsim is under Apache-2.0 and ships no other project's code. These packages are installed beside
it; each line is what the package says of itself. `make licences` writes this page from an
environment with all extras but `networks` and `bench`, and PyTorch for CPUs.

| package | needed for | licence |
| --- | --- | --- |
"""
#: Extras of users, not of who changes the code.
EXTRAS = ("train", "onnx", "tflite", "cluster")


def licence(found: Distribution) -> str:
    """Return a package's licence: an SPDX expression, a short text, or its classifiers."""
    said = found.metadata
    if expression := said.get_all("License-Expression"):
        return str(expression[0])
    kinds = [
        one.split(" :: ")[-1]
        for one in said.get_all("Classifier") or []
        if one.startswith("License :: ") and one != "License :: OSI Approved"
    ]
    if kinds:
        return ", ".join(kinds)
    text = "".join(said.get_all("License") or []).strip().splitlines()
    return text[0][:60] if text else "not stated"


def needed(names: list[str], seen: dict[str, Distribution]) -> None:
    """Add packages, and what they need here, to `seen`."""
    for requirement in map(Requirement, names):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        extras = [*requirement.extras, ""]
        if requirement.marker and not any(
            requirement.marker.evaluate({"extra": e}) for e in extras
        ):
            continue
        if name in seen:
            continue
        try:
            seen[name] = distribution(name)
        except PackageNotFoundError:
            sys.exit(f"{name} is not installed: make licences needs the extras {', '.join(EXTRAS)}")
        needed(
            [
                one
                for one in seen[name].requires or []
                if not (marker := Requirement(one).marker)
                or any(marker.evaluate({"extra": extra}) for extra in extras)
            ],
            seen,
        )


def table() -> str:
    """Return the page."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    project = tomllib.loads(text)["project"]
    rows: dict[str, str] = {}
    for use in ("archonsim", *EXTRAS):
        every = project["optional-dependencies"]
        seen: dict[str, Distribution] = {}
        needed(project["dependencies"] if use == "archonsim" else every[use], seen)
        for name in sorted(seen):
            what = "every run" if use == "archonsim" else f"extra `{use}`"
            rows.setdefault(name, f"| {name} | {what} | {licence(seen[name])} |\n")
    return HEAD + "".join(rows.values())


if __name__ == "__main__":
    PAGE.write_text(table(), "utf-8")
