"""Run the commands whose output README.md shows, and put what they print into it (``make readme``).

A shown output stands between ``<!-- begin: COMMAND; lines 1-4, 9- -->`` and ``<!-- end -->``: line
numbers as printed, from 1, left out lines become ``...``; without ``lines`` all of it; ``lines
none`` only runs the command, for the files that it writes; ``lines matching PATTERN`` are those in
which a regular expression is found. Commands run in order, from the top of the repository; figures
that they leave in ``results/figures`` are copied over those of the same name in ``docs/figures``.

The outputs that pages in ``docs/`` show are checked and refreshed by tests/docs (``make
examples``), where ``; fails`` behind a command means that its error is shown.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "README.md"
BLOCK = re.compile(
    r"<!-- begin: (?P<command>archonsim [^;]*?)(?P<fails>; fails)?(?:; lines (?P<lines>[^>]*?))?"
    r" -->\n.*?<!-- end -->",
    re.DOTALL,
)


def run(command: str) -> list[str]:
    """Return the lines that a command prints on its standard output."""
    words = [sys.executable, "-m", "archonsim", *shlex.split(command)[1:]]
    done = subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return [line.rstrip() for line in done.stdout.splitlines()]


def chosen(lines: list[str], ranges: str | None) -> list[str]:
    """Return the lines of ranges such as ``1-4, 9-``, or those ``matching`` a pattern."""
    if ranges is None:
        return lines
    if ranges.startswith("matching "):
        return [line for line in lines if re.search(ranges.removeprefix("matching "), line)]
    shown: list[str] = []
    for part in ranges.split(","):
        first, _, last = part.strip().partition("-")
        start = int(first) - 1 if first else 0
        shown += ["..."] if shown and start else []
        shown += lines[start : int(last) if last else len(lines)]
    return shown


def refreshed(match: re.Match[str]) -> str:
    """Run one block's command; return the block with its present output."""
    lines = run(match["command"])
    head, end = match[0].splitlines()[0], "<!-- end -->"
    if match["lines"] == "none":
        return f"{head}\n{end}"
    return "\n".join([head, "```", *chosen(lines, match["lines"]), "```", end])


def main() -> None:
    """Refresh the page and its figures."""
    text = BLOCK.sub(refreshed, PAGE.read_text("utf-8"))
    for figure in (ROOT / "docs" / "figures").glob("*.png"):
        new = ROOT / "results" / "figures" / figure.name
        if new.exists():
            shutil.copyfile(new, figure)
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
