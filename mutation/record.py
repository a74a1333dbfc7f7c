"""What is tried, what was measured, and why some mutants survive: the files beside this one."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
MODULES, RESULTS, SURVIVORS = HERE / "modules.toml", HERE / "results.csv", HERE / "survivors.toml"
#: The page that shows the figures, folder by folder, between the two marks.
PAGE = HERE.parent / "docs" / "mutation.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
#: Of each module's mutants that are tried, at least so many are to be killed.
LEAST_SHARE = 0.9
#: Divides the numbers of examples of property tests.
FEWER = 10
COUNTS = ("mutants", "tried", "killed", "equivalent")
COLUMNS = ("module", "mutants", "tried", "killed", "survived", "equivalent", "share")


@dataclass(frozen=True)
class Module:
    """A module and what must kill its mutants: arguments of pytest, the quickest first."""

    path: Path
    tests: tuple[str, ...]
    fewer: int


@dataclass(frozen=True)
class Row:
    """How many mutants a module has, how many were tried and killed, how many cannot be killed."""

    module: str
    mutants: int
    tried: int
    killed: int
    equivalent: int

    @property
    def share(self) -> float:
        """Killed of those tried that differ from the module in what they do; 1 if none does."""
        differ = self.tried - self.equivalent
        return self.killed / differ if differ else 1.0


def modules() -> list[Module]:
    """Return the modules of modules.toml, in its order."""
    return [
        Module(Path(name), tuple(one["tests"]), int(one.get("fewer", FEWER)))
        for name, one in tomllib.loads(MODULES.read_text("utf-8")).items()
    ]


def rows() -> list[Row]:
    """Return what was measured last."""
    if not RESULTS.exists():
        return []
    with RESULTS.open(encoding="utf-8", newline="") as file:
        return [
            Row(one["module"], *(int(one[name]) for name in COUNTS)) for one in csv.DictReader(file)
        ]


def write_rows(table: Iterable[Row]) -> None:
    """Write results.csv."""
    lines = [",".join(COLUMNS)]
    for row in table:
        survived = row.tried - row.killed
        figures = (row.mutants, row.tried, row.killed, survived, row.equivalent)
        lines.append(f"{row.module},{','.join(map(str, figures))},{row.share:.3f}")
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def summary(table: list[Row]) -> str:
    """Return the figures by folder, as the page has them."""
    lines = [
        "| folder | modules | mutants | tried | killed | survived | equivalent | killed of all |"
        " of those that differ |",
        f"| --- |{' --: |' * 8}",
    ]
    folders = list(dict.fromkeys(str(Path(row.module).parent) for row in table))
    for folder in (*folders, "all"):
        some = [row for row in table if folder in (str(Path(row.module).parent), "all")]
        mutants, tried, killed, equivalent = (
            sum(getattr(row, name) for row in some) for name in COUNTS
        )
        figures = (len(some), mutants, tried, killed, tried - killed, equivalent)
        cells = " | ".join(map(str, figures))
        shares = (killed / tried, killed / max(1, tried - equivalent))
        lines.append(f"| `{folder}` | {cells} | {' | '.join(f'{one:.1%}' for one in shares)} |")
    measured = {row.module for row in table}
    missing = [f"`{one.path}`" for one in modules() if str(one.path) not in measured]
    if missing:
        lines += ["", f"Listed, but not measured yet: {', '.join(missing)}."]
    return "\n".join(lines).replace("`all`", "all") + "\n"


def with_summary(page: str, table: list[Row]) -> str:
    """Return the page with the figures of now."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + summary(table) + "\n" + END + rest.split(END)[1]


def survivors() -> list[dict[str, str | int]]:
    """Return all of survivors.toml."""
    listed: list[dict[str, str | int]] = tomllib.loads(SURVIVORS.read_text("utf-8"))["survivor"]
    return listed


def known_survivors(module: str) -> dict[tuple[str, str, str, int], str]:
    """Return the survivors of a module by their keys (`Mutant.key`), with their reasons."""
    return {
        (str(one["function"]), str(one["was"]), str(one["now"]), int(one.get("nth", 1))): str(
            one["reason"]
        )
        for one in survivors()
        if one["module"] == module
    }


def as_toml(module: str, key: tuple[str, str, str, int]) -> str:
    """Write a survivor as survivors.toml has it, with its reason to be filled in."""
    function, was, now, nth = key
    texts = {"module": module, "function": function, "was": was, "now": now}
    lines = ["[[survivor]]", *(f"{name} = {json.dumps(text)}" for name, text in texts.items())]
    return "\n".join([*lines, *([f"nth = {nth}"] if nth > 1 else []), 'reason = ""', ""])
