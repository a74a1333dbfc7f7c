"""Reference tables that are too big for the repository: they lie beside it, or the tests that read them are skipped."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data"
SHARED = Path(__file__).parents[3] / "shared" / "reference"


def shared_rows(table: str) -> list[dict[str, str]]:
    """Rows of ``../shared/reference/TABLE``, or skip."""
    path = SHARED / table
    if not path.is_file():
        pytest.skip(f"{table} is not shipped with the repository: it is read from ../shared/reference")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def data_rows(table: str) -> list[dict[str, str]]:
    """Rows of ``tests/data/TABLE``."""
    with (DATA / table).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
