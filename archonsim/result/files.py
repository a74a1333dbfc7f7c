"""Results as JSON and CSV.

Files are written beside and renamed, so that none is ever half there.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from archonsim.errors import OutputError


def to_json(tree: Any) -> str:
    """Return JSON text; the same tree gives the same bytes."""
    return json.dumps(tree, indent=1, allow_nan=False) + "\n"


def rows_to_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Return one line for each row under its head: `columns`, or the keys of the first row.

    What is None stays empty.
    """
    text = io.StringIO()
    writer = csv.DictWriter(
        text,
        columns or list(rows[0]),
        extrasaction="ignore" if columns else "raise",
        lineterminator="\n",
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or nothing; raises as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file or nothing; raises as `replacing` does."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` that takes its place when all went well, and is gone otherwise.

    Raises
    ------
    OutputError
        The path is not writable, or there is no space left.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
        )
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def write_result(folder: Path, name: str, json: str, csv: str) -> list[Path]:
    """Write ``NAME.json`` and ``NAME.csv`` into `folder`; return their paths.

    Raises as `write_bytes` does.
    """
    paths = [folder / f"{name}.json", folder / f"{name}.csv"]
    for path, text in zip(paths, (json, csv), strict=True):
        write_text(path, text)
    return paths
