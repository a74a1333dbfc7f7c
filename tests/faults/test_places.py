"""Full disks, folders that nobody may write, clocks that jump, several writers, lost workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from archonsim.cli.app import run_command
from tests.faults.injection import COMMANDS, DIGITS, files, right, settled, start

#: In this process; what workers write, this process writes for them.
ALONE = [
    name for name in COMMANDS if "--jobs" not in COMMANDS[name] and "-j 2" not in COMMANDS[name]
]
PAGE = 4096


@contextmanager
def disk(at: Path, size: int) -> Iterator[Path]:
    """Mount a file system of so many bytes, in whole pages."""
    at.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "none", str(at)]
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("only root can mount a small file system")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def whole_of(name: str, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    assert run_command(COMMANDS[name].format(out=folder).split()) == 0
    return files(folder)


@pytest.mark.sampled(3)
@pytest.mark.skipif(sys.platform != "linux", reason="a small file system is a tmpfs here")
@pytest.mark.parametrize("name", ALONE)
def test_a_disk_that_is_full_at_any_write(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(DIGITS).parents[1])
    whole = whole_of(name, tmp_path / "whole")
    pages = sum(-(-len(content) // PAGE) for content in whole.values())
    capsys.readouterr()
    refused = 0
    for size in sorted({1, pages // 4, pages // 2, pages - 1, *range(1, min(pages, 4))} - {0}):
        with disk(tmp_path / f"disk{size}", size * PAGE) as out:
            code = run_command(COMMANDS[name].format(out=out).split())
            said = capsys.readouterr().err.splitlines()
            left = files(out)
        if code:
            refused += 1
            assert code == 2, said
            assert said[-1].startswith("archonsim: error: "), said
            assert "No space left" in said[-1] or "space" in said[-1], said
            assert not any("Traceback" in line for line in said)
        for path, content in settled(left).items():
            assert content == whole[path], (size, path)
        assert not [path for path in left if path.endswith(".tmp")]
    assert refused


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ALONE)
@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders are closed by their mode here")
def test_a_folder_that_nobody_may_write_is_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the way of the folder: root may write whatever a mode forbids."""
    monkeypatch.chdir(Path(DIGITS).parents[1])
    (tmp_path / "file").write_text("in the way")
    assert run_command(COMMANDS[name].format(out=tmp_path / "file" / "below").split()) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("archonsim: error: ")
    assert str(tmp_path / "file") in said[-1]
    assert files(tmp_path) == {"file": b"in the way"}


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_a_clock_that_jumps_changes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(DIGITS).parents[1])
    whole = whole_of(name, tmp_path / "whole")
    jumps = count()

    def jumping() -> float:
        """An hour on, two hours back."""
        at = next(jumps)
        return 1e6 + 3600.0 * (at % 2) - 7200.0 * (at % 3)

    for clock in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, clock, jumping)
    there = whole_of(name, tmp_path / "there")
    assert next(jumps) > 0
    assert settled(there) == settled(whole)


def test_four_writers_of_one_folder_leave_one_result(tmp_path: Path) -> None:
    whole, _ = right("run")
    writers = [start("run", tmp_path) for _ in range(4)]
    for writer in writers:
        _, said = writer.communicate()
        assert writer.returncode == 0, said
    assert files(tmp_path) == whole


@pytest.mark.full
@pytest.mark.parametrize("lost", ["a worker", "the scheduler"])
def test_a_cluster_that_is_lost_ends_the_sweep_in_one_line(lost: str, tmp_path: Path) -> None:
    """Finished points are kept, and the sweep goes on here, to the same table."""
    pytest.importorskip("distributed", reason="needs Dask: pip install 'archonsim[cluster]'")
    from tests.sweeps.cluster import cluster

    sweep = (
        f"sweep -a archon -w {DIGITS} --param pe.adders=2..9 --param pe.fifo_depth=3..14 -o"
    ).split()
    with cluster(tmp_path / "dask", workers=1) as (address, processes):
        process = subprocess.Popen(
            [sys.executable, "-m", "archonsim", *sweep, str(tmp_path / "out"), "--dask", address],
            stderr=subprocess.PIPE,
            text=True,
        )
        journal, until = tmp_path / "out" / "journal.jsonl", time.monotonic() + 120
        while not journal.exists() or journal.read_bytes().count(b"\n") < 8:
            assert time.monotonic() < until, "no point was finished"
            time.sleep(0.05)
        processes[lost].send_signal(signal.SIGKILL)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    _, line = said.splitlines()  # the first is the forecast
    assert line.startswith(f"archonsim: error: --dask {address}: the "), said
    assert "finished points are kept" in line
    kept = journal.read_bytes().count(b"\n")
    assert kept >= 8
    for folder, more in (("out", ["--resume"]), ("whole", [])):
        assert run_command([*sweep, str(tmp_path / folder), *more]) == 0
    assert (tmp_path / "out" / "results.csv").read_bytes() == (
        tmp_path / "whole" / "results.csv"
    ).read_bytes()
