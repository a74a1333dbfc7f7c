"""The examples of ``docs/api.md`` run, and print what the page says.

When a model changes on purpose, ``make examples`` writes what they print now into the page; look at
the diff.
"""

from __future__ import annotations

import doctest
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "api.md"
BLOCK = re.compile(r"^```pycon\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Runner(doctest.DocTestRunner):
    """Runs examples and keeps what each printed."""

    def __init__(self) -> None:
        super().__init__(optionflags=doctest.NORMALIZE_WHITESPACE)
        self.printed: list[str] = []
        self.said: list[str] = []

    def report_success(self, out, test, example, got) -> None:  # type: ignore[no-untyped-def]
        self.printed.append(example.want)

    def report_failure(self, out, test, example, got) -> None:  # type: ignore[no-untyped-def]
        self.printed.append(got)
        self.said.append(f"{example.source}expected:\n{example.want}got:\n{got}")


def _written(examples: list[doctest.Example], printed: list[str]) -> str:
    lines = []
    for example, got in zip(examples, printed, strict=True):
        first, *rest = example.source.splitlines()
        lines += [f">>> {first}", *(f"... {line}".rstrip() for line in rest), *got.splitlines()]
    return "```pycon\n" + "\n".join(lines) + "\n```"


def test_the_examples_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = PAGE.read_text("utf-8")
    parser, runner = doctest.DocTestParser(), Runner()
    blocks = [parser.get_examples(block) for block in BLOCK.findall(text)]
    assert len(blocks) >= 6
    examples = [example for block in blocks for example in block]
    runner.run(doctest.DocTest(examples, {}, PAGE.name, str(PAGE), 0, text), out=lambda line: None)
    assert len(runner.printed) == len(examples), "an example raised an error"
    if os.environ.get("UPDATE_DOCS") == "1":
        todo = iter(runner.printed)
        written = iter([_written(block, [next(todo) for _ in block]) for block in blocks])
        PAGE.write_text(BLOCK.sub(lambda match: next(written), text), "utf-8")
        return
    assert not runner.said, "\n".join(runner.said)
