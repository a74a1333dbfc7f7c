"""What a machine is made of, for comparisons: PEs, on-chip memory, area."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

WORD_BYTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Sizes of one machine.

    Attributes
    ----------
    pes : int
        Multipliers.
    buffer_words : int
        16-bit words of the shared on-chip buffers, scratchpads in PEs apart.
    area_um2 : float or None
        45 nm; None where nothing is published.
    extra_area_um2 : float
        Area that the published total leaves out (ARCHON's prediction GLB).
    """

    pes: int
    buffer_words: int
    area_um2: float | None = None
    extra_area_um2: float = 0.0

    @property
    def buffer_kib(self) -> float:
        """Shared on-chip buffers in KiB."""
        return self.buffer_words * WORD_BYTES / 1024


@cache
def area_table() -> dict[str, Any]:
    """Read the shipped areas (``archonsim/data/areas.toml``), in um^2."""
    return tomllib.loads((resources.files("archonsim") / "data" / "areas.toml").read_text("utf-8"))


def memory_area(table: dict[str, Any], words: int) -> float:
    """Area of a memory of `words`, in proportion to the published size."""
    return float(table["area"]) * words / float(table["words"])
