"""A Dask cluster of this machine: a real scheduler and workers, each a process, on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, dict[str, subprocess.Popen[bytes]]]]:
    """Give the scheduler's address, and processes: ``"the scheduler"``, ``"a worker"`` (last)."""
    from distributed import Client

    folder.mkdir(exist_ok=True)
    file = folder / "scheduler.json"
    common = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    scheduler = ["distributed.cli.dask_scheduler", *common, "--port", "0"]
    worker = ["distributed.cli.dask_worker", *common, "--nthreads", "1", "--no-nanny"]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number, command in enumerate([scheduler] + [worker] * workers):
            local = ["--local-directory", str(folder / f"worker{number}")] if number else []
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", *command, *local],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd=folder,
                )
            )
            until = time.monotonic() + 60
            while not file.exists() or not file.read_text().endswith("}"):
                assert time.monotonic() < until, "the scheduler did not start"
                time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        with Client(address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
        yield address, {"the scheduler": started[0], "a worker": started[-1]}
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(timeout=60)
