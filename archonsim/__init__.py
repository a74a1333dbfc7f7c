"""Cycle-level simulator of ARCHON, the accelerator of predictive layer fusion (ICS'21).

``run``, ``compare``, ``sweep``, ``advise`` and ``tile_trace`` are the Python interface; they are
imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from archonsim import cache  # noqa: F401  # before anything imports numba or matplotlib
from archonsim.version import __version__

if TYPE_CHECKING:
    from archonsim.api import advise, compare, run, sweep, tile_trace
    from archonsim.errors import (
        ArchonsimError,
        MaskError,
        OutputError,
        SpecError,
        UserError,
        WorkloadError,
    )
    from archonsim.pe.tile_trace import TileTrace
    from archonsim.results import AdviceResult, CompareResult, Result, SweepResult

__all__ = [
    "AdviceResult",
    "ArchonsimError",
    "CompareResult",
    "MaskError",
    "OutputError",
    "Result",
    "SpecError",
    "SweepResult",
    "TileTrace",
    "UserError",
    "WorkloadError",
    "__version__",
    "advise",
    "compare",
    "run",
    "sweep",
    "tile_trace",
]

_HOMES = {
    "archonsim.api": ("advise", "compare", "run", "sweep", "tile_trace"),
    "archonsim.errors": (
        "ArchonsimError",
        "MaskError",
        "OutputError",
        "SpecError",
        "UserError",
        "WorkloadError",
    ),
    "archonsim.pe.tile_trace": ("TileTrace",),
    "archonsim.results": ("AdviceResult", "CompareResult", "Result", "SweepResult"),
}


if not TYPE_CHECKING:  # or every misspelt name would pass for one of any type

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used."""
        for home, names in _HOMES.items():
            if name in names:
                return getattr(import_module(home), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted(__all__)
