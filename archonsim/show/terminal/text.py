"""Results as tables for a terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archonsim.network.workload import Provenance
from archonsim.result.report import LayerReport, Report
from archonsim.result.values import Number
from archonsim.result.wording import (
    grouped,
    is_warning,
    microjoules,
    number,
    provenance_lines,
    share,
)
from archonsim.show.terminal.style import new_table
from archonsim.spec.dram_device import say_dram
from archonsim.vocabulary.known import in_order


def heading(title: str, provenance: Provenance, digest: str) -> Text:
    """Open a report: what it is about, then where its workload comes from."""
    text = Text(title, style="bold")
    for line in provenance_lines(provenance, digest):
        text.append("\n" + line, style="yellow" if is_warning(line) else "not bold")
    return text


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of the table.

    It is left out where the terminal is narrower than `from_width` characters.
    """

    name: str
    text: Callable[[LayerReport, Number], str]
    from_width: int = 0


def _blank(value: Number) -> str:
    return number(value) if value else ""


def _microjoules(picojoules: float | None) -> str:
    return "" if picojoules is None else grouped(picojoules / 1e6, 1)


def _stall(cause: str) -> Callable[[LayerReport, Number], str]:
    return lambda layer, total: _blank(layer.stalls.get(cause, 0))


#: Stands for a column of each cause of stalls.
_STALLS = _Column("", lambda layer, total: "")

_COLUMNS = (
    _Column("cycles", lambda layer, total: number(layer.cycles)),
    _Column("share", lambda layer, total: share(layer.cycles, total), 100),
    _Column("MACs", lambda layer, total: _blank(layer.macs), 128),
    _Column("adds done", lambda layer, total: _blank(layer.adds), 114),
    _Column("possible", lambda layer, total: _blank(layer.adds_possible), 142),
    _Column("survival", lambda layer, total: share(layer.adds, layer.adds_possible), 92),
    _STALLS,
    _Column("energy uJ", lambda layer, total: _microjoules(layer.energy_pj), 154),
    _Column("PE util.", lambda layer, total: f"{100 * layer.utilization:.0f} %"),
)


def _columns(report: Report) -> Iterator[_Column]:
    """Yield all columns, one for each cause of stalls among them."""
    causes = in_order("stalls", {cause for layer in report.layers for cause in layer.stalls})
    for column in _COLUMNS:
        if column is _STALLS:
            yield from (_Column(cause, _stall(cause)) for cause in causes)
        else:
            yield column


def _merge(name: str, layers: Iterable[LayerReport]) -> LayerReport:
    """Add phases up into one row."""
    group = list(layers)
    stalls: Counter[str] = Counter()
    for layer in group:
        stalls.update(layer.stalls)
    cycles = sum(layer.cycles for layer in group)
    energies = [layer.energy_pj for layer in group if layer.energy_pj is not None]
    return LayerReport(
        name=name,
        block=None,
        phase="",
        cycles=cycles,
        compute=sum(layer.compute for layer in group),
        macs=sum(layer.macs for layer in group),
        adds=sum(layer.adds for layer in group),
        adds_possible=sum(layer.adds_possible for layer in group),
        stalls=dict(stalls),
        utilization=(
            math.fsum(layer.utilization * layer.cycles for layer in group) / cycles
            if cycles
            else 0.0
        ),
        traffic={},
        activity={},
        energy_pj=math.fsum(energies) if len(energies) == len(group) else None,
    )


def _table(report: Report, width: int) -> Table:
    """All phases of all layers, then sums by phase, then the total."""
    total = report.total_cycles
    columns = [
        column
        for column in _columns(report)
        if column.from_width <= width and any(column.text(layer, total) for layer in report.layers)
    ]
    table = new_table(tight=True)
    for name in ("layer", "phase"):
        table.add_column(name, no_wrap=True)
    for column in columns:
        table.add_column(column.name, justify="right", no_wrap=True)

    def add(name: str, phase: str, layer: LayerReport, style: str = "", end: bool = False) -> None:
        table.add_row(
            name, phase, *(one.text(layer, total) for one in columns), style=style, end_section=end
        )

    above = ""
    for layer in report.layers:
        add(
            "" if layer.name == above else layer.name,
            layer.phase,
            layer,
            end=layer is report.layers[-1],
        )
        above = layer.name
    phases = list(dict.fromkeys(layer.phase for layer in report.layers))
    for phase in phases:
        add(
            "all",
            phase,
            _merge("all", (layer for layer in report.layers if layer.phase == phase)),
            end=phase == phases[-1],
        )
    add("total", "", _merge("total", report.layers), style="bold")
    return table


def _head(report: Report, provenance: Provenance) -> Text:
    images = (
        "mean of images " + ", ".join(map(str, report.image_numbers)) if report.images > 1 else ""
    )
    if report.images == 1 and report.image_numbers:
        images = f"image {report.image_numbers[0]}"
    parts = [f"{report.arch} on {report.workload}", f"{report.fidelity} fidelity"]
    if report.fidelity == "cycle" and provenance.mask_source != "none":
        parts.append(images)
        what_if = "" if report.masks == "trace" else f" (what-if, seed {report.seed})"
        parts.append(f"masks: {report.masks}{what_if}")
    return heading(" · ".join(part for part in parts if part), provenance, report.digest)


def _foot(report: Report) -> Text:
    dram = report.machine.get("dram", {})
    memory = f"DRAM {'unlimited' if report.fidelity == 'ideal' else say_dram(dram)}"
    text = Text(
        f"{number(report.total_cycles)} cycles = {report.time_ms:.3f} ms at"
        f" {report.clock_mhz:g} MHz",
        style="bold",
    )
    energy = "" if report.energy_uj is None else f"; {microjoules(report.energy_uj)} uJ"
    text.append(
        f"; {number(report.total_macs)} MACs, {number(report.total_adds)} adds; {memory}{energy}",
        style="not bold",
    )
    for word, lines in (("includes", report.includes), ("excludes", report.excludes)):
        for line in lines:
            text.append(f"\n{word}: {line}", style="not bold")
    return text


def render(report: Report, provenance: Provenance, width: int) -> RenderableType:
    """Lay a report out as a table for a terminal of `width` characters."""
    return Group(_head(report, provenance), Text(), _table(report, width), Text(), _foot(report))
