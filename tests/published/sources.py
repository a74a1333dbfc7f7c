"""Reference tables that are too big for the repository.

They lie beside it, or the tests that read them are skipped.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data"
SHARED = Path(__file__).parents[3] / "shared" / "reference"

#: Names of the ICS'21 networks here, by (data set, network, variant) in the reference tables.
CIFAR = {
    ("cifar10", "fusionet", "fusionet"): "fusionet_c10",
    ("cifar100", "fusionet", "fusionet"): "fusionet_c100",
    ("cifar10", "mobilenet", "baseline"): "mobilenetv2_c10",
    ("cifar10", "mobilenet", "modified"): "mobilenetv2mod_c10",
    ("cifar100", "mobilenet", "baseline"): "mobilenetv2_c100",
    ("cifar10", "mnasnet", "baseline"): "mnasnet_c10",
    ("cifar10", "mnasnet", "modified"): "mnasnetmod_c10",
    ("cifar100", "mnasnet", "baseline"): "mnasnet_c100",
    ("cifar10", "shufflenet", "baseline"): "shufflenet_c10",
    ("cifar10", "shufflenet", "modified"): "shufflenetmod_c10",
}


def shared_rows(table: str) -> list[dict[str, str]]:
    """Rows of ``../shared/reference/TABLE``, or skip."""
    path = SHARED / table
    if not path.is_file():
        pytest.skip(
            f"{table} is not shipped with the repository: it is read from ../shared/reference"
        )
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def data_rows(table: str) -> list[dict[str, str]]:
    """Rows of ``tests/data/TABLE``."""
    with (DATA / table).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
