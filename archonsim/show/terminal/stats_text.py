"""Statistics of a run other than cycles.

Words by component and kind, rows, turnarounds, conflicts, events.
"""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archonsim.result.report import Report
from archonsim.result.wording import number, share
from archonsim.show.terminal.style import add_numbers, new_table


def _sum(report: Report, field: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for layer in report.layers:
        total.update(getattr(layer, field))
    return total


def _traffic(report: Report) -> Table:
    """16-bit words: a row for each component and direction, a column for each kind of data."""
    words = {tuple(key.split(".")): count for key, count in _sum(report, "traffic").items()}
    kinds = list(dict.fromkeys(kind for _, _, kind in sorted(words)))
    table = new_table(tight=True)
    table.add_column("16-bit words", no_wrap=True)
    add_numbers(table, *kinds, "all", "a cycle")
    for component, direction in sorted({key[:2] for key in words}):
        row = [words.get((component, direction, kind), 0) for kind in kinds]
        rate = sum(row) / report.total_cycles if report.total_cycles else 0
        table.add_row(
            f"{component} {direction}",
            *(number(one) if one else "" for one in row),
            number(sum(row)),
            f"{rate:.2f}",
        )
    return table


def _lines(activity: Counter[str]) -> list[str]:
    lines = [
        f"{what.replace('.', ' ').replace('_', ' ')}: {number(count)}"
        for what, count in sorted(activity.items())
    ]
    hits, misses = activity["dram.row_hits"], activity["dram.row_misses"]
    return [*lines, f"dram row hit rate: {share(hits, hits + misses)}"] if hits + misses else lines


def _mappings(report: Report) -> Table:
    """Mappings of fused phases: a row for each block, a column for each key of a mapping file."""
    found = [(layer.name, layer.mapping) for layer in report.layers if layer.mapping]
    table = new_table(tight=True)
    table.add_column("mapping", no_wrap=True)
    for key in dict.fromkeys(key for _, mapping in found for key in mapping):
        table.add_column(key.replace("_", " "))
    for name, mapping in found:
        table.add_row(name, *map(_said, mapping.values()))
    return table


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def render_stats(report: Report) -> RenderableType:
    """Lay the statistics of a run out for a terminal; means over the images."""
    shown: list[RenderableType] = [
        Text(),
        _traffic(report),
        Text(),
        Text("\n".join(_lines(_sum(report, "activity")))),
    ]
    if any(layer.mapping for layer in report.layers):
        shown += [Text(), _mappings(report)]
    return Group(*shown)
