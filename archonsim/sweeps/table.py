"""The table of a sweep: one tidy row for each point, as CSV and as Parquet."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archonsim.atomic import replacing
from archonsim.result.files import csv_cell
from archonsim.result.sweep_table import CSV_NAME, HEAD, PARQUET_NAME, STATUS
from archonsim.sweeps.evaluate import OTHERS, count_columns
from archonsim.sweeps.question import Question
from archonsim.sweeps.values import plain
from archonsim.visible import visible

if TYPE_CHECKING:
    from pyarrow import Schema

Row = dict[str, Any]


#: Rows that are in memory at once.
BATCH = 1024


def columns(question: Question) -> tuple[str, ...]:
    """Return the names of all columns in order."""
    return (
        *HEAD,
        *question.parameters,
        "status",
        "reason",
        *count_columns(question.archs),
        *OTHERS,
    )


def _schema(question: Question) -> Schema:
    """Return Parquet's types: they depend on what is asked, never on what came out."""
    import pyarrow as pa

    number = pa.int64() if question.one_image else pa.float64()
    types = dict.fromkeys((*HEAD, *STATUS), pa.string()) | {"seed": pa.int64()}
    types |= dict.fromkeys((*count_columns(question.archs), "dram_words"), number) | dict.fromkeys(
        ("time_ms", "energy_uj"), pa.float64()
    )
    for name, values in question.parameters.items():
        written = [plain(value) for value in values]
        if all(isinstance(value, int) for value in written):
            types[name] = pa.int64()
        else:
            types[name] = (
                pa.string() if any(isinstance(value, str) for value in written) else pa.float64()
            )
    return pa.schema([(name, types[name]) for name in columns(question)])


def csv_lines(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Write rows as CSV, line by line; what is unknown is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow([csv_cell(value) for value in row])
        yield text.getvalue()
        text.seek(0)
        text.truncate()


def write_tables(question: Question, rows: Iterable[Row], folder: Path) -> tuple[Path, Path]:
    """Write ``results.csv`` and ``results.parquet``, each whole or not at all; return their paths.

    Rows pass through, so their number costs no memory.
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema(question)
    texts = {field.name for field in schema if pa.types.is_string(field.type)}
    names = columns(question)
    csv_path, parquet_path = folder / CSV_NAME, folder / PARQUET_NAME
    with replacing(csv_path) as csv_file, replacing(parquet_path) as parquet_file:
        csv_file.writelines(line.encode() for line in csv_lines([names]))
        with parquet.ParquetWriter(parquet_file, schema) as writer:
            for batch in _batches(rows):
                values = [[_value(row, name) for name in names] for row in batch]
                csv_file.writelines(line.encode() for line in csv_lines(values))
                arrays = {
                    name: [
                        visible(str(value)) if name in texts and value is not None else value
                        for value in column
                    ]
                    for name, column in zip(names, zip(*values, strict=True), strict=True)
                }
                writer.write_table(pa.table(arrays, schema=schema))
    return csv_path, parquet_path


def _value(row: Row, name: str) -> Any:
    """Return a point's value; it has no column of a stall cause that only another machine has."""
    if name in row or not name.startswith("stall."):
        return row[name]
    return 0 if row["status"] == "ok" else None


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def read_rows(folder: Path) -> Iterator[Row]:
    """Read the table of a finished sweep, row by row."""
    from pyarrow import parquet

    with parquet.ParquetFile(folder / PARQUET_NAME) as file:
        for batch in file.iter_batches(BATCH):
            yield from batch.to_pylist()
