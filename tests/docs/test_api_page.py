"""The examples of ``docs/api.md`` run, and print what the page says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_examples_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    blocks = re.findall(r"^```pycon\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    examples = [example for block in blocks for example in parser.get_examples(block)]
    report: list[str] = []
    runner.run(doctest.DocTest(examples, {}, "docs/api.md", "docs/api.md", 0, text), out=report.append)
    assert runner.failures == 0, "".join(report)
    assert runner.tries == len(examples)
