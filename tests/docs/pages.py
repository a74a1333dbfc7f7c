"""Commands and shown outputs of a page, run as they stand there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from archonsim.cli.app import run_command
from docs.refresh import BLOCK, chosen

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```\w*\n(?P<fenced>.*?)^```$", re.MULTILINE | re.DOTALL)
#: A shown output, or any other fenced block.
PIECE = re.compile(f"{BLOCK.pattern}|{FENCE.pattern}", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# file: (\S+)\n")


@dataclass
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def pages() -> list[str]:
    """README and the pages of docs/, by their names in the repository."""
    return ["README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]


def commands(block: str) -> Iterator[str]:
    """Yield the archonsim commands of a fenced block; ``\\`` at a line's end joins lines."""
    lines = block.replace("\\\n", " ").splitlines()
    for line in lines:
        line = line.removeprefix("$ ").strip()
        if line.startswith("archonsim ") and not line.startswith("archonsim: "):
            yield " ".join(line.split())


class Page:
    """A page at work in the present folder.

    Attributes
    ----------
    done : dict
        What each command said that has run.
    """

    def __init__(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.text = (ROOT / name).read_text("utf-8")
        self.capsys = capsys
        self.done: dict[str, Said] = {}

    def say(self, command: str) -> Said:
        """Run a command, once."""
        words = shlex.split(command, comments=True)
        key = shlex.join(words)
        if key not in self.done:
            self.capsys.readouterr()
            code = run_command(words[1:])
            said = self.capsys.readouterr()
            self.done[key] = Said(code, said.out, said.err)
        return self.done[key]

    def run(self, left_out: tuple[str, ...] = ()) -> str:
        """Run everything in order; return the page with its shown outputs as printed now.

        Parameters
        ----------
        left_out
            Commands that contain one of these are left out.
        """
        parts, at = [], 0
        for match in PIECE.finditer(self.text):
            parts.append(self.text[at : match.start()])
            parts.append(self._shown(match) if match["command"] else self._block(match, left_out))
            at = match.end()
        return "".join([*parts, self.text[at:]])

    def _shown(self, match: re.Match[str]) -> str:
        said = self.say(match["command"])
        assert (said.code != 0) == bool(match["fails"]), f"{match['command']}: {said}"
        lines = [line.rstrip() for line in (said.err if match["fails"] else said.out).splitlines()]
        head = match[0].splitlines()[0]
        if match["lines"] == "none":
            return f"{head}\n<!-- end -->"
        return "\n".join([head, "```", *chosen(lines, match["lines"]), "```", "<!-- end -->"])

    def _block(self, match: re.Match[str], left_out: tuple[str, ...]) -> str:
        if file := FILE.match(match["fenced"]):
            Path(file[1]).write_text(match["fenced"], "utf-8")
        for command in commands(match["fenced"]):
            if not any(part in command for part in left_out):
                said = self.say(command)
                assert said.code == 0, f"{command}\n{said.err}"
        return match[0]
