"""The report page as text.

Self-contained, escaped, deterministic, and with all that was asked for.
"""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from archonsim.cli.app import run_command
from archonsim.network.networks import network
from archonsim.result.report import Report
from archonsim.show.figures import plot_sweep, read_sweep
from archonsim.show.page.comparison import comparison_page
from archonsim.show.page.model import Card, Page, table
from archonsim.show.page.render import render
from archonsim.show.page.run import run_page
from archonsim.show.page.sweep import sweep_page
from archonsim.show.page.timeline import run_timeline
from archonsim.trace.synthetic import synthesize
from archonsim.tracefile.writer import write_workload
from tests import results

PAGES = {
    "run": lambda: run_page(results.run()),
    "comparison": lambda: comparison_page(results.comparison()),
    "sweep": lambda: sweep_page(results.fifo_sweep()),
    "dram": lambda: sweep_page(results.dram_sweep()),
}  # fmt: skip


class Checker(HTMLParser):
    """Collects what a page refers to, and its ids, and whether its tags close."""

    VOID = frozenset({"meta", "link", "br", "img", "use"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.links += [
            values[key] or "" for key in ("href", "src", "xlink:href", "action") if key in values
        ]
        self.ids += [values["id"] or ""] if "id" in values else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", PAGES)
def test_a_page_refers_to_nothing_outside_itself(kind: str) -> None:
    text = render(PAGES[kind]())
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert len(checker.ids) == len(set(checker.ids)), "ids must be unique"
    for link in checker.links:
        assert link.startswith("data:") or (link[0] == "#" and link[1:] in checker.ids), link
    style = re.sub(r"xmlns(:xlink)?=\"[^\"]*\"", "", text)
    assert not re.search(r"url\((?!#)|@import|https?://", style)
    assert render(PAGES[kind]()) == text, "the same results, the same bytes"


def test_what_was_run_is_said() -> None:
    run = results.run()
    text = render(run_page(run))
    for needed in (
        run.digest,
        f"archonsim {run.archonsim}",
        "SYNTHETIC",
        "fifo_depth = 5",
        *run.includes,
    ):
        assert needed.replace("&", "&amp;").replace("'", "&#39;") in text
    tree = render(comparison_page(results.comparison()))
    for needed in (
        "not like with like: different numbers of PEs: 72, 64",
        "psum_words = 24",
        results.workload().digest,
    ):
        assert needed in tree


def test_names_are_escaped() -> None:
    evil = "</script><script>alert(1)</script>"
    tree = results.run().to_dict() | {"workload": f"{evil}.h5"}
    tree["layers"][0]["name"] = tree["per_image"][0]["layers"][0]["name"] = evil
    run = Report.from_dict(tree)
    text = render(run_page(run))
    assert evil not in text
    assert "&lt;/script&gt;" in text
    page = Page(
        title=evil,
        subtitle=evil,
        warnings=[evil],
        cards=[Card(evil, evil, evil)],
        tables=[table("t", evil, [evil], [[evil]])],
    )
    assert evil not in render(page)


def test_phases_of_the_timeline_fill_the_run() -> None:
    run = results.run()
    data = run_timeline(run, None)
    tracks = {track["name"]: track["spans"] for track in data["tracks"]}
    assert data["total"] == run.per_image[0].total_cycles
    for name in ("layer or block", "phase", "owners (shares)"):
        spans = tracks[name]
        assert spans[0][0] == 0
        assert spans[-1][1] == data["total"]
        assert all(before[1] == after[0] for before, after in itertools.pairwise(spans)), name
    stalled = sum(
        end - start
        for start, end, label, _ in tracks["owners (shares)"]
        if data["labels"][label] != "work"
    )
    assert stalled == sum(sum(layer.stalls.values()) for layer in run.first_image)


def test_a_table_keeps_small_and_large_figures_readable() -> None:
    made = table("t", "t", ["name", "small", "large"], [["a", 0.0204, 1092486], ["b", 13.8, None]])
    assert made.numeric == (False, True, True)
    assert [row[1].text for row in made.rows] == ["0.0204", "13.8000"]
    assert [row[2].text for row in made.rows] == ["1\u202f092\u202f486", ""]
    assert [row[2].key for row in made.rows] == ["1092486", ""]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "digits.h5"
    write_workload(file, *synthesize(network("fusionet_digits"), seed=1, images=2))
    page = tmp_path / "report.html"
    assert (
        run_command(["report", "-w", str(file), "-a", "archon", "--images", "all", "-o", str(page)])
        == 0
    )
    text = page.read_text()
    for needed in (
        "DRAM channel",
        "Where the cycles go",
        "Survival by block",
        "Time of 2 images",
        "port pred. GLB.write",
    ):
        assert needed in text
    csv = tmp_path / "results.csv"
    results.fifo_sweep().to_csv(csv, index=False)
    assert run_command(["report", str(csv), "-o", str(page)]) == 0
    capsys.readouterr()
    for arguments, needed in (
        (["-w", str(file), "-a", "archon", "-o", "page.pdf"], "its name must end in .html"),
        (["-o", str(page)], "give either result files"),
        ([str(tmp_path / "no.json"), "-o", str(page)], "No such file"),
    ):
        assert run_command(["report", *arguments]) == 2
        said = capsys.readouterr().err
        assert needed in said
        assert said.count("\n") == 1


def test_a_sweeps_folder_says_what_ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "digits.h5"
    write_workload(file, *synthesize(network("fusionet_digits"), seed=1))
    asked = [
        "sweep",
        "-a",
        "archon",
        "-a",
        "dense",
        "-w",
        str(file),
        "--param",
        "archon.pe.adders=4,6",
        "--set",
        "clock_mhz=400",
    ]
    assert run_command([*asked, "-o", str(tmp_path / "out")]) == 0
    table, page = tmp_path / "out" / "results.csv", tmp_path / "page.html"
    assert run_command(["report", str(table), "-o", str(page)]) == 0
    text = page.read_text()
    for needed in (
        "digits.h5: masks and weights are SYNTHETIC",
        "archon, but for what is varied",
        "clock_mhz = 400",
        "psum_words = 24",
    ):
        assert needed in text
    arguments = [
        "plot",
        "curve",
        str(table),
        "--x",
        "archon.pe.adders",
        "--where",
        "arch=archon",
        "-o",
        str(tmp_path / "figures"),
    ]
    assert run_command(arguments) == 0
    assert run_command(arguments[:-4] + arguments[-2:]) == 2
    assert "dense: no archon.pe.adders there to draw over" in capsys.readouterr().err
    frame = read_sweep(table)
    assert frame["mask_source"].unique().tolist() == ["synthetic"]
    assert "SYNTHETIC" in plot_sweep(frame[frame["arch"] == "archon"], "archon.pe.adders").subtitle
