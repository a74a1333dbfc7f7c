"""Rows of a user's table, with quotes, blanks and comments.

Commas, semicolons or tabs separate the columns.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from archonsim.errors import WorkloadError
from archonsim.user_files import read_user_text

#: Separators, by what a message calls them.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table.

    Attributes
    ----------
    where : str
        File and number of the line.
    cells : tuple of str
        Without blanks around them; blank ones at the end are left out.
    separator : str
        What separates the cells, in words.
    """

    where: str
    cells: tuple[str, ...]
    separator: str

    def error(self, what: str) -> WorkloadError:
        """Return an error about this line."""
        return WorkloadError(f"{self.where}: {what}")


def read_lines(path: Path) -> list[Line]:
    """Read all lines that are not blank; the first one decides what separates cells.

    A ``#`` that begins a line, or stands behind a value, begins a comment.

    Raises
    ------
    WorkloadError
        The file cannot be read, is no text, or has an open quote.
    """
    text = read_user_text(path, WorkloadError, "a topology is a CSV file")
    first = next((line for line in text.splitlines() if line.strip().strip(",;")), "")
    separator = max(SEPARATORS, key=first.count)
    lines: list[Line] = []
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            cells = _cells(row)
            if cells:
                where = f"{path}: line {reader.line_num}"
                lines.append(Line(where, tuple(cells), SEPARATORS[separator]))
    except csv.Error as error:
        raise WorkloadError(
            f"{path}: line {reader.line_num}: {error}; close every quote, and double one within"
        ) from error
    return lines


def _cells(row: list[str]) -> list[str]:
    """Strip cells, drop comments, and drop blank cells at the end."""
    cells: list[str] = []
    for place, cell in enumerate(row):
        kept = cell.strip()
        if kept.startswith("#"):
            break
        if place and "#" in kept:
            cells.append(kept.partition("#")[0].strip())
            break
        cells.append(kept)
    while cells and not cells[-1]:
        cells.pop()
    return cells
