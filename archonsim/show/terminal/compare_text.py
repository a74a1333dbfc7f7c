"""A comparison as a table for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from archonsim.result.compare import Comparison, Row
from archonsim.result.wording import microjoules, number
from archonsim.show.terminal.style import add_numbers, new_table


def _area(row: Row) -> str:
    if row.area_mm2 is None:
        return "unknown"
    extra = f" (+{row.extra_area_mm2:.3f})" if row.extra_area_mm2 else ""
    return f"{row.area_mm2:.3f}{extra}"


def _energy(value: float | None) -> str:
    return "unknown" if value is None else microjoules(value)


def _array(row: Row) -> str:
    pes = str(row.pes)
    return pes if row.rows is None else f"{row.rows} x {row.cols} = {pes}"


def render_comparison(comparison: Comparison) -> RenderableType:
    """Lay a comparison out as a table, warnings below."""
    table = new_table()
    for name in ("workload", "arch", "fidelity"):
        table.add_column(name)
    add_numbers(table, "cycles", "ms", "energy uJ", "speedup", "PEs", "buffers KiB", "area mm2")
    for at, row in enumerate(comparison.rows):
        figures = (
            ("not possible", "", "", "")
            if row.cycles is None or row.time_ms is None
            else (
                row.fidelity or "",
                number(row.cycles),
                f"{row.time_ms:.3f}",
                _energy(row.energy_uj),
            )
        )
        table.add_row(
            row.workload,
            row.arch,
            *figures,
            "" if row.speedup is None else f"{row.speedup:.2f}x",
            _array(row),
            f"{row.buffer_kib:.1f}",
            _area(row),
            style="bold" if at == comparison.base else "",
        )
    base = comparison.rows[comparison.base]
    notes = Text(f"speedup over {base.workload} on {base.arch} (bold), by time", style="dim")
    if comparison.budget != "none":
        what = {"pes": "number of PEs", "area": "area"}[comparison.budget]
        notes.append(f"\narrays rescaled to the base's {what}; buffers as they are")
    if any(row.extra_area_mm2 for row in comparison.rows):
        notes.append(
            "\narea in brackets: ARCHON's prediction GLB, which the published total leaves out"
            + ("; the budget counts it" if comparison.budget == "area" else "")
        )
    for line in comparison.warnings:
        notes.append(f"\n{line}", style="yellow")
    return Group(table, Text(), notes)
