"""Results as tables for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archonsim.report.report import LayerReport, Number, Report
from archonsim.stats.counts import STALLS
from archonsim.workload.workload import Provenance


def number(value: Number) -> str:
    """Write a count with thin groups of three digits; a mean without decimals."""
    return f"{value:,.0f}".replace(",", " ")


def share(part: Number, whole: Number) -> str:
    """Write a percentage; nothing of nothing is blank."""
    return f"{100 * part / whole:.1f} %" if whole else ""


def provenance_lines(provenance: Provenance, digest: str) -> Iterator[str]:
    """Say where a workload comes from, and how far it can be trusted."""
    accuracy = provenance.test_accuracy
    if provenance.mask_source == "none":
        yield f"{provenance.network}: shapes only, no weights or masks"
    else:
        what = (
            "SYNTHETIC, no network computed them"
            if provenance.mask_source == "synthetic"
            else f"a {provenance.mask_source} network"
        )
        yield f"{provenance.network} ({provenance.dataset}, {provenance.flavour}); masks: {what}"
    if accuracy is not None:
        yield f"test accuracy {100 * accuracy:.2f} % on {provenance.test_images} images, measured on the exported weights"
    if provenance.note:
        yield f"note: {provenance.note}"
    if digest:
        yield f"digest {digest[:16]}…, written by {provenance.created_by}"


def _row(layer: LayerReport, total: Number) -> list[str]:
    stalls = [number(layer.stalls[cause]) if cause in layer.stalls else "" for cause in STALLS]
    return [
        layer.name, layer.phase, number(layer.cycles), share(layer.cycles, total), number(layer.macs) if layer.macs else "",
        number(layer.adds) if layer.adds else "", share(layer.adds, layer.adds_possible), *stalls,
        f"{100 * layer.utilization:.0f} %",
    ]  # fmt: skip


def _table(title: str, first: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for name in first:
        table.add_column(name, no_wrap=True)
    for name in ("cycles", "share", "MACs", "adds", "survival", *STALLS, "PE util."):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _merge(name: str, layers: Iterable[LayerReport]) -> LayerReport:
    """Add phases up into one row."""
    group = list(layers)
    stalls: Counter[str] = Counter()
    for layer in group:
        stalls.update(layer.stalls)
    cycles = sum(layer.cycles for layer in group)
    return LayerReport(
        name=name, block=None, phase="", cycles=cycles, compute=sum(layer.compute for layer in group),
        macs=sum(layer.macs for layer in group), adds=sum(layer.adds for layer in group),
        adds_possible=sum(layer.adds_possible for layer in group), stalls=dict(stalls),
        utilization=sum(layer.utilization * layer.cycles for layer in group) / cycles if cycles else 0.0, traffic={},
    )  # fmt: skip


def _by_layer(report: Report) -> Table:
    table = _table("Cycles by layer and phase", ("layer", "phase"))
    for at, layer in enumerate(report.layers):
        last = at + 1 == len(report.layers) or report.layers[at + 1].name != layer.name
        table.add_row(*_row(layer, report.total_cycles), end_section=last and layer.block is not None)
    return table


def _by_phase(report: Report) -> Table:
    table = _table("Cycles by phase", ("", "phase"))
    for phase in dict.fromkeys(layer.phase for layer in report.layers):
        row = _row(_merge("all", (layer for layer in report.layers if layer.phase == phase)), report.total_cycles)
        table.add_row(row[0], phase, *row[2:])
    total = _row(_merge("total", report.layers), report.total_cycles)
    table.add_row(*total, style="bold")
    return table


def _head(report: Report, provenance: Provenance) -> Text:
    images = "mean of images " + ", ".join(map(str, report.image_numbers)) if report.images > 1 else ""
    if report.images == 1 and report.image_numbers:
        images = f"image {report.image_numbers[0]}"
    parts = [f"{report.arch} on {report.workload}", f"{report.fidelity} fidelity", images]
    if report.fidelity == "cycle":
        what_if = "" if report.masks == "trace" else f" (what-if, seed {report.seed})"
        parts.append(f"masks: {report.masks}{what_if}")
    text = Text(" · ".join(part for part in parts if part), style="bold")
    for line in provenance_lines(provenance, report.digest):
        warn = "SYNTHETIC" in line or line.startswith("note: interim")
        text.append("\n" + line, style="yellow" if warn else "not bold")
    return text


def _foot(report: Report) -> Text:
    dram = report.machine.get("dram", {})
    if report.fidelity == "ideal" or dram.get("model") == "unlimited":
        memory = "DRAM unlimited"
    else:
        memory = f"DRAM {dram.get('gigabytes_per_second')} GB/s, {dram.get('latency_cycles')} cycles latency"
    text = Text(f"{number(report.total_cycles)} cycles = {report.time_ms:.3f} ms at {report.clock_mhz:g} MHz", style="bold")
    text.append(f"; {number(report.total_macs)} MACs, {number(report.total_adds)} adds; {memory}", style="not bold")
    for word, lines in (("includes", report.includes), ("excludes", report.excludes)):
        for line in lines:
            text.append(f"\n{word}: {line}", style="not bold")
    return text


def render(report: Report, provenance: Provenance) -> RenderableType:
    """Lay a report out as tables."""
    return Group(_head(report, provenance), Text(), _by_layer(report), Text(), _by_phase(report), Text(), _foot(report))
