"""Compiled kernels and matplotlib's files find a place on a machine that cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import archonsim
from archonsim.cache import is_usable


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the package to where no module's cache can be written, not even by root."""
    home = tmp_path_factory.mktemp("locked")
    source = Path(archonsim.__file__).parent
    shutil.copytree(source, home / "archonsim", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [one for one in (home / "archonsim").rglob("*") if one.is_dir()]:
        (folder / "__pycache__").touch()
    for entries in source.parent.glob("archonsim*.egg-info"):
        shutil.copytree(entries, home / entries.name)
    return home


def command(
    locked: Path, temporary: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "ARCHONSIM_CACHE_DIR", "MPLCONFIGDIR")
    }
    nowhere = {"HOME": "/dev/null", "PYTHONPATH": str(locked), "TMPDIR": str(temporary)}
    return subprocess.run(
        [sys.executable, "-m", "archonsim", *arguments],
        env=clean | nowhere | environment,
        cwd=temporary,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.full
def test_a_locked_package_and_home_run_from_a_temporary_folder(
    locked: Path, tmp_path: Path
) -> None:
    ran = command(
        locked,
        tmp_path,
        *["run", "-a", "dense", "-w", "mobilenetv2_c10", "--fidelity", "ideal", "-f", "csv"],
        NUMBA_CACHE_DIR="/dev/null/x",
    )
    place = tmp_path / f"archonsim-{os.getuid()}"
    assert ran.returncode == 0, ran.stderr
    where, compiling = ran.stderr.splitlines()
    assert where == (
        "archonsim: no place for compiled kernels beside the package or at home; they are kept in"
        f" {place / 'numba'}"
    )
    assert compiling.startswith("compiling kernels")
    assert list((place / "numba").glob("dataflow_*"))  # where numba puts kernels of dataflow/
    assert place.stat().st_mode & 0o777 == 0o700


def test_the_own_cache_folder_is_taken_where_there_is_one(locked: Path, tmp_path: Path) -> None:
    own = tmp_path / "cache"
    ran = command(locked, tmp_path, "networks", ARCHONSIM_CACHE_DIR=str(own))
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.endswith(f"they are kept in {own / 'numba'}\n")


def test_a_folder_that_somebody_else_could_write_is_not_taken(locked: Path, tmp_path: Path) -> None:
    place = tmp_path / f"archonsim-{os.getuid()}"
    place.mkdir()
    place.chmod(0o777)
    ran = command(locked, tmp_path, "networks")
    assert ran.returncode == 0, ran.stderr
    assert f"{place}/" not in ran.stderr


@pytest.mark.full
def test_matplotlib_does_not_complain_of_a_home_without_a_config(
    locked: Path, tmp_path: Path
) -> None:
    figure = tmp_path / "out" / "roofline.png"
    ran = command(
        locked,
        tmp_path,
        *f"plot roofline -w fusionet_digits -a dense -o {figure.parent}".split(),
        NUMBA_DISABLE_JIT="1",
    )
    assert ran.returncode == 0, ran.stderr
    assert figure.exists()
    assert "Matplotlib created" not in ran.stderr
    assert ".config" not in ran.stderr


def test_usable_means_that_the_nearest_folder_that_exists_lets_us_in(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert is_usable(tmp_path / "a" / "b")
    assert not is_usable(tmp_path / "file" / "b")
    assert not is_usable(Path("/dev/null"))
