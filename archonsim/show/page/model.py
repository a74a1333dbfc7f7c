"""What a page holds, as data: the template turns it into HTML, escaped."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from archonsim.result import wording
from archonsim.show.figures.chart import Chart


@dataclass(frozen=True, slots=True)
class Card:
    """A headline number.

    Attributes
    ----------
    label, value, note : str
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class TableCell:
    """One cell of a table.

    Attributes
    ----------
    text : str
        As people read it.
    key : str
        As it is sorted: a number, or the text itself.
    """

    text: str
    key: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table that sorts when a head is clicked.

    Attributes
    ----------
    name : str
        For links and downloads.
    caption : str
    columns : tuple of str
    numeric : tuple of bool
        Whether a column holds numbers.
    rows : list of tuple of TableCell
    csv : str
        The same as data, for download.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: list[tuple[TableCell, ...]]
    csv: str = ""

    @property
    def link(self) -> str:
        """The CSV as a link of its own."""
        return data_link(self.csv)


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure.

    Attributes
    ----------
    name : str
    chart : Chart
    alt : str
        What it shows, for those who cannot see it.
    wide : bool
        Whether it takes the whole width.
    """

    name: str
    chart: Chart
    alt: str
    wide: bool = False

    @property
    def link(self) -> str:
        """The drawn numbers as a link."""
        return data_link(self.chart.csv())


@dataclass(frozen=True, slots=True)
class Interactive:
    """A chart to zoom and pan.

    Attributes
    ----------
    name : str
    kind : {"timeline", "scatter"}
    title, help : str
    alt : str
    data : dict
        For the script, as JSON.
    """

    name: str
    kind: str
    title: str
    help: str
    alt: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything on a page, in its order.

    Attributes
    ----------
    title, subtitle : str
    command : str
        What runs the same again; empty where no single command does.
    warnings : list of str
    cards : list of Card
    interactive : list of Interactive
    pictures : list of Picture
    tables : list of Table
    machines : list of (name, TOML text)
    includes, excludes : list of str
    origin : list of (key, value)
        Where workloads come from, digests, versions.
    """

    title: str
    subtitle: str
    command: str = ""
    warnings: list[str] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)
    interactive: list[Interactive] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    machines: list[tuple[str, str]] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)
    excludes: list[str] = field(default_factory=list)
    origin: list[tuple[str, str]] = field(default_factory=list)


def grouped(value: float) -> str:
    """Write a whole number with narrow groups of three digits."""
    return wording.grouped(value, gap=wording.NARROW)


def doubts(workload: str, mask_source: str, note: str) -> list[str]:
    """Say how far a workload may be trusted, where there is a doubt."""
    lines = wording.origin_line(workload, mask_source)
    return [*lines, f"{workload}: {note}"] if note else lines


def data_link(text: str) -> str:
    """Return text as a link that needs no network."""
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(text.encode()).decode()


def table(
    name: str, caption: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], csv: str = ""
) -> Table:
    """Put a table together.

    Numbers are written with thin groups, a column is numeric if all its values are numbers or None.
    """
    numeric = tuple(
        all(isinstance(row[at], int | float) or row[at] is None for row in rows)
        and any(row[at] is not None for row in rows)
        for at in range(len(columns))
    )
    writers = [
        _writer([row[at] for row in rows]) if number else str for at, number in enumerate(numeric)
    ]
    cells = [
        tuple(
            TableCell("" if one is None else write(one), "" if one is None else str(one))
            for one, write in zip(row, writers, strict=True)
        )
        for row in rows
    ]
    return Table(name, caption, tuple(columns), numeric, cells, csv)


def _writer(values: Sequence[Any]) -> Callable[[Any], str]:
    """Write whole numbers whole, and others so that the least keeps three figures."""
    sizes = [abs(one) for one in values if one]
    if not sizes or min(sizes) >= 1000 or all(float(one).is_integer() for one in sizes):
        return grouped
    digits = min(5, max(1, 2 - math.floor(math.log10(min(sizes)))))
    return lambda one: wording.grouped(one, digits, wording.NARROW)
