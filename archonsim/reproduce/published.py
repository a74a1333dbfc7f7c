"""Their side: published figures and known defects, as shipped in ``archonsim/data/published``."""

from __future__ import annotations

import csv
import tomllib
from importlib import resources
from typing import Any

FOLDER = resources.files("archonsim") / "data" / "published"


def read_rows(table: str) -> list[dict[str, str]]:
    """Read ``TABLE.csv``; its comment lines name the source."""
    lines = (FOLDER / f"{table}.csv").read_text("utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def read_tree(name: str) -> dict[str, Any]:
    """Read ``NAME.toml``."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))
