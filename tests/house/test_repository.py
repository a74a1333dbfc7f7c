"""The checkout itself: links in Markdown lead somewhere."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
#: ``[text](target)`` and ``![text](target)``, without a title.
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)")
CODE = re.compile(r"^```.*?^```|^( {4}|\t).*?$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def tracked(pattern: str) -> list[str]:
    """Tracked files; where there is no git (an unpacked archive), all files."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        names = done.stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")]
    return sorted(name for name in names if Path(name).match(pattern) and (ROOT / name).exists())


def links(text: str) -> list[str]:
    """Relative targets of a Markdown text, without fragments."""
    found = (unquote(target.split("#")[0]) for target in LINK.findall(CODE.sub("", text)))
    return [target for target in found if target and not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", tracked("*.md"))
def test_relative_links_and_images_lead_to_tracked_files(page: str) -> None:
    known = set(tracked("*"))
    folders = {str(parent) for name in known for parent in Path(name).parents}
    at = (ROOT / page).parent
    for target in links((ROOT / page).read_text("utf-8")):
        name = (at / target).resolve().relative_to(ROOT.resolve()).as_posix()
        assert name in known | folders, f"{page} links to {target}, which is not in the repository"


def test_links_are_found() -> None:
    text = "[a](b.md#c) ![d](e%20f.png) <https://x> [g](https://h) `[i](j)`\n\n    [k](l)\n[m](#n)"
    assert links(text) == ["b.md", "e f.png"]


@pytest.mark.parametrize("path", [one for one in tracked("*.py") if not one.startswith("tests/")])
def test_references_are_imported_by_tests_alone(path: str) -> None:
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(alias.name for alias in node.names)]
        assert not any(part.endswith("_reference") for name in names for part in name.split("."))
