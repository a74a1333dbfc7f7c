"""The word about compiling kernels: where this run compiles, and only there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]


def said(cache: Path, arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "archonsim", *arguments.split()],
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache), "NUMBA_DISABLE_JIT": "0"},
        cwd=TOP,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def test_a_run_that_compiles_says_so_and_no_other(tmp_path: Path) -> None:
    digits = "-w workloads/fusionet_digits.h5 -f csv"
    assert "compiling" not in said(tmp_path, f"run -a fuse {digits}")
    assert said(tmp_path, f"run -a sparse {digits}").count("compiling kernels") == 1
    assert "compiling" not in said(tmp_path, f"run -a sparse {digits}")
    assert "compiling kernels" in said(tmp_path, f"run -a archon {digits}")
