"""The word about compiling kernels: where this run compiles, and only there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.full
def test_a_run_that_compiles_says_so_and_no_other(tmp_path: Path) -> None:
    digits = "-w workloads/fusionet_digits.h5 -f csv"
    assert "compiling" not in said(tmp_path, f"run -a fuse {digits} --fidelity ideal")
    assert said(tmp_path, f"run -a fuse {digits}").count("compiling kernels") == 1
    assert "compiling" not in said(tmp_path, f"run -a fuse {digits}")


@pytest.mark.full
def test_a_machine_that_compiles_after_another_says_so_too(tmp_path: Path) -> None:
    digits = "-w workloads/fusionet_digits.h5 -f csv"
    said(tmp_path, f"run -a sparse {digits}")
    assert "compiling kernels" in said(tmp_path, f"run -a archon {digits}")


@pytest.mark.full
def test_two_processes_compile_at_once_and_warm_leaves_nothing_to_do(tmp_path: Path) -> None:
    """What both compile is stored twice, never half; the one cache serves whoever comes later."""
    line = [sys.executable, "-m", "archonsim", "run", "-a", "archon", "-f", "csv"]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0"}
    both = [
        subprocess.Popen(
            [*line, "-w", "workloads/fusionet_digits.h5"],
            env=environment,
            cwd=TOP,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    (first, said_first), (second, said_second) = (one.communicate() for one in both)
    assert [one.returncode for one in both] == [0, 0], said_first + said_second
    assert first == second
    assert "compiling" in said_first
    said(tmp_path, "warm")
    for arguments in ("warm", "run -a sparse -w workloads/fusionet_digits.h5 -f csv"):
        assert "compiling" not in said(tmp_path, arguments)
    banks = "run -a archon -w workloads/fusionet_digits.h5 --set glb.model=banks -f csv"
    assert "compiling" not in said(tmp_path, banks)
