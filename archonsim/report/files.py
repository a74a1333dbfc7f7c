"""Results as JSON and CSV; files are written beside and renamed, so that none is ever half there."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from archonsim.errors import OutputError
from archonsim.report.compare import Comparison
from archonsim.report.report import LayerReport, Report, by_component
from archonsim.stats.counts import STALLS


def to_json(tree: Any) -> str:
    """Return JSON text; the same tree gives the same bytes."""
    return json.dumps(tree, indent=1, allow_nan=False) + "\n"


def _row(image: int | str, layer: LayerReport, components: list[str]) -> list[Any]:
    survival = layer.adds / layer.adds_possible if layer.adds_possible else ""
    stalls = [layer.stalls.get(cause, 0) for cause in STALLS]
    block = "" if layer.block is None else layer.block
    return [
        image, layer.name, block, layer.phase, layer.cycles, layer.compute, *stalls, layer.macs, layer.adds, layer.adds_possible,
        survival, layer.utilization, *_energies(layer, components),
    ]  # fmt: skip


def _energies(layer: LayerReport, components: list[str]) -> list[Any]:
    """Energy of a phase, whole and by component."""
    if layer.energy is None:
        return [""] * (1 + len(components))
    shares = by_component(layer.energy)
    return [layer.energy_pj, *(shares.get(component, 0) for component in components)]


def to_csv(report: Report) -> str:
    """Return one tidy row for each image, layer and phase; energies in pJ, whole and by component."""
    components = sorted({component for layer in report.layers for component in by_component(layer.energy or {})})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["image", "name", "block", "phase", "cycles", "compute", *(f"stall_{cause}" for cause in STALLS), "macs", "adds",
         "adds_possible", "survival", "utilization", "energy_pj", *(f"energy_{component}" for component in components)]
    )  # fmt: skip
    for image, _, layers in report.per_image:
        writer.writerows(_row(image, layer, components) for layer in layers)
    if not report.per_image:
        writer.writerows(_row("", layer, components) for layer in report.layers)
    return text.getvalue()


def rows_to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return one line for each row, under the keys of the first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
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
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write ``result.json`` and ``result.csv`` into `folder`; return their paths."""
    paths = [folder / "result.json", folder / "result.csv"]
    for path, text in zip(paths, (to_json(report.to_dict()), to_csv(report)), strict=True):
        write_text(path, text)
    return paths


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Write ``compare.json``, with each row's whole result, and ``compare.csv`` into `folder`; return their paths."""
    paths = [folder / "compare.json", folder / "compare.csv"]
    for path, text in zip(paths, (to_json(comparison.to_dict(runs=True)), comparison.to_csv()), strict=True):
        write_text(path, text)
    return paths
