"""Names, notes, paths and streams as hostile as a file system allows: shown, never obeyed."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim import sweep
from archonsim.cli.app import run_command
from archonsim.result.files import cell_value, csv_cell, frame_to_csv
from archonsim.visible import visible

DIGITS = Path(__file__).parents[2] / "workloads" / "fusionet_digits.h5"
HEADER = "Layer, M, N, K\n"

#: Markup of rich, a screen cleared, the clipboard set, an 8-bit escape, a turned direction.
HOSTILE = "[/x] [bold]b[/bold] :smile: \x1b[2J \x1b]52;c;aGk=\x07 \x9b31m \u202eevil"
ACTING = ("\x1b[2J", "\x1b]52", "\x07", "\x9b", "\u202e")


def command(
    *arguments: str | bytes | Path, **options: object
) -> subprocess.CompletedProcess[bytes]:
    ran: subprocess.CompletedProcess[bytes] = subprocess.run(
        [sys.executable, "-m", "archonsim", *arguments],
        capture_output="stdout" not in options,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    return ran


@pytest.mark.parametrize("form", ["table", "csv"])
def test_a_layers_name_is_shown_as_it_is(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.csv"
    path.write_text(f'{HEADER}"{HOSTILE}", 8, 8, 8\n')
    for verb in (["run", "-a", "systolic", "-w"], ["inspect"]):
        if verb == ["inspect"] and form == "csv":
            continue  # of blocks' ReLUs only
        assert run_command([*verb, str(path), "-f", form]) == 0
        out = capsys.readouterr().out
        assert "[/x] [bold]b[/bold] :smile: \u241b[2J \u241b]52;c;aGk=" in out
        assert not any(one in out for one in ACTING)


def test_a_note_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "noted.h5"
    shutil.copy(DIGITS, path)
    with h5py.File(path, "r+") as file:
        file.attrs["note"] = HOSTILE.replace("\x07", "")
    for arguments in (["inspect", str(path)], ["run", "-a", "dense", "-w", str(path)]):
        assert run_command(arguments) == 0
        out = capsys.readouterr().out
        assert "note: [/x] [bold]b[/bold] :smile: \u241b[2J" in out
        assert not any(one in out for one in ACTING)


def test_a_path_is_printed_as_it_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "y[b]z"
    assert run_command(["run", "-a", "dense", "-w", "mobilenet_v2", "--fidelity", "ideal",
                        "-o", str(folder)]) == 0  # fmt: skip
    assert f"wrote {folder / 'result.json'}" in capsys.readouterr().err
    assert run_command(["inspect", str(tmp_path / "a\x1b[2Jb.h5")]) == 2
    err = capsys.readouterr().err
    assert "a\u241b[2Jb.h5: no such file" in err
    assert "\x1b" not in err


@pytest.fixture(scope="module")
def latin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workload file whose name is not UTF-8, and its results."""
    path = Path(os.fsdecode(os.fsencode(tmp_path_factory.mktemp("latin")) + b"/caf\xe9.h5"))
    try:
        shutil.copy(DIGITS, path)
    except OSError:
        pytest.skip("this file system has no such names")
    return path


def test_a_file_name_that_is_not_utf8(latin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = latin.parent / os.fsdecode(b"out-\xe9")
    run, compared = folder / "result.json", folder / "compare.json"
    for arguments in (
        ["run", "-a", "dense", "-w", str(latin), "-o", str(folder)],
        ["run", "-a", "dense", "-w", str(latin), "-f", "csv"],
        ["run", "-a", "dense", "-w", str(latin), "-f", "json"],
        ["compare", "-a", "dense,systolic", "-w", str(latin), "-o", str(folder)],
        ["inspect", str(latin)],
        ["report", str(run), "-o", str(folder / "run.html")],
        ["report", str(compared), "-o", str(folder / "compare.html")],
    ):
        assert run_command(arguments) == 0, capsys.readouterr().err
    captured = capsys.readouterr()
    assert "caf\\xe9.h5" in captured.out
    (captured.out + captured.err).encode()
    assert "caf\\xe9.h5" in (folder / "run.html").read_text("utf-8")


def test_a_sweep_of_a_file_name_that_is_not_utf8(latin: Path) -> None:
    """It once failed when the table was to be written, after all points had run."""
    frame = sweep("dense", latin, {"pe.rows": [4, 8]}).to_dataframe()
    assert set(frame["workload"]) == {"caf\\xe9.h5"}


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_streams_of_any_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    path.write_text(f"{HEADER}\u5c64 \u00e9, 8, 8, 8\n", "utf-8")
    ran = command(
        *("run", "-a", "systolic", "--fidelity", "ideal", "-w", path),
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    shown = "\u5c64 \u00e9".encode(encoding, "backslashreplace")
    assert shown in ran.stdout


def test_a_closed_stdout_is_one_line_and_results_are_kept(tmp_path: Path) -> None:
    def close() -> None:
        os.close(1)

    wanted = ["run", "-a", "dense", "-w", "mobilenet_v2", "--fidelity", "ideal", "-o", "out"]
    ran = command(*wanted, cwd=tmp_path, preexec_fn=close, stdout=None, stderr=subprocess.PIPE)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1].startswith(b"archonsim: error: output: Bad file descriptor")
    assert b"Traceback" not in ran.stderr
    assert (tmp_path / "out" / "result.json").stat().st_size > 1000


@pytest.mark.sampled(3)
@pytest.mark.parametrize("closed", [(0,), (2,), (0, 2)])
def test_other_streams_may_be_closed(closed: tuple[int, ...], tmp_path: Path) -> None:
    def close() -> None:
        for number in closed:
            os.close(number)

    out = tmp_path / "out.csv"
    with out.open("wb") as file:
        ran = command("networks", "-f", "csv", preexec_fn=close, stdout=file)
    assert ran.returncode == 0
    assert out.read_text("utf-8").startswith("name,")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1-2", "'+1-2"),
        ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("-1.5e3", "-1.5e3"),
        (-3, -3),
        (None, None),
        ("conv1", "conv1"),
        ("", ""),
        ("'=1", "''=1"),
        ("'tis", "'tis"),
        ("a\x1b[2J", "a\u241b[2J"),
    ],
)
def test_csv_cells_hold_no_formulas(value: object, cell: object) -> None:
    assert csv_cell(value) == cell


@given(st.text(st.sampled_from("'=+-@1a")))
def test_a_cell_gives_its_text_back(text: str) -> None:
    cell = csv_cell(text)
    assert cell_value(cell) == text
    if cell.startswith(("=", "+", "-", "@")):
        float(cell)


def test_figures_and_pages_quote_formulas_in_their_tables() -> None:
    frame = pd.DataFrame({"name": ["=1+1", "conv1", None], "cycles": [-1.5, 2, 3]})
    assert frame_to_csv(frame) == "name,cycles\n'=1+1,-1.5\nconv1,2.0\n,3.0\n"


def test_a_layers_name_is_no_formula_in_a_table(tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    path.write_text(f"{HEADER}=1+1, 8, 8, 8\n")
    assert run_command(["run", "-a", "systolic", "-w", str(path), "-o", str(tmp_path)]) == 0
    with (tmp_path / "result.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["'=1+1"]


def test_a_dollar_sign_begins_no_formula_in_a_figure(tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    path.write_text(f"{HEADER}$x^{{$ {HOSTILE}, 8, 8, 8\n", "utf-8")
    wanted = ["plot", "waterfall", "-a", "systolic", "-w", str(path), "-o", str(tmp_path)]
    assert run_command(wanted) == 0


def test_visible_keeps_what_is_harmless() -> None:
    for text in ("a b\nc\td", "\u5c64 \u00e9 \u2026", ""):
        assert visible(text) == text
