"""The one style of tables on a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

#: Space below and next to cells: between columns only, so that 80 characters hold more of them.
_TIGHT, _USUAL = (0, 1, 0, 0), (0, 1)


def new_table(
    words: tuple[str, ...] = (),
    numbers: tuple[str, ...] = (),
    *,
    title: str = "",
    bold_title: bool = False,
    tight: bool = False,
    ruled: bool = True,
    head: bool = True,
) -> Table:
    """Return an empty table.

    Parameters
    ----------
    words : tuple of str
        Heads of columns of text, which never fold.
    numbers : tuple of str
        Heads of columns of numbers behind them, which stand to the right.
    title : str
    bold_title : bool
        In the style of a heading, for tables of which there are several.
    tight : bool
        Leave out the space before a cell, for wide tables.
    ruled : bool
        Draw a rule below the head.
    head : bool
        Show the heads.
    """
    table = Table(
        box=SIMPLE_HEAD if ruled else None,
        pad_edge=False,
        show_edge=False,
        show_header=head,
        header_style="bold",
        padding=_TIGHT if tight else _USUAL,
        title=title or None,
        title_justify="left",
        title_style="bold" if bold_title else None,
    )
    for name in words:
        table.add_column(name, no_wrap=True)
    add_numbers(table, *numbers)
    return table


def add_numbers(table: Table, *names: str) -> None:
    """Add columns of numbers."""
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
