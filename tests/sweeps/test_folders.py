"""Folders of sweeps: whose they are, what is believed of them, what a kill left."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import archonsim
from archonsim.cli.app import run_command
from archonsim.sweeps import store, sweep
from tests.sweeps.running import CYCLE, SWEEP, TABLES, ideal, wait


def test_other_folders_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_command(ideal(tmp_path)) == 0

    def refused(*arguments: str) -> str:
        capsys.readouterr()
        assert run_command(list(arguments)) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        return err

    assert "add --resume to go on" in refused(*ideal(tmp_path))
    assert "parameters.pe.rows is [2, 3, 4] there and [2, 3, 4, 8] here" in refused(
        *ideal(tmp_path, "--resume", rows="2..4,8")
    )
    assert "fixed.pe.cols is absent there and 4 here" in refused(
        *ideal(tmp_path, "--resume", "--set", "pe.cols=4")
    )
    monkeypatch.setattr(sweep, "__version__", "99.0")
    assert (
        f'is of another version: archonsim is "{archonsim.__version__}" there and "99.0" here'
        in refused(*ideal(tmp_path, "--resume"))
    )


def test_another_trace_is_another_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.h5"
    folder = tmp_path / "out"
    for seed in ("1", "2"):
        assert run_command(["synthesize", "fusionet_digits", "-o", str(file), "--seed", seed]) == 0
        capsys.readouterr()
        code = run_command(
            [
                "sweep",
                "-a",
                "archon",
                "-w",
                str(file),
                "--param",
                "pe.rows=8",
                "-o",
                str(folder),
                "--resume",
            ]
        )
        assert code == (0 if seed == "1" else 2)
    assert "digests is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "needed"),
    [
        ({"sweep.json": "{"}, "sweep.json is damaged"),
        ({"journal.jsonl": "nonsense\n"}, "line 1 is damaged"),
        ({"journal.jsonl": '[99, {"key": "x"}]\n'}, "line 1 is damaged"),
    ],
)
def test_damaged_folders(
    damage: dict[str, str], needed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(ideal(tmp_path)) == 0
    for name, text in damage.items():
        (tmp_path / name).write_text(text)
    capsys.readouterr()
    assert run_command(ideal(tmp_path, "--resume")) == 2
    err = capsys.readouterr().err
    assert needed in err
    assert err.count("\n") == 1


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    def opened(question: int, *, resume: bool) -> store.Store:
        return store.Store(tmp_path, {"question": question}, 3, resume=resume, key_of=str)

    with opened(1, resume=False) as first:
        for resume in (False, True):
            with pytest.raises(archonsim.OutputError, match="another process"):
                opened(2, resume=resume)
            assert json.loads((tmp_path / "sweep.json").read_text()) == {"question": 1}
        first.add(0, {"key": "0", "x": 1})
    with opened(1, resume=True) as second:
        assert second.finished == 1
        assert list(second.rows()) == [{"key": "0", "x": 1}]


def test_a_refused_second_sweep_leaves_the_first_ones_question(tmp_path: Path) -> None:
    """It once rewrote the manifest, and --resume showed one machine's figures for the other's."""
    process = subprocess.Popen(
        [*SWEEP, *CYCLE, "-o", str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait(lambda: (tmp_path / "sweep.json").exists())
        question = (tmp_path / "sweep.json").read_bytes()
        assert run_command(ideal(tmp_path)) == 2
        assert run_command(ideal(tmp_path, "--resume")) == 2
        assert (tmp_path / "sweep.json").read_bytes() == question
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("change", "needed"),
    [
        (
            lambda line: line.replace(b'"cycles":', b'"cycles":1'),
            "line 2 is damaged, or of another",
        ),
        (lambda line: line.replace(b"[", b"[1", 1), "line 2 is damaged, or of another"),
        (lambda line: b"[" * 100_000 + b"\n", "line 2 is damaged, or of another"),
    ],
)
def test_a_changed_line_is_not_believed(
    change: Callable[[bytes], bytes],
    needed: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(ideal(tmp_path)) == 0
    journal = tmp_path / "journal.jsonl"
    first, second, *rest = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([first, change(second), *rest]))
    capsys.readouterr()
    assert run_command(ideal(tmp_path, "--resume")) == 2
    assert needed in capsys.readouterr().err


def test_lines_of_another_sweep_are_not_believed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two sweeps of as many points: the journal of one under the manifest of the other."""
    one, other = tmp_path / "one", tmp_path / "other"
    assert run_command(ideal(one)) == run_command(ideal(other, "--set", "pe.cols=4")) == 0
    (other / "journal.jsonl").write_bytes((one / "journal.jsonl").read_bytes())
    assert run_command(ideal(other, "--set", "pe.cols=4", "--resume")) == 2
    assert "line 1 is damaged, or of another sweep" in capsys.readouterr().err


def test_a_row_with_another_key_is_refused(tmp_path: Path) -> None:
    with store.Store(tmp_path, {}, 1, resume=False, key_of=lambda index: "a") as first:
        first.add(0, {"key": "a"})
    with pytest.raises(archonsim.OutputError, match=r"line 1: key is 'a', and point 0 has 'b'"):
        store.Store(tmp_path, {}, 1, resume=True, key_of=lambda index: "b")


def test_what_a_kill_left_half_written_goes_when_the_sweep_goes_on(tmp_path: Path) -> None:
    assert run_command(ideal(tmp_path)) == 0
    left = [tmp_path / f".{name}.abc.tmp" for name in ("sweep.json", *TABLES)]
    others = [tmp_path / ".mine.tmp", tmp_path / "results.csv.tmp"]
    for path in (*left, *others):
        path.touch()
    assert run_command(ideal(tmp_path, "--resume")) == 0
    assert [path.exists() for path in (*left, *others)] == [False] * 3 + [True] * 2
