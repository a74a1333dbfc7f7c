"""A paper's figures as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archonsim.reproduce.cell import STATUSES, Cell, Number, Reproduction
from archonsim.result.wording import number
from archonsim.show.terminal.style import add_numbers, new_table

STYLES = {
    "exact": "",
    "rounding": "",
    "shape": "",
    "rules": "dim",
    "given": "dim",
    "defect": "yellow",
    "differs": "bold red",
}

#: Sections of many cells, of which a brief table shows only those that something is wrong with.
DETAILS = ("cycles", "energies", "older model", "public model", "layers")
WRONG = ("defect", "differs")

TITLES = {
    "speedups": "speedups: quotients of the published totals",
    "table": "the printed table",
    "plotted": "totals in the authors' plot scripts",
    "older model": "totals by the older model, behind the printed speedups",
    "public model": "totals by the public model",
    "layers": "layers by the public model",
    "PE": "one PE: the design's own simulation, and ours on the same masks",
    "density model": "what a uniform-density model says; corrected: from the masks",
}


def _figure(value: Number | None) -> str:
    if value is None:
        return ""
    return number(value) if isinstance(value, int) else f"{value:.4f}".rstrip("0").rstrip(".")


def _within(cell: Cell) -> str:
    return "" if cell.within is None else f"± {_figure(cell.within)}"


def _printed(text: str) -> str:
    return number(int(text)) if text.isdecimal() else text


def _table(title: str, cells: list[Cell]) -> Table:
    table = new_table(title=title)
    optional = [
        name
        for name in ("corrected", "trained")
        if any(getattr(cell, name) is not None for cell in cells)
    ]
    for name in ("run", "figure"):
        table.add_column(name, overflow="fold")
    rounded = any(cell.within is not None for cell in cells)
    add_numbers(table, "published", "ours", *(["within"] if rounded else []), *optional)
    table.add_column("status", no_wrap=True)
    table.add_column("notes", overflow="fold")
    above = ""
    for cell in cells:
        figures = (
            _printed(cell.published),
            _figure(cell.ours),
            *([_within(cell)] if rounded else []),
            *(_figure(getattr(cell, name)) for name in optional),
        )
        run = "" if cell.run == above else cell.run
        table.add_row(
            run, cell.item, *figures, cell.status, ", ".join(cell.notes), style=STYLES[cell.status]
        )
        above = cell.run
    return table


def _tally(reproduction: Reproduction) -> Table:
    """Count figures by run and status."""
    table = new_table(title="figures")
    table.add_column("run", no_wrap=True)
    add_numbers(table, *STATUSES)

    def add(name: str, cells: Iterable[Cell], style: str = "", end: bool = False) -> None:
        table.add_row(
            name,
            *(str(count or "") for count in reproduction.tally(cells).values()),
            style=style,
            end_section=end,
        )

    runs = list(dict.fromkeys(cell.run for cell in reproduction.cells))
    for run in runs:
        add(run, [cell for cell in reproduction.cells if cell.run == run], end=run == runs[-1])
    add("all", reproduction.cells, style="bold")
    return table


def _statuses(reproduction: Reproduction) -> Iterator[Text]:
    tally = reproduction.tally()
    for status, meaning in STATUSES.items():
        if tally[status]:
            yield Text(f"{status}: {meaning}", style=STYLES[status])


def _notes(reproduction: Reproduction, shown: list[Cell]) -> Table:
    """Explain the notes of cells that are shown, and those that belong to no cell."""
    table = new_table(title="notes")
    table.add_column("note", no_wrap=True)
    table.add_column("what is wrong")
    table.add_column("beside it")
    used = {note for cell in shown for note in cell.notes}
    compared = {note for cell in reproduction.cells for note in cell.notes}
    for note in reproduction.notes:
        if note.id in used or note.id not in compared:
            table.add_row(note.id, note.text, note.corrected)
    return table


def render_reproduction(reproduction: Reproduction, *, brief: bool) -> RenderableType:
    """Lay a paper's figures out section by section, then what the notes mean, then the verdict.

    Parameters
    ----------
    reproduction : Reproduction
    brief : bool
        Leave out layers and phases that nothing is wrong with.
    """
    shown = [
        cell
        for cell in reproduction.cells
        if not brief or cell.section not in DETAILS or cell.status in WRONG
    ]
    parts: list[RenderableType] = [Text(reproduction.source, style="dim"), Text()]
    for section in dict.fromkeys(cell.section for cell in shown):
        parts += [
            _table(
                TITLES.get(section, section), [cell for cell in shown if cell.section == section]
            ),
            Text(),
        ]
    parts += [
        _notes(reproduction, shown),
        Text(),
        _tally(reproduction),
        Text(),
        *_statuses(reproduction),
        Text(),
    ]
    differs = reproduction.tally()["differs"]
    verdict = (
        "every figure is exact or listed"
        if reproduction.ok
        else f"{differs} figures differ, and no listed defect explains them"
    )
    parts.append(
        Text(f"{reproduction.name}: {verdict}", style="bold" if reproduction.ok else "bold red")
    )
    return Group(*parts)
