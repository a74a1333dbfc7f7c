"""The queue: what is missing, in order, within the time there is.

And the tables of what came out.
"""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")
pytest.importorskip(
    "sklearn", reason="scikit-learn, which brings the digits, is not installed (extra 'train')"
)

import typer  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402
from workloads import queue, tables  # noqa: E402
from workloads.checkpoint import UnfinishedError  # noqa: E402
from workloads.data import Split, load  # noqa: E402
from workloads.queue import work_off  # noqa: E402
from workloads.recipe import Phase, Recipe, Stage  # noqa: E402
from workloads.results import FOLDER, read_results  # noqa: E402

VANILLA = Phase(
    flavour="vanilla", stages=(Stage(epochs=1, batch=30, resolution=8),), peak_rate=0.05
)
ONE = Recipe(
    name="one",
    network="fusionet_digits",
    dataset="digits",
    note="",
    flip=False,
    phases=(VANILLA,),
    fused=True,
)
TWO = dataclasses.replace(ONE, name="two")
ABSENT = dataclasses.replace(ONE, network="fusionet_c100", dataset="cifar100")


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue's own data, but 90 training images and 40 to test."""

    def some(dataset: str, split: str, root: Path | None) -> Split:
        whole, count = load(dataset, split, root), 90 if split == "train" else 40
        return dataclasses.replace(whole, images=whole.images[:count], labels=whole.labels[:count])

    monkeypatch.setattr(queue, "load", some)


class Listener:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps = 0

    def step(self, phase: str, step: int, steps: int, loss: object, rate: float) -> None:
        self.steps += 1

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.full
def test_what_is_finished_is_not_trained_again_and_missing_data_is_said(tmp_path: Path) -> None:
    first, again = Listener(), Listener()
    assert work_off([ABSENT, ONE, TWO], tmp_path, tmp_path, first, None) == ["fusionet_c100"]
    assert "no CIFAR-100 here" in first.lines[0]
    assert first.steps == 6
    assert work_off([ONE, TWO], tmp_path, tmp_path, again, None) == []
    assert (again.steps, again.lines) == (0, [])


def test_time_that_is_up_stops_between_steps_and_the_next_call_goes_on(tmp_path: Path) -> None:
    listener = Listener()
    with pytest.raises(UnfinishedError, match="fusionet_digits: not begun"):
        work_off([ONE], None, tmp_path, listener, time.monotonic() - 1)
    assert listener.steps == 0

    late = time.monotonic() + 5  # time enough for the first step, however slow the machine

    class Slow(Listener):
        def step(self, *arguments: Any) -> None:
            super().step(*arguments)
            time.sleep(max(0.0, late + 0.01 - time.monotonic()))

    slow = Slow()
    with pytest.raises(UnfinishedError, match="vanilla: step 1 of 3"):
        work_off([ONE, TWO], None, tmp_path, slow, late)
    work_off([ONE, TWO], None, tmp_path, listener, None)
    assert slow.steps + listener.steps == 6


def test_command_line(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(queue.main)
    common = ["--only", "fusionet_digits", "--out", str(tmp_path)]
    stopped = CliRunner().invoke(app, [*common, "--recipe", "cpu", "--minutes", "0"])
    assert (stopped.exit_code, "the same command goes on" in stopped.stderr) == (75, True)
    wrong = CliRunner().invoke(app, [*common, "--recipe", "gpu"])
    assert (wrong.exit_code, "no recipe for 'fusionet_digits'" in wrong.stderr) == (2, True)
    assert len(wrong.stderr.splitlines()) == 1  # however long


@pytest.mark.sampled(2)
@pytest.mark.parametrize("path", tables.PAGES, ids=lambda path: path.name)
def test_pages_show_what_the_results_and_files_say(path: Path) -> None:
    """After a change: python -m workloads.tables."""
    page = path.read_text("utf-8")
    assert tables.filled(page, tables.PAGES[path]) == page


def test_results_of_shipped_files_are_those_in_the_files() -> None:
    results = read_results(FOLDER)
    for path in sorted(tables.HERE.glob("*.h5")):
        about = open_workload(path).provenance
        result = results[about.network, about.flavour]
        assert (result.test_accuracy, result.test_images) == (
            about.test_accuracy,
            about.test_images,
        )


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.results.json").write_text(json.dumps([{"network": "a"}]))
    with pytest.raises(
        WorkloadError, match=r"a\.results\.json: no results of a training \(KeyError"
    ):
        read_results(tmp_path)
