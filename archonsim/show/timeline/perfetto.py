"""A run's timeline for Perfetto (https://ui.perfetto.dev) and ``chrome://tracing``.

JSON events, one cycle as one microsecond.

Times are rounded to eighths of a cycle, which both programs and floating point hold exactly.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from archonsim.errors import OutputError
from archonsim.result.files import write_bytes
from archonsim.result.report import LayerReport, Report
from archonsim.result.wording import trust
from archonsim.show.timeline.coarse import (
    as_moves,
    grain_cycles,
    mean_level,
    merge,
    rate,
    window_cycles,
)
from archonsim.spec.parts import WORD_BITS
from archonsim.stats.timeline import Moves, Timeline
from archonsim.version import __version__
from archonsim.vocabulary import known

Event = dict[str, Any]

PROCESS = 1
COUNTERS, ARRAY, DMA, DRAM, PORTS = 0, 2, 3, 4, 5
STEPS_PER_CYCLE = 8


def check_path(path: Path) -> None:
    """Refuse a path whose suffix says that something else is meant.

    Raises
    ------
    OutputError
        It ends neither in .json nor in .json.gz.
    """
    if not path.name.endswith((".json", ".json.gz")):
        raise OutputError(
            f"--trace {path}: a trace is JSON; its name must end in .json.gz, or in .json to leave"
            " it uncompressed"
        )


def write_timeline(report: Report, timeline: Timeline, path: Path) -> None:
    """Write the timeline of a report's first image, compressed if the name ends in ``.gz``.

    The same run, the same bytes.

    Raises
    ------
    OutputError
        The run recorded no timeline, or the path is not writable.
    """
    text = json.dumps(event_tree(report, timeline), separators=(",", ":"), allow_nan=False)
    data = text.encode() + b"\n"
    write_bytes(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def event_tree(report: Report, timeline: Timeline) -> dict[str, Any]:
    """Return the tree that Perfetto reads."""
    image, layers = report.per_image[0].image, report.per_image[0].layers
    phases = timeline.phases
    if [(one.phase, one.cycles) for one in layers] != [
        (name, end - start)
        for name, start, end in zip(phases.label, phases.start, phases.end, strict=True)
    ]:
        raise OutputError(
            f"--trace: architecture {report.arch!r} does not tell the engine's observer what each"
            " phase does when"
        )
    total = phases.end[-1] if phases.end else 0
    return {
        "otherData": _about(report, image, total),
        "traceEvents": [
            *_names(report, image, timeline),
            *_array(layers, timeline),
            *_slices(DMA, as_moves(timeline.dma), total, "wait"),
            *_memories(timeline, total),
            *_counters(report, timeline, total),
        ],
    }


def _masks(report: Report) -> str:
    """Say where masks come from, and what was made of them.

    Weights and flipped masks of a synthetic trace are synthetic, too.
    """
    masks = trust(report.provenance.masks_from).masks
    return (
        masks
        if report.masks in ("", "trace")
        else f"{masks}, what-if: {report.masks}, seed {report.seed}"
    )


def _about(report: Report, image: int, total: int) -> dict[str, Any]:
    return {
        "arch": report.arch,
        "workload": report.workload,
        "digest": report.digest,
        "image": image,
        "masks": _masks(report),
        "mask_source": report.provenance.mask_source,
        "note": report.provenance.note,
        "clock_mhz": report.clock_mhz,
        "total_cycles": total,
        "time_unit": "1 us on screen is 1 cycle of the array",
        "grain_cycles": grain_cycles(total),
        "window_cycles": window_cycles(total),
        "archonsim": __version__,
        "machine": report.machine,
    }


def _event(phase: str, name: str, track: int, start: float, **more: Any) -> Event:
    return {"ph": phase, "name": name, "pid": PROCESS, "tid": track, "ts": start, **more}


def _shown(ticks: int, ticks_per_cycle: int) -> float:
    """Return a time in cycles, rounded down to eighths, whole cycles as integers.

    What does not overlap still does not.
    """
    steps = ticks * STEPS_PER_CYCLE // ticks_per_cycle
    return steps // STEPS_PER_CYCLE if steps % STEPS_PER_CYCLE == 0 else steps / STEPS_PER_CYCLE


def _span(name: str, track: int, start: float, end: float, **args: Any) -> Event:
    return _event("X", name, track, start, dur=end - start, **({"args": args} if args else {}))


def _ports(timeline: Timeline) -> list[str]:
    return sorted(name for name in timeline.servers if name != "dram")


def _names(report: Report, image: int, timeline: Timeline) -> Iterator[Event]:
    title = f"{report.arch} on {report.workload}, image {image}; masks: {_masks(report)}"
    yield _event("M", "process_name", COUNTERS, 0, args={"name": title})
    tracks = {ARRAY: "array (1 us = 1 cycle)", DMA: "DMA waiting", DRAM: "DRAM channel"}
    tracks |= {PORTS + place: f"port {name}" for place, name in enumerate(_ports(timeline))}
    for track, name in tracks.items():
        yield _event("M", "thread_name", track, 0, args={"name": name})
        yield _event("M", "thread_sort_index", track, 0, args={"sort_index": track})


def _array(layers: tuple[LayerReport, ...], timeline: Timeline) -> Iterator[Event]:
    """Phases, in them tiles and the waits between tiles.

    Together they fill a phase to the cycle.
    """
    phases, tiles, waits = timeline.phases, timeline.tiles, timeline.waits
    for layer, start, end in zip(layers, phases.start, phases.end, strict=True):
        if end > start:
            yield _span(
                f"{layer.name} {layer.phase}",
                ARRAY,
                start,
                end,
                compute=layer.compute,
                **layer.stalls,
            )
    for index, start, end, compute, stalls in zip(
        tiles.index, tiles.start, tiles.end, tiles.compute, tiles.stalls, strict=True
    ):
        if end > start:
            yield _span(f"tile {index}", ARRAY, start, end, compute=compute, **stalls)
    for cause, start, end in zip(waits.label, waits.start, waits.end, strict=True):
        yield _span(f"wait: {known.stall(cause).wait}", ARRAY, start, end)


def _slices(track: int, moves: Moves, total: int, kind: str) -> Iterator[Event]:
    scale = moves.ticks_per_cycle
    for one in merge(moves, grain_cycles(total)):
        name = " + ".join(label.replace(".", " ") for label in sorted(one.words))
        args: dict[str, Any] = (
            {"words": one.words, "moved_words": one.moved} if kind == "move" else {}
        )
        if one.busy < one.end - one.start:
            args["busy_cycles"] = round(one.busy / scale, 3)
        yield _span(name, track, _shown(one.start, scale), _shown(one.end, scale), **args)


def _memories(timeline: Timeline, total: int) -> Iterator[Event]:
    for track, name in [(DRAM, "dram"), *enumerate(_ports(timeline), PORTS)]:
        if name in timeline.servers:
            yield from _slices(track, timeline.servers[name], total, "move")


def _counters(report: Report, timeline: Timeline, total: int) -> Iterator[Event]:
    window = window_cycles(total)
    gigabytes = WORD_BITS / 8 * report.clock_mhz / 1000
    if total and "dram" in timeline.servers:
        for direction in ("read", "write"):
            rates = rate(timeline.servers["dram"], direction, total, window)
            yield from _counter(
                f"DRAM {direction}",
                "GB/s",
                [round(value * gigabytes, 6) for value in rates],
                total,
                window,
            )
    levels = (
        ("stream buffer", "chunks", timeline.stream_chunks),
        ("adder FIFOs", "entries", timeline.fifo_entries),
    )
    for name, unit, level in levels:
        if level.at:
            yield from _counter(
                name,
                unit,
                [round(value, 6) for value in mean_level(level, total, window)],
                total,
                window,
            )


def _counter(name: str, unit: str, values: list[float], total: int, window: int) -> Iterator[Event]:
    """Yield a value wherever it changes, and 0 at the end."""
    before: float | None = None
    for place, value in enumerate([*values, 0.0]):
        if value != before or place == len(values):
            yield _event("C", name, COUNTERS, min(place * window, total), args={unit: value})
        before = value
