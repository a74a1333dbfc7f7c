"""The documentation site's sources; ``make docs`` builds it and fails at links to nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="mkdocs is not installed (extra 'docs')")

from docs.theme.hooks import NAVIGATION, PAGES, relinked

ROOT = Path(__file__).parents[2]
GALLERY = (ROOT / "docs" / "gallery.md").read_text("utf-8")


def figures() -> list[str]:
    found = [*(ROOT / "docs" / "figures").glob("*.png"), *(ROOT / "benchmarks").rglob("*.png")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


@pytest.mark.parametrize("figure", figures())
def test_the_gallery_has_every_figure_and_below_it_its_command(figure: str) -> None:
    target = figure.removeprefix("docs/") if figure.startswith("docs/") else f"../{figure}"
    shown = re.search(rf"!\[[^\]]+\]\({re.escape(target)}\)\n\n```\n(.*?)```", GALLERY, re.DOTALL)
    assert shown is not None
    name = Path(figure).stem
    last = shown[1].replace("\\\n", " ").splitlines()[-1]
    if last.startswith("archonsim reproduce "):  # which names the figure itself
        assert name == "headline"
        return
    assert last.startswith(("archonsim plot ", "python benchmarks/"))
    assert name in last.replace(".py", "").replace("/", " ").split()


@pytest.mark.parametrize(
    ("source", "text", "linked"),
    [
        ("README.md", "[a](docs/archon.md#x)", "[a](archon.md#x)"),
        ("docs/archon.md", "[a](../README.md)", "[a](index.md)"),
        ("docs/archon.md", "![a](figures/cycles.png)", "![a](figures/cycles.png)"),
        ("docs/x.md", "[t](../rtl/area.csv)", "[t](files/rtl/area.csv)"),
        ("docs/x.md", "[the bench](../rtl)", "the bench"),
        ("docs/x.md", "`[a](../README.md)` [b](https://c) [d](#e)", None),
        ("docs/x.md", "```\n[a](../README.md)\n```", None),
        ("README.md", "[docs/plots.md](docs/plots.md)", "[Figures](plots.md)"),
    ],
)
def test_links_become_those_of_the_site(source: str, text: str, linked: str | None) -> None:
    copies: set[str] = set()
    assert relinked(text, source, copies) == (linked or text)
    assert copies == ({"rtl/area.csv"} if "area.csv" in text else set())


def test_every_page_is_in_the_navigation() -> None:
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert set(NAVIGATION) == pages | set(PAGES.values())
    assert all((ROOT / name).exists() for name in PAGES)
