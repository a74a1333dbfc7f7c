"""A workload file that another process writes to: the message names that, not damage."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archonsim.errors import WorkloadError
from archonsim.network.networks import network
from archonsim.tracefile.reader import open_workload
from archonsim.tracefile.writer import write_workload

WRITER = """
import sys, h5py
with h5py.File(sys.argv[1], "r+", libver="latest") as file:
    file.attrs["touched"] = 1
    print("open", flush=True)
    sys.stdin.read()
"""
LOCKER = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    work = network("fusionet_digits")
    write_workload(tmp_path / "w.h5", work, None)
    return tmp_path / "w.h5"


@contextmanager
def running(code: str, path: Path) -> Iterator[None]:
    """Another process that holds a file until the block ends."""
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        yield
    finally:
        other.communicate("")


def test_a_file_that_another_process_writes_to_is_named_so(written: Path) -> None:
    with running(WRITER, written):
        with pytest.raises(WorkloadError, match="is open for writing in another process") as caught:
            open_workload(written)
        assert str(caught.value).startswith(f"{written}: ")
        assert "damaged" not in str(caught.value)
        assert "\n" not in str(caught.value)
    open_workload(written)


def test_a_file_that_another_process_locks_is_named_so(written: Path) -> None:
    """Locks count where the environment asks for them; the HDF5 library reads it once."""
    pytest.importorskip("fcntl", reason="locks of POSIX")
    with running(LOCKER, written):
        told = subprocess.run(
            [sys.executable, "-m", "archonsim", "inspect", str(written)],
            env=os.environ | {"HDF5_USE_FILE_LOCKING": "TRUE"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert told.returncode == 2
    assert "is open for writing in another process" in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1
