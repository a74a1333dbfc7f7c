"""Processes of tests in which coverage.py counts nothing."""

from __future__ import annotations

import os


def without_coverage() -> dict[str, str]:
    """Return the environment less what makes a process count its lines.

    For processes that can write no file: coverage.py's data file would fail, too, after everything
    else, and its traceback would be taken for ours.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
