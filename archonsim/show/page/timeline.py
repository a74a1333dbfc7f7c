"""Data of the timeline to zoom in.

What the array did when, phase by phase, and what its memories moved meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from archonsim.result.report import LayerReport, Report
from archonsim.result.values import Number
from archonsim.show.figures.frames import shown
from archonsim.show.figures.style import phase_fill, stall_fill
from archonsim.show.page.model import grouped
from archonsim.show.timeline.coarse import as_moves, merge, rate
from archonsim.spec.parts import WORD_BITS
from archonsim.stats.timeline import Moves, Timeline
from archonsim.vocabulary import known

#: A track holds at most about twice as many merged slices, and a level so many values: a page stays
#: below some megabytes.
GRAINS, WINDOWS = 1_500, 600

_ALTERNATE = ("#6D7C8A", "#93A1AE")
_WORK, _TILE, _OTHER = "#4F9AC9", "#5B8DB8", "#8F969E"

Span = list[Any]


class _Tracks:
    """Collects tracks; texts are kept once."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.notes: list[str] = []
        self.colors: dict[int, str] = {}
        self.tracks: list[dict[str, Any]] = []
        self.legend: list[list[str]] = []
        self._known: dict[tuple[str, str], int] = {}

    def label(self, text: str, color: str, legend: bool = False) -> int:
        """Return a label's number; one text may have several colours."""
        if (text, color) not in self._known:
            self._known[text, color] = len(self.labels)
            self.colors[len(self.labels)] = color
            self.labels.append(text)
        if legend and [text, color] not in self.legend:
            self.legend.append([text, color])
        return self._known[text, color]

    def note(self, text: str) -> int:
        """Return a note's number."""
        self.notes.append(text)
        return len(self.notes) - 1

    def add(self, name: str, spans: Iterable[Span]) -> None:
        """Append a track, unless nothing is on it."""
        kept = [span for span in spans if span[1] > span[0]]
        if kept:
            self.tracks.append({"name": name, "spans": kept})

    def data(self, total: float, unit: str) -> dict[str, Any]:
        """Return it all for the script."""
        return {
            "unit": unit,
            "total": total,
            "tracks": self.tracks,
            "labels": self.labels,
            "notes": self.notes,
            "colors": self.colors,
            "legend": self.legend,
        }


def _said(layer: LayerReport) -> str:
    """What a phase took, in words."""
    parts = [f"{layer.name} {layer.phase}: {grouped(layer.compute)} cycles of work"]
    parts += [
        f"{grouped(cycles)} {stall_fill(cause).label}" for cause, cycles in layer.stalls.items()
    ]
    return ", ".join(parts)


def _phases(into: _Tracks, layers: Sequence[LayerReport]) -> None:
    """Add layers, their phases in sequence, and each phase's owners as shares of its span."""
    above: list[Span] = []
    phases: list[Span] = []
    owners: list[Span] = []
    at: Number = 0
    before = ""
    for layer in layers:
        start, at = at, at + layer.cycles
        group = layer.name.split(".")[0] if layer.block is not None else layer.name
        if group == before:
            above[-1][1] = at
        else:
            above.append([start, at, into.label(group, _ALTERNATE[len(above) % 2])])
        before = group
        note = into.note(_said(layer))
        fill = phase_fill(layer.phase)
        phases.append([start, at, into.label(fill.label, fill.color, legend=True), note])
        here: Number = start
        for kind, cycles in (("work", layer.compute), *layer.stalls.items()):
            name, color = (
                ("work", _WORK)
                if kind == "work"
                else (stall_fill(kind).label, stall_fill(kind).color)
            )
            if cycles:
                owners.append([here, here + cycles, into.label(name, color, legend=True), note])
            here += cycles
    into.add("layer or block", above)
    into.add("phase", phases)
    into.add("owners (shares)", owners)


def _moves(into: _Tracks, moves: Moves, total: int, *, by_kind: bool) -> list[Span]:
    spans = []
    for one in merge(moves, total // GRAINS):
        name = " + ".join(label.replace(".", " ") for label in sorted(one.words))
        kinds = {label.rsplit(".", 1)[-1] for label in one.words}
        color = known.kind(kinds.pop()).colour if by_kind and len(kinds) == 1 else _OTHER
        words = sum(one.words.values())
        note = [into.note(f"{grouped(words)} words of 16 bits")] if words else []
        start, end = (round(ticks / moves.ticks_per_cycle, 2) for ticks in (one.start, one.end))
        spans.append([start, end, into.label(name, color), *note])
    return spans


def _array(into: _Tracks, timeline: Timeline, total: int) -> list[Span]:
    """Tiles, short neighbours as one, and the waits between them."""
    tiles, waits = timeline.tiles, timeline.waits
    spans: list[Span] = []
    grain = total // GRAINS
    tile, several = into.label("tile", _TILE), into.label("tiles", _TILE)
    for start, end in zip(tiles.start, tiles.end, strict=True):
        last = spans[-1] if spans else None
        if last is not None and start - last[1] <= grain and end - last[0] <= grain:
            last[1:3] = end, several
        else:
            spans.append([start, end, tile])
    for cause, start, end in zip(waits.label, waits.start, waits.end, strict=True):
        fill = stall_fill(cause)
        if end - start > grain // 4:
            spans.append([start, end, into.label(fill.label, fill.color, legend=True)])
    return sorted(spans)


def run_timeline(run: Report, timeline: Timeline | None) -> dict[str, Any]:
    """Return tracks of a run's first image.

    Phases in any case, and all recorded events if the run has a timeline.

    Parameters
    ----------
    run : Report
    timeline : Timeline or None
        Of the same run's first image.
    """
    layers = run.first_image
    total = round(sum(layer.cycles for layer in layers))  # whole: one image's, where there are any
    into = _Tracks()
    _phases(into, layers)
    if timeline is not None and timeline.phases.end:
        into.add("array", _array(into, timeline, total))
        into.add("DMA waits", _moves(into, as_moves(timeline.dma), total, by_kind=False))
        for name in sorted(timeline.servers, key=lambda one: (one != "dram", one)):
            buffer, _, direction = name.partition(".")
            title = (
                "DRAM channel"
                if name == "dram"
                else f"port {known.component(buffer).title}.{direction}"
            )
            into.add(title, _moves(into, timeline.servers[name], total, by_kind=True))
        into.tracks += _levels(run, timeline, total)
    return into.data(total, "cycles")


def _levels(run: Report, timeline: Timeline, total: int) -> list[dict[str, Any]]:
    """Gigabytes a second on the DRAM channel, bursts included."""
    if "dram" not in timeline.servers:
        return []
    window = max(1, -(-total // WINDOWS))
    gigabytes = WORD_BITS / 8 * run.clock_mhz / 1000
    levels = []
    for direction, color in (("read", "#0072B2"), ("write", "#009E73")):
        values = [
            round(value * gigabytes, 3)
            for value in rate(timeline.servers["dram"], direction, total, window)
        ]
        levels.append(
            {
                "name": f"DRAM {direction}",
                "unit": "GB/s",
                "window": window,
                "levels": values,
                "color": color,
            }
        )
    return levels


def comparison_timeline(runs: Sequence[Report]) -> dict[str, Any]:
    """Return a track for each run of one workload, all on one axis of microseconds."""
    into = _Tracks()
    for run in runs:
        spans: list[Span] = []
        at = 0.0
        for layer in run.first_image:
            start, at = at, at + layer.cycles / run.clock_mhz
            fill = phase_fill(layer.phase)
            into.label(fill.label, fill.color, legend=True)
            spans.append(
                [
                    round(start, 4),
                    round(at, 4),
                    into.label(layer.name, fill.color),
                    into.note(_said(layer)),
                ]
            )
        into.add(run.arch, spans)
    longest = max(track["spans"][-1][1] for track in into.tracks)
    return into.data(longest, "µs")


def title_of(run: Report) -> str:
    """Name a run."""
    return f"{run.arch} on {shown(run.workload)}"
