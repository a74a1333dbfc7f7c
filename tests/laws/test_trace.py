"""What must hold for the trace of any machine.

A form that viewers read, no cycle or word lost, nothing disturbed.
"""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.cli.app import run_command
from archonsim.engine.observer import Observer, Recorder
from archonsim.errors import OutputError, SpecError
from archonsim.machines.phases import PhaseResult
from archonsim.machines.registry import machine, machine_names, machine_spec
from archonsim.network.networks import network
from archonsim.network.workload import Workload
from archonsim.result.report import Report
from archonsim.runs.images import Execution
from archonsim.runs.simulate import simulate
from archonsim.show.timeline.coarse import GRAINS, WINDOWS
from archonsim.show.timeline.perfetto import event_tree, write_timeline
from archonsim.stats.timeline import Timeline
from archonsim.trace.image import ImageInputs
from archonsim.trace.synthetic import synthesize
from archonsim.trace.what_if import MaskPolicy
from archonsim.tracefile.writer import write_workload
from tests.examples import examples

MACHINES = machine_names()
#: Presets, and changes that stress one thing each.
CASES = [
    *((name, ()) for name in MACHINES), *((name, ("dram.model=unlimited",)) for name in MACHINES),
    *((name, ("dram.gigabytes_per_second=0.7", "dram.latency_cycles=7")) for name in MACHINES),
    ("archon", ("weights=cache", "dma.stream_chunks=5", "dram.burst_words=64")),
    ("dense", ("clock_mhz=333",)),
]  # fmt: skip
each_case = pytest.mark.parametrize(
    ("name", "overrides"), CASES, ids=lambda part: part if isinstance(part, str) else ",".join(part)
)

Event = dict[str, Any]


@cache
def digits() -> Workload:
    return synthesize(network("fusionet_digits"), seed=1, images=2)[0]


@cache
def traced(name: str, overrides: tuple[str, ...]) -> tuple[Report, Timeline, list[Event]]:
    found, recorder = machine(name), Recorder()
    report = simulate(
        digits(), found, machine_spec(found, None, overrides), how=Execution(observer=recorder)
    )
    return report, recorder.timeline, event_tree(report, recorder.timeline)["traceEvents"]


def slices(events: list[Event], track: str) -> list[Event]:
    (number,) = {
        one["tid"]
        for one in events
        if one["name"] == "thread_name" and one["args"]["name"] == track
    }
    return [one for one in events if one["ph"] == "X" and one["tid"] == number]


def traffic(report: Report, component: str) -> Counter[str]:
    sums: Counter[str] = Counter()
    for layer in report.layers:
        for key, words in layer.traffic.items():
            if key.startswith(component + "."):
                sums[key.removeprefix(component + ".")] += int(words)
    return sums


@each_case
def test_every_event_is_one_that_viewers_know(name: str, overrides: tuple[str, ...]) -> None:
    report, _, events = traced(name, overrides)
    named = {one["tid"] for one in events if one["name"] == "thread_name"}
    counters: dict[str, list[float]] = defaultdict(list)
    for one in events:
        assert {"ph", "name", "ts", "pid", "tid"} <= one.keys()
        assert one["ph"] in ("M", "X", "C")
        assert type(one["name"]) is str
        assert one["pid"] == 1
        assert type(one["tid"]) is int
        assert 0 <= one["ts"] <= report.total_cycles
        if one["ph"] == "X":
            assert one["dur"] >= 0
            assert one["ts"] + one["dur"] <= report.total_cycles
            assert (one["ts"] * 8) % 1 == (one["dur"] * 8) % 1 == 0, (
                "eighths of a cycle, which are exact"
            )
            assert one["tid"] in named
        if one["ph"] == "C":
            assert all(math.isfinite(value) and value >= 0 for value in one["args"].values())
            counters[one["name"]].append(one["ts"])
    assert all(before < after for times in counters.values() for before, after in pairwise(times))
    assert all(times[0] == 0 and times[-1] == report.total_cycles for times in counters.values())


@each_case
def test_fifos_are_shown_where_there_are_some(name: str, overrides: tuple[str, ...]) -> None:
    _, timeline, events = traced(name, overrides)
    shown = [
        one["args"]["entries"]
        for one in events
        if one["ph"] == "C" and one["name"] == "adder FIFOs"
    ]
    assert bool(shown) == (name == "archon")
    if shown:
        assert 0 < max(shown) <= max(timeline.fifo_entries.value) <= 64 * 6 * 5, (
            "no more than PEs x lanes x depth"
        )
        assert shown[-1] == timeline.fifo_entries.value[-1] == 0


@each_case
def test_slices_nest_and_only_the_array_s_do(name: str, overrides: tuple[str, ...]) -> None:
    events = traced(name, overrides)[2]
    by_track: dict[int, list[Event]] = defaultdict(list)
    for one in events:
        if one["ph"] == "X":
            by_track[one["tid"]].append(one)
    (array,) = {one["tid"] for one in slices(events, "array (1 us = 1 cycle)")}
    for track, all_of_it in by_track.items():
        ends: list[float] = []
        for one in sorted(all_of_it, key=lambda one: (one["ts"], -one["dur"])):
            while ends and ends[-1] <= one["ts"]:
                ends.pop()
            assert not ends or one["ts"] + one["dur"] <= ends[-1], (
                "a slice begins in another and ends after it"
            )
            ends.append(one["ts"] + one["dur"])
            assert len(ends) <= (2 if track == array else 1)


@each_case
def test_array_slices_cover_every_cycle(name: str, overrides: tuple[str, ...]) -> None:
    """Phases follow each other from 0 to the end; in each, tiles and waits do.

    Each tile says where its cycles went.
    """
    report, _, events = traced(name, overrides)
    names = {f"{layer.name} {layer.phase}" for layer in report.layers}
    phases = [one for one in slices(events, "array (1 us = 1 cycle)") if one["name"] in names]
    inner = sorted(
        (one for one in slices(events, "array (1 us = 1 cycle)") if one["name"] not in names),
        key=lambda one: one["ts"],
    )
    for row in (phases, inner):
        clock = 0
        for one in row:
            assert one["ts"] == clock
            clock += one["dur"]
        assert clock == report.total_cycles
    assert [one["dur"] for one in phases] == [
        layer.cycles for layer in report.layers if layer.cycles
    ]
    lost: Counter[str] = Counter()
    for one in inner:
        if one["name"].startswith("tile"):
            assert sum(one["args"].values()) == one["dur"]
            lost.update(one["args"])
        else:
            lost[{"wait: DRAM": "dram", "wait: on-chip ports": "glb"}[one["name"]]] += one["dur"]
    expected = Counter(compute=sum(int(layer.compute) for layer in report.layers))
    for layer in report.layers:
        expected.update({cause: int(cycles) for cause, cycles in layer.stalls.items()})
    assert +lost == +expected


@each_case
def test_dram_slices_hold_the_report_s_words(name: str, overrides: tuple[str, ...]) -> None:
    report, timeline, events = traced(name, overrides)
    words: Counter[str] = Counter()
    for one in slices(events, "DRAM channel"):
        words.update(one["args"]["words"])
        assert one["args"]["moved_words"] >= sum(one["args"]["words"].values())
        assert one["name"] == " + ".join(
            sorted(label.replace(".", " ") for label in one["args"]["words"])
        )
    assert words == traffic(report, "dram")
    moved = sum(one["args"]["moved_words"] for one in slices(events, "DRAM channel"))
    burst = report.machine["dram"]["burst_words"]
    assert moved % burst == 0
    assert words.total() <= moved < words.total() + burst * len(timeline.servers["dram"].words)


@each_case
def test_ports_hold_no_more_than_the_report_s_words(name: str, overrides: tuple[str, ...]) -> None:
    """Accesses that take no time (spilled psums, edge memories) are in the report alone."""
    report, timeline, events = traced(name, overrides)
    for port in timeline.servers.keys() - {"dram"}:
        words: Counter[str] = Counter()
        for one in slices(events, f"port {port}"):
            words.update(one["args"]["words"])
        counted = traffic(report, port.partition(".")[0])
        assert all(words[label] <= counted[label] for label in words)


@each_case
def test_the_bandwidth_counter_adds_up(name: str, overrides: tuple[str, ...]) -> None:
    report, timeline, events = traced(name, overrides)
    moved: Counter[str] = Counter()
    for label, words in zip(
        timeline.servers["dram"].label, timeline.servers["dram"].moved, strict=True
    ):
        moved[label.partition(".")[0]] += words
    for direction in ("read", "write"):
        points = [
            (one["ts"], one["args"]["GB/s"]) for one in events if one["name"] == f"DRAM {direction}"
        ]
        cycles_times_rate = sum(
            value * (end - start) for (start, value), (end, _) in pairwise(points)
        )
        assert cycles_times_rate / report.clock_mhz * 1000 / 2 == pytest.approx(
            moved[direction], abs=0.01 * WINDOWS
        )
        if report.machine["dram"]["model"] != "unlimited":
            assert (
                max(value for _, value in points)
                <= report.machine["dram"]["gigabytes_per_second"] + 1e-6
            )


@pytest.mark.parametrize("chunks", [1, 2, 5])
def test_the_stream_buffer_is_never_fuller_than_it_is_and_ends_empty(chunks: int) -> None:
    level = traced("archon", (f"dma.stream_chunks={chunks}",))[1].stream_chunks
    assert min(level.value) == 0
    assert max(level.value) == chunks
    assert level.value[-1] == 0
    assert level.at == sorted(level.at)


@pytest.mark.sampled(3)
@each_case
def test_watching_changes_nothing(name: str, overrides: tuple[str, ...]) -> None:
    found = machine(name)
    assert (
        simulate(digits(), found, machine_spec(found, None, overrides)).to_dict()
        == traced(name, overrides)[0].to_dict()
    )


@examples(15)
@given(
    st.floats(0.3, 60),
    st.integers(0, 150),
    st.sampled_from(["all", "trace", "random:0.2"]),
    st.integers(1, 4),
)
def test_every_cycle_is_covered_on_any_memory(
    rate: float, latency: int, masks: str, chunks: int
) -> None:
    found, recorder = machine("archon"), Recorder()
    spec = machine_spec(
        found,
        None,
        (
            f"dram.gigabytes_per_second={rate}",
            f"dram.latency_cycles={latency}",
            f"dma.stream_chunks={chunks}",
        ),
    )
    report = simulate(
        digits(), found, spec, masks=MaskPolicy.parse(masks), how=Execution(observer=recorder)
    )
    tiles, waits, dram = (
        recorder.timeline.tiles,
        recorder.timeline.waits,
        recorder.timeline.servers["dram"],
    )
    spans = sorted(
        [*zip(tiles.start, tiles.end, strict=True), *zip(waits.start, waits.end, strict=True)]
    )
    clock = 0
    for start, end in spans:
        assert start == clock
        clock = end
    assert clock == report.total_cycles
    assert all(end <= start for end, start in zip(dram.end, dram.start[1:], strict=False))


def test_a_trace_is_small_the_same_every_time_and_of_the_first_image(tmp_path: Path) -> None:
    paths = [tmp_path / "one.json.gz", tmp_path / "two.json.gz", tmp_path / "plain.json"]
    report, timeline, events = traced("archon", ())
    for path in paths:
        write_timeline(report, timeline, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].read_bytes()[4:8] == bytes(4), "no time of writing in gzip's header"
    assert gzip.decompress(paths[0].read_bytes()) == paths[2].read_bytes()
    assert Counter(one["tid"] for one in events).most_common(1)[0][1] <= 2 * GRAINS
    found, recorder = machine("archon"), Recorder()
    both = simulate(
        digits(), found, machine_spec(found), images=None, how=Execution(observer=recorder)
    )
    assert both.per_image[0].total_cycles != both.per_image[1].total_cycles
    assert event_tree(both, recorder.timeline)["traceEvents"] == events


def test_the_command_writes_a_trace_that_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work, path = tmp_path / "digits.h5", tmp_path / "deep" / "out.json.gz"
    write_workload(work, *synthesize(network("fusionet_digits"), seed=1, images=2))
    command = ["run", "-a", "archon", "-w", str(work), "--images", "1", "--format", "json"]
    assert run_command(command) == 0
    plain = capsys.readouterr().out
    assert run_command([*command, "--trace", str(path)]) == 0
    captured = capsys.readouterr()
    assert captured.out == plain
    assert "out.json.gz" in captured.err.replace("\n", "")
    tree, result = json.loads(gzip.decompress(path.read_bytes())), json.loads(plain)
    about = tree["otherData"]
    for key in ("arch", "workload", "digest", "clock_mhz", "total_cycles", "machine"):
        assert about[key] == result[key]
    assert (about["image"], about["masks"]) == (1, "SYNTHETIC")
    (title,) = [one["args"]["name"] for one in tree["traceEvents"] if one["name"] == "process_name"]
    assert "SYNTHETIC" in title
    assert (
        run_command([*command, "--masks", "random:0.3", "--seed", "4", "--trace", str(path)]) == 0
    )
    assert (
        json.loads(gzip.decompress(path.read_bytes()))["otherData"]["masks"]
        == "SYNTHETIC, what-if: random:0.3, seed 4"
    )


class Unobserved:
    """A plug-in's machine.

    `dense`, with a simulation that takes no observer, or takes one and tells it nothing.
    """

    def __init__(self, takes: bool) -> None:
        self._dense, self._takes = machine("dense"), takes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dense, name)

    def prepare(self, workload: Workload, spec: Any) -> Any:
        inner = self._dense.prepare(workload, spec)

        class Plain:
            def run(self, image: ImageInputs, on_step: Callable[[str], None]) -> list[PhaseResult]:
                return inner.run(image, on_step)

        class Mute:
            def run(
                self, image: ImageInputs, on_step: Callable[[str], None], observer: Observer
            ) -> list[PhaseResult]:
                return inner.run(image, on_step)

        return Mute() if self._takes else Plain()


def test_plug_ins_that_take_no_observer_run_and_say_why_they_are_not_traced() -> None:
    spec, recorder = machine_spec(machine("dense")), Recorder()
    assert (
        simulate(digits(), Unobserved(False), spec).layers
        == simulate(digits(), machine("dense"), spec).layers
    )
    with pytest.raises(
        SpecError, match="'dense' cannot be traced: its simulation's run takes no observer"
    ):
        simulate(digits(), Unobserved(False), spec, how=Execution(observer=recorder))
    report = simulate(digits(), Unobserved(True), spec, how=Execution(observer=recorder))
    with pytest.raises(OutputError, match="'dense' does not tell the engine's observer"):
        event_tree(report, recorder.timeline)


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (
            ["--trace", "out.json.gz", "--fidelity", "ideal"],
            ["--trace out.json.gz", "closed form", "--fidelity cycle"],
        ),
        (["--trace", "out.pdf"], ["--trace out.pdf", ".json.gz"]),
    ],
)
def test_what_cannot_be_traced_is_refused_in_one_line(
    arguments: list[str], needed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["run", "-a", "dense", "-w", "fusionet_digits", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert all(word in captured.err for word in needed)
