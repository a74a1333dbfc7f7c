"""Sweeps: the table says what single runs say, whoever ran the points and whatever ended them."""

from __future__ import annotations

import gc
import json
import math
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pandas
import pytest

import archonsim
from archonsim.cli.app import run_command
from archonsim.errors import MaskError
from archonsim.sweeps import sweep
from archonsim.sweeps.question import ask
from archonsim.vocabulary.stalls import STALLS
from tests.sweeps.running import CYCLE, DIGITS, SWEEP, ideal, rows_of, tables, wait
from tests.uncounted import without_coverage


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of an uninterrupted sweep in one process."""
    folder = tmp_path_factory.mktemp("sweep") / "whole"
    assert run_command(["sweep", *CYCLE, "-o", str(folder), "-f", "csv"]) == 0
    return folder


def test_rows_say_what_runs_say(whole: Path) -> None:
    rows = rows_of(whole)
    assert len(rows) == 2 * 12 * 2
    assert [int(row["pe.rows"]) for row in rows] == [4] * 24 + [8] * 24
    for row in rows[2::9]:
        keys = {key: int(row[key]) for key in ("pe.rows", "pe.fifo_depth", "pe.adders")}
        report = archonsim.run("archon", DIGITS, set=keys).report
        assert row["status"] == "ok"
        assert row["reason"] == ""
        assert row["digest"] == report.digest
        assert int(row["cycles"]) == report.total_cycles
        assert int(row["compute"]) == sum(layer.compute for layer in report.layers)
        assert int(row["cycles"]) == int(row["compute"]) + sum(
            int(row[f"stall.{cause.name}"]) for cause in STALLS
        )
        assert (int(row["macs"]), int(row["adds"])) == (report.total_macs, report.total_adds)
        assert float(row["time_ms"]) == report.time_ms
        dram = sum(
            words
            for layer in report.layers
            for key, words in layer.traffic.items()
            if key.startswith("dram.")
        )
        assert int(row["dram_words"]) == dram


def test_infeasible_points_are_rows_with_a_reason(whole: Path) -> None:
    shallow = [row for row in rows_of(whole) if row["pe.fifo_depth"] == "3"]
    assert len(shallow) == 4
    for row in shallow:
        assert row["status"] == "infeasible"
        assert "make the FIFO at least as deep" in row["reason"]
        assert row["cycles"] == row["time_ms"] == ""


def test_keys_are_addresses_of_content(whole: Path, tmp_path: Path) -> None:
    rows = rows_of(whole)
    assert len({row["key"] for row in rows}) == len(rows)
    other = archonsim.sweep(
        "archon", DIGITS, {"pe.adders": [6]}, set={"pe.rows": 8, "pe.fifo_depth": 7}
    ).to_dataframe()
    same = [
        row["key"]
        for row in rows
        if (row["pe.rows"], row["pe.fifo_depth"], row["pe.adders"]) == ("8", "7", "6")
    ]
    assert same == list(other["key"]), (
        "the same machine and trace have the same key, however the sweep is put"
    )


def test_csv_and_parquet_say_the_same(whole: Path) -> None:
    types = {"cycles": int, "time_ms": float, "pe.rows": int, "seed": int, "dram_words": int}
    frame = pandas.read_parquet(whole / "results.parquet")
    rows = rows_of(whole)
    assert list(frame.columns) == list(rows[0])
    assert len(frame) == len(rows)
    for text, row in zip(rows, frame.to_dict("records"), strict=True):
        for name, value in row.items():
            if text[name] == "":
                assert value == "" or pandas.isna(value)
            else:
                assert types.get(name, type(value))(text[name]) == value


@pytest.mark.sampled(2)
@pytest.mark.parametrize("jobs", [2, 3])
def test_the_table_is_the_same_on_any_number_of_processes(
    jobs: int, whole: Path, tmp_path: Path
) -> None:
    subprocess.run(
        [*SWEEP, *CYCLE, "-o", str(tmp_path), "-j", str(jobs)], check=True, capture_output=True
    )
    assert tables(tmp_path) == tables(whole)
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert len(lines) == len(rows_of(whole))


def _children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _lines(folder: Path) -> list[bytes]:
    journal = folder / "journal.jsonl"
    return journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []


@pytest.mark.sampled(2)
@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(),
    reason="looks for processes in /proc, which this system lacks",
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_at_any_moment_and_resumed(jobs: int, whole: Path, tmp_path: Path) -> None:
    """Killed for good, three times, each time further on; then resumed to the end."""
    points = len(rows_of(whole))
    command = [*SWEEP, *CYCLE, "-o", str(tmp_path), "-j", str(jobs), "--resume"]
    finished: list[bytes] = []
    for number in (3, 12, 24):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait(lambda number=number: len(_lines(tmp_path)) >= number)
        children = _children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait(lambda children=children: not any(map(_alive, children)))
        assert not (tmp_path / "results.csv").exists(), "killed before its end"
        assert _lines(tmp_path)[: len(finished)] == finished, "what was finished stays"
        finished = _lines(tmp_path)
        assert number <= len(finished) < points
    subprocess.run(command, check=True, capture_output=True)
    lines = _lines(tmp_path)
    assert lines[: len(finished)] == finished
    assert sorted(json.loads(line)[0] for line in lines) == list(range(points)), (
        "no point ran twice"
    )
    assert tables(tmp_path) == tables(whole)


def test_a_line_that_a_kill_cut_off_runs_again(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = (whole / "journal.jsonl").read_bytes()
    command = ["sweep", *CYCLE, "-o", str(tmp_path), "--resume", "-f", "csv"]
    for name in ("sweep.json",):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    for cut in (len(journal) - 1, len(journal) - 100, journal.index(b"\n", len(journal) // 2) + 10):
        (tmp_path / "journal.jsonl").write_bytes(journal[:cut])
        assert run_command(command) == 0
        assert tables(tmp_path) == tables(whole)
    capsys.readouterr()


@pytest.mark.parametrize("keep", [4, 20])
def test_a_resumed_sweep_forecasts_what_is_left(keep: int, whole: Path, tmp_path: Path) -> None:
    """Whichever points are there.

    Also those that a forecast runs first, and none but impossible ones.
    """
    lines = _lines(whole)
    (tmp_path / "sweep.json").write_bytes((whole / "sweep.json").read_bytes())
    (tmp_path / "journal.jsonl").write_bytes(b"".join(line + b"\n" for line in lines[:keep]))
    question = ask("archon", DIGITS, CYCLE[CYCLE.index("--param") + 1 :: 2])
    with sweep.Sweep(question, tmp_path, resume=True) as resumed:
        forecast = resumed.forecast(2)
        assert forecast.points == len(rows_of(whole))
        assert forecast.finished == resumed.store.finished > keep
        assert forecast.seconds > 0


def test_images_that_a_workload_lacks_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=r"--images 99: fusionet_digits.h5 holds images 0 to 7"):
        archonsim.sweep("archon", DIGITS, images=99, folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    limit = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        " resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); from archonsim.cli.app import"
        " run_command; sys.exit(run_command(sys.argv[1:]))"
    )
    asked = ideal(tmp_path, "--param", "pe.adders=2..12", rows="2..20")
    done = subprocess.run(
        [sys.executable, "-c", limit, *asked],
        capture_output=True,
        text=True,
        check=False,
        env=without_coverage(),
    )
    assert done.returncode == 2, done.stderr
    assert f"{tmp_path / 'journal.jsonl'}: cannot write: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert run_command([*asked, "--resume"]) == 0


def test_a_finished_sweep_runs_nothing_again(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (whole / "journal.jsonl").read_bytes(), tables(whole)
    assert run_command(["sweep", *CYCLE, "-o", str(whole), "--resume"]) == 0
    assert "nothing left to run" in capsys.readouterr().err
    assert ((whole / "journal.jsonl").read_bytes(), tables(whole)) == before


def test_ctrl_c_says_how_to_go_on(whole: Path, tmp_path: Path) -> None:
    command = [*SWEEP, *CYCLE, "-o", str(tmp_path), "-j", "2"]
    # As a terminal does it: the whole group gets the signal.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait(lambda: len(_lines(tmp_path)) >= 10)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "--resume" in err
    assert f"of {len(rows_of(whole))} points are finished" in err
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    assert tables(tmp_path) == tables(whole)


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(),
    reason="looks for processes in /proc, which this system lacks",
)
def test_a_worker_that_dies_ends_the_sweep_in_one_line(whole: Path, tmp_path: Path) -> None:
    command = [*SWEEP, *CYCLE, "-o", str(tmp_path), "-j", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait(lambda: len(_lines(tmp_path)) >= 10)
    workers = [
        child
        for child in _children(process.pid)
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("archonsim: error: a worker process ended by itself")
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    assert tables(tmp_path) == tables(whole)


def test_a_comparison_in_which_nothing_ran_fails(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["compare", "-a", "archon", "-w", "mobilenetv2_c10"]
    assert run_command(wanted) == 2
    assert "none of 1 runs is possible; the first: " in capsys.readouterr().err


def test_a_sweep_in_which_nothing_ran_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["-a", "archon", "-w", str(DIGITS), "-o", str(tmp_path)]
    assert run_command(["sweep", *where, "--param", "pe.fifo_depth=2,3"]) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith(f"archonsim: error: none of 2 points can run (all are in {tmp_path})")
    assert {row["status"] for row in rows_of(tmp_path)} == {"infeasible"}


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["-a", "archon"], "--workload is missing"),
        (["-w", "fusionet_digits"], "--arch is missing"),
        (["-a", "archon", "-w", "fusionet_digts"], "did you mean 'fusionet_digits'"),
        (["-a", "archon", "-w", "fusionet_digits", "-j", "0"], "--jobs is 0"),
        (
            ["-a", "archon", "-w", "fusionet_digits", "-j", "2", "--dask", "tcp://127.0.0.1:1"],
            "keep one",
        ),
        (["missing.toml"], "missing.toml"),
        (["missing.toml", "-a", "archon"], "drop --arch, or the file"),
    ],
)
def test_bad_input(
    arguments: list[str], needed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    fidelity = [] if arguments == ["missing.toml"] else ["--fidelity", "ideal"]
    assert run_command(["sweep", *arguments, *fidelity, "-o", str(folder)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert needed in captured.err
    assert captured.err.count("\n") == 1
    assert not folder.exists()


@pytest.mark.full
def test_memory_does_not_grow_with_points(tmp_path: Path) -> None:
    """Points that differ in nothing that is kept for the next one.

    A kept report takes more than ten kilobytes.
    """
    held: dict[int, int] = {}

    def look(finished: int) -> None:
        if finished in (60, 160):
            gc.collect()
            held[finished] = tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        archonsim.sweep(
            "archon",
            "fusionet_digits",
            {"clock_mhz": "100..269"},
            fidelity="ideal",
            folder=tmp_path,
            on_point=look,
        )
    finally:
        tracemalloc.stop()
    assert (held[160] - held[60]) / 100 < 3000


def test_summary_and_frame(tmp_path: Path) -> None:
    result = archonsim.sweep(
        ["archon", "dense"],
        "fusionet_digits",
        {"pe.rows": [4, 8]},
        fidelity="ideal",
        folder=tmp_path,
    )
    frame = result.to_dataframe()
    assert list(frame["pe.rows"]) == [4, 8, 4, 8]
    assert list(frame["dram_words"].isna()) == [
        True,
        True,
        False,
        False,
    ], "ARCHON's closed form moves no words"
    fastest = frame[frame["arch"] == "archon"]["cycles"].min()
    assert (
        f"fastest of fusionet_digits on archon: {fastest:,} cycles".replace(",", " ")
        in result.summary()
    )
    assert math.isclose(frame["time_ms"].iloc[0], frame["cycles"].iloc[0] / 500_000)


def test_a_folder_that_nobody_named_goes_with_the_result() -> None:
    result = archonsim.sweep("archon", "fusionet_digits", {"pe.rows": [4]}, fidelity="ideal")
    path = result.csv
    assert path.exists()
    del result
    assert not path.parent.exists()
