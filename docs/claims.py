"""Check what README and docs/ claim (``make claims``): run each claim's command, compare figures.

``claims.toml`` holds the claims; docs/artifact.md shows them as a table (``--table`` writes it).
Commands run in order from the top of the repository, each once, whatever number of claims it
serves. The exit code is 1 if a claim fails.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLAIMS = ROOT / "docs" / "claims.toml"
PAGE = ROOT / "docs" / "artifact.md"
TABLE = re.compile(r"(<!-- begin: claims -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A figure, and how it is got.

    Attributes
    ----------
    claim, where : str
        What is claimed, and on which page.
    command : str
        As typed at the top of the repository.
    find : str
        Regular expression whose first group is the figure in what the command prints; spaces
        between digits are left out. Empty where a file is compared.
    expected : float
        The figure.
    tolerance : float
        How far from it, in percent of it, the figure may be; 0: not at all.
    same : str
        In place of `find` and `expected`: a tracked file that equals the one of the same name in
        ``results/claims``, byte by byte.
    seconds : float
        About how long the command takes, on two cores.
    """

    claim: str
    where: str
    command: str
    seconds: float
    find: str = ""
    expected: float = 0
    tolerance: float = 0
    same: str = ""

    @property
    def wanted(self) -> str:
        """The expected figure, for people."""
        return f"equal to {Path(self.same).name}" if self.same else number(self.expected)

    def check(self, printed: str) -> tuple[str, bool]:
        """Return what came out, and whether it is what is claimed."""
        if self.same:
            made = ROOT / "results" / "claims" / Path(self.same).name
            equal = made.exists() and made.read_bytes() == (ROOT / self.same).read_bytes()
            return ("equal" if equal else "differs" if made.exists() else "missing"), equal
        match = re.search(self.find, printed, re.MULTILINE)
        if match is None:
            return "not printed", False
        got = float(re.sub(r"\s", "", match[1]))
        return number(got), abs(got - self.expected) <= self.tolerance / 100 * abs(self.expected)


def number(value: float) -> str:
    """Return a figure with its thousands apart."""
    return f"{value:,.10g}".replace(",", " ")


def claims() -> list[Claim]:
    """Return the claims, in the order in which they run."""
    return [Claim(**one) for one in tomllib.loads(CLAIMS.read_text("utf-8"))["claim"]]


def run(command: str) -> str:
    """Return what a command prints; what it says on its standard error where it fails."""
    program, *words = shlex.split(command)
    front = {"archonsim": [sys.executable, "-m", "archonsim"], "python": [sys.executable]}[program]
    done = subprocess.run([*front, *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else f"exit code {done.returncode}\n{done.stderr}"


def table() -> str:
    """Return the claims as a Markdown table."""
    lines = ["| claim | command | expected | tolerance | time |", "| --- | --- | --- | --- | --- |"]
    shown = ""
    for one in claims():
        again = one.command == shown
        command = "as above" if again else "`" + one.command.replace("|", r"\|") + "`"
        took = "" if again else f"{one.seconds:.0f} s"
        within = f"{one.tolerance:g} %" if one.tolerance else "none"
        lines.append(
            f"| {one.claim} ({one.where}) | {command} | {one.wanted} | {within} | {took} |"
        )
        shown = one.command
    return "\n".join(lines)


def checked(asked: list[Claim]) -> Iterator[tuple[Claim, str, bool, float]]:
    """Run claims; yield each with what came out, whether that is right, and the seconds taken."""
    printed: dict[str, str] = {}
    for one in asked:
        start = time.perf_counter()
        if one.command not in printed:
            printed[one.command] = run(one.command)
        got, right = one.check(printed[one.command])
        yield one, got, right, time.perf_counter() - start


def main() -> None:
    """Check the claims that are asked for, or write the page's table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", default="", help="claims in which this regular expression is found"
    )
    parser.add_argument("--table", action="store_true", help="write the table of docs/artifact.md")
    given = parser.parse_args()
    if given.table:
        text = PAGE.read_text("utf-8")
        PAGE.write_text(TABLE.sub(lambda match: f"{match[1]}{table()}\n{match[2]}", text), "utf-8")
        return
    asked = [one for one in claims() if re.search(given.only, one.claim)]
    failed = 0
    for one, got, right, took in checked(asked):
        failed += not right
        verdict = "ok" if right else "FAILED"
        line = f"{verdict:6}  {one.claim}: expected {one.wanted}, got {got}  ({took:.0f} s)\n"
        sys.stdout.write(line)
        sys.stdout.flush()
    sys.stdout.write(f"{len(asked) - failed} of {len(asked)} claims hold\n")
    sys.exit(1 if failed or not asked else 0)


if __name__ == "__main__":
    main()
