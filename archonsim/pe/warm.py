"""Whether numba has compiled the kernels on this machine before."""

from __future__ import annotations

import os
from pathlib import Path

from archonsim.pe import accumulate_kernel


def kernels_are_cached() -> bool:
    """Return False when the next run will spend time on compiling (or cannot tell)."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return True
    folder = getattr(accumulate_kernel._run.stats, "cache_path", None)
    return folder is not None and any(Path(folder).glob("accumulate_kernel._run-*.nbi"))
