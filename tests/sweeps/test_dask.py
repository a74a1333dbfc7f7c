"""The same sweep on a Dask cluster: a real scheduler and two workers on loopback."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs Dask: pip install 'archonsim[cluster]'")

import archonsim
from archonsim.errors import UserError
from archonsim.sweeps import runners
from archonsim.sweeps.runners import Workers, open_runner
from tests.sweeps.cluster import cluster
from tests.sweeps.running import DIGITS, ROWS, SWEEP


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler with two workers."""
    with cluster(tmp_path_factory.mktemp("dask"), workers=2) as (address, _):
        yield address


def _sweep(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [*SWEEP, *ROWS, "--param", "pe.fifo_depth=3..8", "-o", str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cluster_gives_the_same_table(scheduler: str, tmp_path: Path) -> None:
    here, there = _sweep(tmp_path / "here"), _sweep(tmp_path / "there", "--dask", scheduler)
    assert (here.returncode, there.returncode) == (0, 0), there.stderr
    for name in ("results.csv", "results.parquet"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
    assert "on 2 workers" in there.stderr


@pytest.mark.full
def test_no_scheduler_is_one_line(tmp_path: Path) -> None:
    done = _sweep(tmp_path / "out", "--dask", "tcp://127.0.0.1:9")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no scheduler answers" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def near() -> Iterator[str]:
    """Address of a scheduler with one worker, both threads of this process: quick to start."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0", protocol="tcp") as here:
        yield here.scheduler_address


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_worker_s_rows_are_this_process_s(near: str, tmp_path: Path) -> None:
    params = {"pe.fifo_depth": [3, 6]}
    here = archonsim.sweep("archon", DIGITS, params, folder=tmp_path / "here")
    there = archonsim.sweep("archon", DIGITS, params, folder=tmp_path / "there", dask=near)
    assert len(here.to_dataframe()) == len(there.to_dataframe()) == 2
    for name in ("results.csv", "results.parquet"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
    with (
        pytest.raises(UserError, match=r"--jobs 2 and --dask tcp://.*: points run here or there"),
        open_runner(Workers(jobs=2, dask=near)),
    ):
        pass


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_another_archonsim_on_a_worker_is_one_line(
    near: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "_version", lambda: "9.9")
    with (
        pytest.raises(UserError, match=r"worker .* has archonsim 9\.9, and this is"),
        open_runner(Workers(dask=near)),
    ):
        pass


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scheduler_without_workers_is_one_line() -> None:
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0", protocol="tcp") as none,
        pytest.raises(UserError, match="has no workers; start some with `dask worker"),
        open_runner(Workers(dask=none.scheduler_address)),
    ):
        pass
