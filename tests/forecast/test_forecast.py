"""Forecasts against what then happens, and blocks that are not pruned within bounded memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from archonsim.cli.app import run_command
from archonsim.errors import UserError
from archonsim.machines.archon.forecast import forecast as archon_forecast
from archonsim.machines.archon.forecast import fused_candidates
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.archon.tile_trace import streamed
from archonsim.machines.registry import machine, machine_spec
from archonsim.network.networks import network
from archonsim.network.workload import Workload
from archonsim.pe.beats import cut
from archonsim.runs.forecast import forecast_runs, parse_memory
from archonsim.runs.scenario import Scenario
from archonsim.runs.verify import verify
from archonsim.trace.fused_weight import fuse
from archonsim.trace.kept import Kept
from archonsim.trace.synthetic import synthesize
from archonsim.tracefile.find import find_workload

TOP = Path(__file__).parents[2]
DIGITS, FUSIONET = TOP / "workloads/fusionet_digits.h5", TOP / "workloads/fusionet_c10.h5"


def _spec() -> ArchonSpec:
    found: ArchonSpec = machine_spec(machine("archon"))
    return found


@pytest.mark.parametrize("path", [DIGITS, FUSIONET, None], ids=["digits", "fusionet", "dense"])
def test_candidates_are_exact_and_beats_within_a_fifth(path: Path | None, dense: Path) -> None:
    work, spec = find_workload(str(path or dense)), _spec()
    assert work.trace is not None
    beats = forecast = 0
    works = {one.name: one for one in archon_forecast(work, spec)}
    for block in list(work.blocks())[:5]:
        fused = fuse(block, work.trace)
        assert fused_candidates(block, work.trace) == fused.candidates
        tiles = -(-block.dw.out_h // spec.pe.rows) * -(-block.dw.out_w // spec.pe.cols)
        sizes = np.diff(fused.start)
        beats += tiles * int(np.maximum(-(-sizes // spec.pe.beat_width), 1).sum())
        forecast += works[block.name].beats
    assert forecast == pytest.approx(beats, rel=0.2)


@pytest.mark.parametrize("path", [DIGITS, None], ids=["digits", "dense"])
def test_events_are_those_of_the_run(path: Path | None, dense: Path) -> None:
    run = Scenario(arch="archon", workload=path or dense).prepare()
    report = run.execute()
    events = sum(layer.activity["simpy.events"] for layer in report.layers)
    assert forecast_runs("run", [run], 10**10).events == pytest.approx(events, rel=0.1)


def test_a_stream_is_made_in_the_memory_that_is_forecast(dense: Path) -> None:
    """Of the largest block, tens of bytes a candidate before: 4 and what its groups take."""
    work, spec = find_workload(str(dense)), _spec()
    assert work.trace is not None
    for block in work.blocks():
        fused = fuse(block, work.trace)
        ordered = streamed(block, fused, spec)
        cut(ordered, lanes=spec.pe.adders, per_lane=spec.pe.candidates_per_adder)
        tracemalloc.start()
        stream = cut(ordered, lanes=spec.pe.adders, per_lane=spec.pe.candidates_per_adder)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4 * fused.candidates + 16 * stream.beats + 60 * fused.groups
    works = {one.name: one for one in archon_forecast(work, spec)}
    assert all(works[block.name].peak_bytes > 0 for block in work.blocks())


@pytest.mark.parametrize("most", [1, 100, 5000])
def test_parts_of_the_groups_are_the_whole(most: int, dense: Path) -> None:
    work = find_workload(str(dense))
    assert work.trace is not None
    for block in work.blocks():
        fused = fuse(block, work.trace).in_order(np.arange(0, 500, 7, dtype=np.int32))
        parts = list(fused.parts(most))
        assert [which.start for which, _ in parts[1:]] == [which.stop for which, _ in parts[:-1]]
        assert all(part.candidates <= most or part.groups == 1 for _, part in parts)
        for name in ("mid", "row", "value", "out", "tap"):
            joined = np.concatenate([getattr(part, name) for _, part in parts])
            np.testing.assert_array_equal(joined, getattr(fused, name))


def test_layers_under_masks_are_the_sum_over_fused_weights(dense: Path) -> None:
    work = find_workload(str(dense))
    layers, fused = verify(work, images=[0]), verify(work, images=[0], fused=True)
    assert all(one.passed for one in layers)
    for one, other in zip(layers, fused, strict=True):
        assert one.max_error == pytest.approx(other.max_error, rel=1e-6)
    assert not all(one.passed for one in verify(work, images=[0], clip=True))


@pytest.mark.parametrize(
    "line",
    [
        f"run -a archon -w {DIGITS}",
        f"run -a dense -w {DIGITS}",
        f"verify -w {DIGITS}",
        f"verify -w {DIGITS} --fused",
        f"inspect {DIGITS} --deep",
        f"compare -a dense,archon -w {DIGITS}",
        f"sweep -a archon -w {DIGITS} --param pe.rows=4,8,16",
    ],
)
def test_a_dry_run_forecasts_and_runs_nothing(
    line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command([*line.split(), "--dry-run", "-f", "json"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["command"] == line.split()[0]
    assert tree["seconds"] > 0
    assert tree["bytes"] > 10**8
    assert tree["parts"][0]["steps"]
    assert ("archon" in line.replace(str(DIGITS), "")) == (tree["beats"] > 0)
    assert run_command([*line.split(), "--dry-run"]) == 0
    assert "nothing is run" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_what_cannot_fit_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], dense: Path
) -> None:
    assert run_command(["run", "-a", "archon", "-w", str(dense), "--memory", "100M"]) == 2
    out, error = capsys.readouterr()
    assert not out
    assert error.count("\n") == 1
    assert "may take 100 MB" in error
    assert "fused weights of b3 are not zero" in error
    assert run_command(["inspect", "fusionet_c10", "--memory", "100M"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run_command(["run", "-a", "archon", "-w", str(dense), "--memory", "lots"]) == 2
    assert "--memory is 'lots'" in capsys.readouterr().err


def test_what_cannot_run_is_still_a_row_of_a_comparison(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = f"compare -a dense,archon -w {DIGITS} --set archon.glb.words=64"
    assert run_command(line.split()) == 0
    assert "buffers for a tile's inputs" in " ".join(capsys.readouterr().out.split())
    assert run_command([*line.split(), "--dry-run"]) == 0
    assert "buffers for a tile's inputs" in " ".join(capsys.readouterr().out.split())


def test_memory_is_read() -> None:
    assert [parse_memory(text) for text in ("4G", "1.5g", "200 MB", "7000")] == [
        4 * 10**9,
        15 * 10**8,
        2 * 10**8,
        7000,
    ]
    for wrong in ("", "G", "-1", "0", "4 apples"):
        with pytest.raises(UserError, match="--memory"):
            parse_memory(wrong)


def test_a_block_of_more_candidates_than_can_be_numbered_is_refused() -> None:
    """MobileNetV2's last block has 4.4e8 of them; its forecast counts them without listing any."""
    work = _unpruned("mobilenetv2_c10")
    last = list(work.blocks())[-1]
    assert work.trace is not None
    assert fused_candidates(last, work.trace) > 9 * 160 * 960 * 320


def _unpruned(name: str) -> Workload:
    shapes = network(name)
    items = tuple(one for one in shapes.items if one.name == "b16")
    work, _ = synthesize(
        type(shapes)(name=shapes.name, items=items, provenance=shapes.provenance),
        seed=0,
        weight_density=(1.0, 1.0, 1.0),
    )
    return work


def test_results_are_kept_within_a_number_of_bytes() -> None:
    kept, made = Kept(10), list[int]()

    def get(key: int, size: int) -> int:
        def make() -> int:
            made.append(key)
            return key

        found: int = kept.get(key, make, lambda one: size)
        return found

    assert [get(1, 4), get(2, 4), get(1, 4), get(3, 4)] == [1, 2, 1, 3]
    assert made == [1, 2, 3]
    assert kept.bytes == 8
    get(1, 4)
    get(2, 4)
    assert made == [1, 2, 3, 2]
    kept.limit(3)
    assert kept.bytes == 0
