"""The report page in a real browser: Debian's Chromium, without a screen, from file://."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from archonsim.cli.app import run_command
from archonsim.network.networks import network
from archonsim.result.files import to_json, write_text
from archonsim.trace.synthetic import synthesize
from archonsim.tracefile.writer import write_workload
from tests import results

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install 'archonsim[browser]'"
)
CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"
)

QUIET = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]
KINDS = ("run", "comparison", "sweep")
PHONE, DESKTOP = (360, 740), (1280, 900)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as engine:
        started = engine.chromium.launch(
            executable_path=CHROMIUM, args=QUIET, chromium_sandbox=os.geteuid() != 0
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    write_workload(folder / "digits.h5", *synthesize(network("fusionet_digits"), seed=1, images=2))
    write_text(folder / "compare.json", to_json(results.comparison().to_dict(runs=True)))
    results.fifo_sweep().to_csv(folder / "results.csv", index=False)
    asked = {
        "run": ["-w", str(folder / "digits.h5"), "-a", "archon", "--images", "all"],
        "comparison": [str(folder / "compare.json")],
        "sweep": [str(folder / "results.csv")],
    }
    for kind, arguments in asked.items():
        assert run_command(["report", *arguments, "-o", str(folder / f"{kind}.html")]) == 0
    return {kind: folder / f"{kind}.html" for kind in asked}


class Opened:
    """A page, and everything that went wrong on it."""

    def __init__(self, browser: Any, path: Path, size: tuple[int, int], scheme: str) -> None:
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True
        )
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console",
            lambda said: (
                self.errors.append(said.text) if said.type in ("error", "warning") else None
            ),
        )
        self.page.on("requestfailed", lambda request: self.errors.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_timeout(150)

    def pixels(self, **options: Any) -> Any:
        return imread(io.BytesIO(self.page.screenshot(**options)))[..., :3]


@pytest.fixture
def open_page(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    opened: list[Opened] = []

    def opening(kind: str, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> Opened:
        opened.append(Opened(browser, pages[kind], size, scheme))
        return opened[-1]

    yield opening
    for one in opened:
        assert one.errors == []
        one.context.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_fits_and_shows_its_landmarks(
    open_page: Any, kind: str, size: tuple[int, int], scheme: str
) -> None:
    opened = open_page(kind, size, scheme)
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    boxes = {
        name: page.locator(name).first.bounding_box()
        for name in ("h1", ".cards", "#look canvas", "#figures svg", "#tables table")
    }
    tops = [box["y"] for box in boxes.values()]
    assert tops == sorted(tops), "headline, numbers, chart, figures, tables: in this order"
    assert boxes["#look canvas"]["width"] > 0.75 * min(size[0], 1184)
    assert boxes["#figures svg"]["height"] > 100
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(map(int, background[4:-1].split(","))) < 300
    assert dark == (scheme == "dark")
    pixels = opened.pixels()
    assert pixels.shape[:2] == (size[1], size[0])
    assert (pixels.mean() < 0.4) == dark
    assert pixels.std() > 0.05, "a blank page"
    page.locator("#look canvas").first.scroll_into_view_if_needed()
    canvas = imread(io.BytesIO(page.locator("#look canvas").first.screenshot()))[..., :3]
    colours = {tuple(one) for one in (canvas.reshape(-1, 3) * 255).astype(int)[::7]}
    assert len(colours) > 8, "an empty chart"


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_sorts_both_ways(open_page: Any, kind: str) -> None:
    page = open_page(kind).page
    found = page.locator("#tables table").first
    heads = found.locator("thead th")
    rows = found.locator("tbody tr").count()
    for column in range(heads.count()):
        number = "number" in (heads.nth(column).get_attribute("class") or "")
        for direction in ("ascending", "descending"):
            heads.nth(column).locator("button").click()
            assert heads.nth(column).get_attribute("aria-sort") == direction
            keys = found.evaluate(
                "(table, column) => [...table.tBodies[0].rows].map((row) =>"
                " row.cells[column].dataset.key)",
                column,
            )
            assert len(keys) == rows
            known = [float(key) if number else key for key in keys if key]
            if number:
                assert known == sorted(known, reverse=direction == "descending")
            assert keys[: len(known)] == [key for key in keys if key], "what is unknown stays below"
    assert found.locator("thead th[aria-sort]").count() == 1


def _span(page: Any) -> float:
    """Cycles that a timeline shows: read off two places of its axis through what it says there."""
    canvas = page.locator('[data-kind="timeline"] canvas').first
    box = canvas.bounding_box()
    places = []
    for x in (0.3, 0.9):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + box["height"] - 12)
        said = page.locator('[data-kind="timeline"] .readout').first.inner_text()
        places.append(float(said.split(" cycles")[0].replace("\u202f", "")))
    return places[1] - places[0]


def test_the_timeline_zooms_pans_and_tells(open_page: Any) -> None:
    page = open_page("run").page
    page.locator("#look canvas").first.scroll_into_view_if_needed()
    whole = _span(page)
    page.locator('[data-do="in"]').first.click()
    assert _span(page) == pytest.approx(whole / 2, rel=0.05)
    page.locator("#look canvas").first.focus()
    page.keyboard.press("+")
    assert _span(page) == pytest.approx(whole / 4, rel=0.05)
    page.keyboard.press("0")
    assert _span(page) == pytest.approx(whole, rel=0.05)
    box = page.locator("#look canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 66)
    assert "cycles of work" in page.locator(".readout").first.inner_text()
    page.locator('[data-do="in"]').first.click()
    before = page.locator("#look canvas").first.screenshot()
    page.mouse.move(box["x"] + 600, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 100, steps=4)
    page.mouse.up()
    assert page.locator("#look canvas").first.screenshot() != before


def test_points_of_a_sweep_can_be_chosen(open_page: Any) -> None:
    page = open_page("sweep").page
    page.locator("#look canvas").first.scroll_into_view_if_needed()
    before = page.locator("#look canvas").first.screenshot()
    page.locator("#look select").nth(1).select_option("cycles")
    page.locator("#look select").nth(0).select_option("pe.adders")
    assert page.locator("#look canvas").first.screenshot() != before
    assert page.locator("#look .legend span").count() == 3


@pytest.mark.parametrize("kind", KINDS)
def test_it_prints_in_ink_also_from_a_dark_screen(open_page: Any, kind: str) -> None:
    opened = open_page(kind, DESKTOP, "dark")
    data = opened.page.pdf(format="A4", print_background=True)
    assert data.startswith(b"%PDF")
    assert (
        1
        <= data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") + data.count(b"/Type/Page/")
        <= 40
    )
    opened.page.emulate_media(media="print", color_scheme="dark")
    opened.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    pixels = opened.pixels()
    assert np.mean(pixels) > 0.7, "dark paper"
    assert not opened.page.locator(".tools").first.is_visible()
    opened.page.evaluate("window.dispatchEvent(new Event('afterprint'))")


def test_letters_stand_out(open_page: Any) -> None:
    """Text against what is behind it: at least 4.5 to 1 (WCAG AA), in both schemes."""
    script = """() => {
      const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
      const lum = (rgb) => rgb.map((c) => linear(c / 255))
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
      const parse = (text) => text.match(/[\\d.]+/g).map(Number);
      const behind = (one) => {
        for (let at = one; at; at = at.parentElement) {
          const found = parse(getComputedStyle(at).backgroundColor);
          if (found.length === 3 || found[3] > 0.5) return found.slice(0, 3);
        }
        return [255, 255, 255];
      };
      const names = ["h1", ".subtitle", ".card .label", ".card .note", ".help", "td", "dt",
        ".warnings h2", ".warnings li", "nav a", "pre"];
      return names.map((name) => [name, document.querySelector(name)])
          .filter(([, one]) => one).map(([name, one]) => {
          const [a, b] = [lum(parse(getComputedStyle(one).color).slice(0, 3)), lum(behind(one))];
          return [name, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
        });
    }"""
    for scheme in ("light", "dark"):
        for name, ratio in open_page("run", DESKTOP, scheme).page.evaluate(script):
            assert ratio >= 4.5, f"{name} in the {scheme} scheme: {ratio:.2f}"
