"""Every command of the pages runs, and prints what the page shows.

When a model changes on purpose, ``make examples`` writes what the tutorials' commands print now
into their pages; look at the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs.pages import FENCE, ROOT, Page, commands, pages

#: Pages whose commands are all on the digits' trace, and whose shown outputs are kept up to date.
SHORT = ["docs/cycle.md", *(page for page in pages() if page.startswith("docs/tutorial-"))]
#: Pages whose code is a test elsewhere.
ELSEWHERE = {
    "docs/tutorial-your-own-network.md": "tests/export/test_tutorial.py",
    "docs/tutorial-packages.md": "tests/export/test_packages.py",
    "docs/networks.md": "tests/workload/test_network_tables.py",
    "docs/add-a-machine.md": "tests/conformance/test_page.py",
    "docs/add-a-figure.md": "tests/conformance/test_figures.py",
    "docs/add-a-predictor.md": "tests/export/test_predictors.py",
    "docs/api.md": "tests/docs/test_api_page.py",
}
#: Commands that name what the reader has to bring.
BROUGHT = ("my_technology.toml", "--data FOLDER")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the shipped workloads, in which the commands run."""
    (tmp_path / "workloads").symlink_to(ROOT / "workloads")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", [page for page in SHORT if page not in ELSEWHERE])
def test_short_pages_print_what_they_show(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Page(name, capsys)
    present = page.run()
    assert len(page.done) >= 3
    if os.environ.get("UPDATE_DOCS") == "1":
        (ROOT / name).write_text(present, "utf-8")
        return
    assert present == page.text, "make examples writes what the commands print now"


@pytest.mark.full
@pytest.mark.parametrize("name", [page for page in pages() if page not in {*SHORT, *ELSEWHERE}])
def test_the_commands_of_all_pages_run(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Page(name, capsys).run(left_out=BROUGHT)


@pytest.mark.parametrize(("name", "test"), ELSEWHERE.items())
def test_pages_that_are_tested_elsewhere_are_named_there(name: str, test: str) -> None:
    assert Path(name).name in (ROOT / test).read_text("utf-8")


def test_commands_are_found() -> None:
    text = "```\narchonsim run \\\n    -a archon  # why\n```\n```console\n$ archonsim x\ny\n```\n"
    found = [command for match in FENCE.finditer(text) for command in commands(match["fenced"])]
    assert found == ["archonsim run -a archon # why", "archonsim x"]
