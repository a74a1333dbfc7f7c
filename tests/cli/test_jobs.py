"""Images on several processes: the same report, and progress from all of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import archonsim
from archonsim.engine.observer import SILENT, Observer
from archonsim.errors import UserError
from tests.uncounted import without_coverage

DIGITS = Path(__file__).parents[2] / "workloads" / "fusionet_digits.h5"


def test_the_report_is_the_same_on_any_number_of_processes() -> None:
    steps: list[list[str]] = [[], [], []]
    alone, two, watched = (
        archonsim.run(
            "archon", DIGITS, images="0-3", jobs=jobs, on_step=done.append, observer=observer
        ).report.to_dict()
        for done, jobs, observer in zip(steps, (1, 2, 2), (SILENT, SILENT, Observer()), strict=True)
    )
    assert alone == two == watched
    assert steps[0] == steps[1] == steps[2]


def test_jobs_are_at_least_one() -> None:
    with pytest.raises(UserError, match="--jobs is 0; it must be at least 1"):
        archonsim.run("archon", DIGITS, jobs=0)


def test_a_lost_worker_is_reported() -> None:
    """In a process of its own: the worker that ends takes nothing of ours with it."""
    code = (
        "import os\n"
        "from archonsim.errors import ArchonsimError\n"
        "from archonsim.runs.workers import workers\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        with workers(1, 'run again') as pool:\n"
        "            pool.submit(os._exit, 3).result()\n"
        "    except ArchonsimError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=without_coverage(),  # which puts a function that cannot be pickled in os._exit's place
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "a worker process ended by itself (out of memory?); run again\n"
