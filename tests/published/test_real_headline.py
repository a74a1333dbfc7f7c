"""The headline on real masks: its steps add up, and it takes the right files alone."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from matplotlib.patches import Rectangle
from rich.console import Console

from archonsim.errors import WorkloadError
from archonsim.reproduce import real
from archonsim.reproduce.published import read_tree
from archonsim.reproduce.real import RealHeadline, real_headline
from archonsim.runs.scenario import Scenario
from archonsim.show.figures.headline import plot_headline
from archonsim.show.terminal.real_text import render_real

WORKLOADS = Path(__file__).parents[2] / "workloads"
DIGITS = "fusionet_digits.h5"


@pytest.fixture
def headline(monkeypatch: pytest.MonkeyPatch) -> RealHeadline:
    """The published claims, on the digits' network in place of theirs."""
    entries = [{**one, "real": [DIGITS, DIGITS]} for one in read_tree("ics21")["headline"]]
    monkeypatch.setattr(real, "read_tree", lambda name: {"headline": entries})
    return real_headline(WORKLOADS, lambda run: run.execute())


def test_steps_lead_from_the_published_quotient_to_ours(headline: RealHeadline) -> None:
    assert [claim.published for claim in headline.claims] == ["5.75", "2.11"]
    for claim, published in zip(headline.claims, (4132672 / 718116, 1512504 / 718116), strict=True):
        first, *_, last = claim.steps
        assert first.what == "published"
        assert first.speedup == published
        quotient = claim.against.total_cycles / claim.archon.total_cycles
        assert last.speedup == pytest.approx(quotient)
        for report, whole in ((claim.archon, 718116), (claim.against, None)):
            moved = sum(step.cycles for step in claim.steps if step.arch == report.arch)
            if whole:
                assert moved == pytest.approx(report.total_cycles - whole)
        # Both presets have one clock, so that times are as cycles.
        assert claim.interval.value == pytest.approx(quotient)
        assert claim.interval.low <= claim.interval.value <= claim.interval.high
        assert claim.interval.images == 8


def test_the_figure_shows_each_step(headline: RealHeadline, tmp_path: Path) -> None:
    chart = plot_headline(headline)
    paths = chart.write(tmp_path, "headline")
    assert [path.suffix for path in paths] == [".png", ".pdf", ".csv"]
    assert paths[2].read_text("utf-8").splitlines() == headline.to_csv().splitlines()
    for claim, axes in zip(headline.claims, chart.axes, strict=True):
        bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
        drawn = [bar.get_x() + bar.get_width() for bar in bars]
        wanted = [*(step.speedup for step in claim.steps), claim.interval.value]
        assert drawn == pytest.approx(wanted)
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names[0] == "published"
        assert "ARCHON: stall: DRAM" in names
        assert names[-1] == "real masks"


def test_every_image_counts(headline: RealHeadline) -> None:
    claim = headline.claims[1]
    alone = Scenario(arch="archon", workload=str(WORKLOADS / DIGITS), images="all")
    assert claim.archon.total_cycles == alone.prepare().execute().total_cycles


def test_it_says_what_ran(headline: RealHeadline) -> None:
    console = Console(width=110, file=io.StringIO())
    console.print(render_real(headline))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "archon on fusionet_digits.h5" in text
    assert "test accuracy 98.00 % on 450 images" in text
    for claim in headline.claims:
        assert f"published {claim.published}, here {claim.interval.value:.2f} [" in text
    tree = headline.to_dict()
    assert [one["archon"]["masks"] for one in tree["claims"]] == ["trained", "trained"]
    lines = headline.to_csv().splitlines()
    assert len(lines) == 1 + sum(len(claim.steps) for claim in headline.claims)


def test_published_phases_add_up_to_the_published_sums() -> None:
    runs = {
        entry[side] for entry in read_tree("ics21")["headline"] for side in ("archon", "against")
    }
    for run in runs:
        whole, phases = real._published(run)
        assert sum(phases.values()) == whole


def test_missing_files_and_other_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"mobilenetv2mod_c10\.h5: no such file"):
        real_headline(tmp_path, lambda run: run.execute())
    shutil.copy(WORKLOADS / DIGITS, tmp_path / "mobilenetv2mod_c10.h5")
    with pytest.raises(WorkloadError, match="network is 'fusionet_digits'; it must be"):
        real_headline(tmp_path, lambda run: run.execute())


def test_other_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entries: list[dict[str, Any]] = [
        {**one, "real": [DIGITS, DIGITS]} for one in read_tree("ics21")["headline"]
    ]
    monkeypatch.setattr(real, "read_tree", lambda name: {"headline": entries})

    def some(run: Any) -> Any:
        import dataclasses

        if run.machine.name == "sparse":
            run = dataclasses.replace(run, images=[0, 1])
        return run.execute()

    with pytest.raises(WorkloadError, match="a speedup needs the same images on both sides"):
        real_headline(WORKLOADS, some)
