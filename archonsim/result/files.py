"""Results as JSON and CSV, and their files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archonsim.atomic import replacing
from archonsim.visible import visible

if TYPE_CHECKING:
    from pandas import DataFrame, Series

#: A spreadsheet takes a cell that begins so for a formula.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def to_json(tree: Any) -> str:
    """Return JSON text; the same tree gives the same bytes."""
    return json.dumps(tree, indent=1, allow_nan=False) + "\n"


def rows_to_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Return one line for each row under its head: `columns`, or the keys of the first row.

    What is None stays empty; texts are written as :func:`csv_cell` says.
    """
    text = io.StringIO()
    writer = csv.DictWriter(
        text,
        columns or list(rows[0]),
        extrasaction="ignore" if columns else "raise",
        lineterminator="\n",
    )
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def csv_cell(value: Any) -> Any:
    """Return a value as a CSV cell; a text that would run as a formula is quoted.

    Control characters are shown; numbers, and texts that are numbers, stay as they are.
    """
    if not isinstance(value, str):
        return value
    text = visible(value)
    # A text that begins like a quoted one is quoted, too: cell_value takes one quote off again.
    quoted = text.lstrip("'").startswith(FORMULA_SIGNS) and not _is_number(text)
    return f"'{text}" if quoted else text


def cell_value(cell: str) -> str:
    """Return the text that :func:`csv_cell` wrote as a cell, control characters as shown."""
    quoted = cell.startswith("'") and cell.lstrip("'").startswith(FORMULA_SIGNS)
    return cell[1:] if quoted else cell


def frame_to_csv(frame: DataFrame) -> str:
    """Return a data frame as CSV without its index; texts are written as :func:`csv_cell` says."""
    cells = frame.apply(lambda column: column.map(csv_cell) if _holds_texts(column) else column)
    text: str = cells.to_csv(index=False, lineterminator="\n")
    return text


def _holds_texts(column: Series) -> bool:
    return any(isinstance(value, str) for value in column)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or nothing; raises as `write_bytes` does."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file or nothing; raises as `replacing` does."""
    with replacing(path) as file:
        file.write(data)


def write_result(folder: Path, name: str, json: str, csv: str) -> list[Path]:
    """Write ``NAME.json`` and ``NAME.csv`` into `folder`; return their paths.

    Raises as `write_bytes` does.
    """
    paths = [folder / f"{name}.json", folder / f"{name}.csv"]
    for path, text in zip(paths, (json, csv), strict=True):
        write_text(path, text)
    return paths
