"""The table of a sweep, read back: one row for each point, and what was asked.

``archonsim sweep`` leaves a folder with ``sweep.json`` (what was asked), ``results.csv`` and
``results.parquet`` (the table) and ``journal.jsonl``. Any of the first three, or the folder, names
the sweep.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from archonsim.errors import ResultError
from archonsim.result.files import cell_value
from archonsim.result.read import check_schema, checked, parse_json, read_bytes
from archonsim.result.values import MOST_AMOUNT, Plain

if TYPE_CHECKING:
    from pandas import DataFrame, Series

#: Version of the folder.
SCHEMA: Final = 1

MANIFEST_NAME, CSV_NAME, PARQUET_NAME = "sweep.json", "results.csv", "results.parquet"
WHAT = "the folder, sweep.json or results.csv of `archonsim sweep`"

#: Columns that identify a point, in addition to its parameters.
HEAD = ("key", "arch", "workload", "digest", "fidelity", "masks", "seed", "images")
STATUS = ("status", "reason")
#: Columns of results, in addition to ``stall.*`` and ``energy.*``.
COUNTED = ("cycles", "compute", "macs", "adds", "adds_possible", "dram_words")
MEASURED = ("time_ms", "energy_uj")
#: Further columns.
ABOUT = ("mask_source", "note", "version", "archonsim", "clock_mhz")

OK, INFEASIBLE = "ok", "infeasible"
_TEXTS = ("key", "arch", "workload", "digest", "fidelity", "masks", "images", *STATUS)
_NEEDED = ("arch", "workload", "fidelity", "status")


def is_figure(column: str) -> bool:
    """Whether a column holds what a simulation counted or measured."""
    return column in (*COUNTED, *MEASURED) or column.startswith(("stall.", "energy."))


def is_parameter(column: str) -> bool:
    """Whether a column holds a parameter of a machine."""
    return not is_figure(column) and column not in (*HEAD, *STATUS, *ABOUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the masks of a workload come from.

    Attributes
    ----------
    mask_source, note : str
    """

    mask_source: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a sweep was asked, as far as its table needs explaining.

    Attributes
    ----------
    archs, workloads : tuple of str
    fixed : dict of ``KEY`` or ``ARCH.KEY`` to a value
        What was changed in every point.
    """

    archs: tuple[str, ...]
    workloads: tuple[str, ...]
    fixed: dict[str, Plain]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """``sweep.json``, as far as its table needs explaining.

    Attributes
    ----------
    archonsim : str
        Version of the program that ran the sweep.
    question : Asked
    origins : tuple of Origin
        One for each workload; empty in the oldest folders.
    """

    schema: Literal[1]
    archonsim: str
    question: Asked
    origins: tuple[Origin, ...] = ()

    @property
    def origin_of(self) -> dict[str, Origin]:
        """Origins by the names of workloads in the table."""
        return dict(zip(self.question.workloads, self.origins, strict=False))


@dataclass(frozen=True, slots=True)
class SweepTable:
    """All points of a sweep.

    Attributes
    ----------
    frame : DataFrame
        One row for each point, checked; with columns mask_source and note of its workloads where
        the manifest tells them.
    manifest : Manifest or None
        None where only the table is there.
    path : Path
        Of the table.
    """

    frame: DataFrame
    manifest: Manifest | None = None
    path: Path = field(default_factory=Path)

    @classmethod
    def read(cls, path: Path) -> SweepTable:
        """Read a sweep by its folder, its ``sweep.json`` or its table.

        Raises
        ------
        ResultError
            It is none, it is damaged, or it is not finished.
        """
        table = table_of(path)
        manifest = read_manifest(table.with_name(MANIFEST_NAME))
        frame = _read_frame(table)
        if manifest is not None:
            known = manifest.origin_of
            nothing = Origin(mask_source="", note="")
            found = [known.get(name, nothing) for name in frame["workload"]]
            frame["mask_source"] = [one.mask_source for one in found]
            frame["note"] = [one.note for one in found]
        return cls(frame, manifest, table)


def table_of(path: Path) -> Path:
    """Return the path of a sweep's CSV, given its folder, manifest or either table.

    Raises
    ------
    ResultError
        The sweep is not finished.
    """
    if path.is_dir():
        path = path / MANIFEST_NAME
    if path.name not in (MANIFEST_NAME, PARQUET_NAME):
        return path
    table = path.with_name(CSV_NAME)
    if path.exists() and not table.exists():
        raise ResultError(
            f"{path.parent}: this sweep is not finished, so it has no {CSV_NAME}; go on with the"
            " same `archonsim sweep` and --resume"
        )
    return table


def read_manifest(path: Path) -> Manifest | None:
    """Return what a sweep was asked, or None without a manifest in the folder of its table.

    Raises
    ------
    ResultError
        The manifest is damaged, or of another version.
    """
    if not path.exists():
        return None
    data = read_bytes(path, WHAT)
    tree = parse_json(data, str(path), WHAT)
    if "question" not in tree:
        raise ResultError(f"{path}: another kind of file; give {WHAT}")
    check_schema(tree, (SCHEMA,), str(path))
    return checked(Manifest, data, str(path))


def _read_frame(path: Path) -> DataFrame:
    """Read and check the table."""
    rows = _read_rows(path)
    import pandas as pd

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    text.seek(0)
    frame = pd.read_csv(text, dtype=dict.fromkeys(_TEXTS, str), index_col=False)
    for name in frame.columns:
        _check_column(frame[name], name, path)
        if any(isinstance(value, str) for value in frame[name]):
            frame[name] = frame[name].map(cell_value, na_action="ignore")
    return frame


def _read_rows(path: Path) -> list[list[str]]:
    """Read the cells of a CSV whose lines all have as many as its head."""
    data = read_bytes(path, WHAT)
    try:
        text = data.decode("utf-8")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (ValueError, csv.Error) as error:
        raise ResultError(
            f"{path}: not a table ({str(error).splitlines()[0]}); give {WHAT}"
        ) from error
    head = rows[0] if rows else []
    missing = [name for name in _NEEDED if name not in head]
    if missing or len(rows) < 2:
        what = f"column {missing[0]!r} is missing" if missing else "it holds no point"
        raise ResultError(f"{path}: not a sweep's table: {what}; give {WHAT}")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise ResultError(
                f"{path}: line {number} has {len(row)} cells, and its head {len(rows[0])}; the file"
                " is damaged; `archonsim sweep --resume` writes it again"
            )
    if rows and len(set(rows[0])) < len(rows[0]):
        twice = next(name for name in rows[0] if rows[0].count(name) > 1)
        raise ResultError(f"{path}: two columns are called {twice!r}; the file is damaged")
    return rows


def _check_column(values: Series, name: str, path: Path) -> None:
    """Refuse cells that no sweep writes: the first one is named by line and column."""
    import pandas as pd

    # Before anything becomes a float: Python's integers have no bound.
    figure = is_figure(name) or name in ("seed", "clock_mhz")
    huge = values.map(lambda one: _is_huge(one, digits=figure))
    _refuse(huge, values, name, path, "it is too large")
    if name in _NEEDED:
        _refuse(values.isna(), values, name, path, "it must not be empty")
    if name == "status":
        _refuse(
            ~values.isin([OK, INFEASIBLE]), values, name, path, f"it must be {OK} or {INFEASIBLE}"
        )
    if figure:
        numbers = pd.to_numeric(values, errors="coerce")
        wrong = (numbers.isna() & values.notna()) | (numbers < 0)
        _refuse(wrong, values, name, path, "it must be a number from 0 on")
    if values.dtype.kind in "iuf":
        _refuse(values.abs() > MOST_AMOUNT, values, name, path, "it is too large")


def _is_huge(cell: object, *, digits: bool) -> bool:
    """Whether a cell is an integer, or (with `digits`) the text of one, beyond what is counted."""
    if isinstance(cell, str):
        text = cell.strip().lstrip("+-")
        return digits and text.isdigit() and len(text) > len(str(int(MOST_AMOUNT)))
    return isinstance(cell, int) and abs(cell) > MOST_AMOUNT


def _refuse(wrong: Series, values: Series, name: str, path: Path, rule: str) -> None:
    if wrong.any():
        at = int(wrong.to_numpy().argmax())
        found = _short(str(values.iloc[at]))
        raise ResultError(f"{path}: line {at + 2}: {_short(name)} is {found!r}; {rule}")


def _short(text: str, most: int = 60) -> str:
    """Cut a text that would fill a screen."""
    return text if len(text) <= most else f"{text[:most]}…"
