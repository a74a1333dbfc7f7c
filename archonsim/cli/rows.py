"""A list of what is known by name, as a table, JSON or CSV."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from archonsim.cli.common import Format, emit
from archonsim.result.files import rows_to_csv, to_json
from archonsim.result.wording import number
from archonsim.show.terminal.style import new_table


def _table(rows: list[dict[str, Any]]) -> Table:
    table = new_table(ruled=False)
    for key, value in rows[0].items():
        table.add_column(
            key,
            justify="right" if isinstance(value, int) and not isinstance(value, bool) else "left",
        )
    for row in rows:
        table.add_row(
            *(number(value) if isinstance(value, int) else str(value) for value in row.values())
        )
    return table


def print_rows(form: Format, rows: list[dict[str, Any]]) -> None:
    """Print rows of one kind in the format asked for."""
    emit(form, lambda: _table(rows), lambda: to_json(rows), lambda: rows_to_csv(rows))
