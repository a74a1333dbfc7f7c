"""Results in files: found by their path or their folder, and read by what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archonsim.errors import ResultError
from archonsim.result.compare import Comparison
from archonsim.result.read import parse_json, read_bytes
from archonsim.result.report import Report
from archonsim.result.sweep_table import CSV_NAME, MANIFEST_NAME, PARQUET_NAME, SweepTable
from archonsim.result.waterfall import Waterfall

RESULT_NAME, COMPARE_NAME, WATERFALL_NAME = "result.json", "compare.json", "waterfall.json"
RESULT = "result.json of `archonsim run -o`, or compare.json of `archonsim compare -o`"
WATERFALL = "waterfall.json of `archonsim waterfall -o`"


def file_in(path: Path, names: tuple[str, ...], what: str) -> Path:
    """Return the path of a file, or of the one file in a folder that has one of `names`.

    Raises
    ------
    ResultError
        The folder holds none of them, or several.
    """
    if not path.is_dir():
        return path
    found = [name for name in names if (path / name).exists()]
    if len(found) == 1:
        return path / found[0]
    if found:
        raise ResultError(
            f"{path}: a folder with {' and '.join(found)}; name the file that is meant"
        )
    raise ResultError(f"{path}: a folder without {' or '.join(names)}; give {what}")


def _tree(path: Path, marks: Mapping[str, str], what: str) -> tuple[dict[str, Any], str]:
    """Read a JSON file that has one of the keys in `marks`; return it and what the key marks."""
    tree = parse_json(read_bytes(path, what), str(path), what)
    for key, kind in marks.items():
        if key in tree:
            return tree, kind
    raise ResultError(f"{path}: another kind of file; give {what}")


def read_result(path: Path) -> Report | Comparison:
    """Read the result of ``archonsim run -o`` or ``archonsim compare -o``: a file, or its folder.

    Raises
    ------
    ResultError
        It is something else, of another version, or damaged.
    """
    path = file_in(path, (RESULT_NAME, COMPARE_NAME), RESULT)
    tree, kind = _tree(path, {"per_image": "run", "rows": "comparison"}, RESULT)
    read = Report.from_dict if kind == "run" else Comparison.from_dict
    return read(tree, str(path))


def read_waterfall(path: Path) -> Waterfall:
    """Read the result of ``archonsim waterfall -o``; raises as `read_result` does."""
    path = file_in(path, (WATERFALL_NAME,), WATERFALL)
    tree, _ = _tree(path, {"owners": "waterfall"}, WATERFALL)
    return Waterfall.from_dict(tree, str(path))


def read_any(path: Path) -> Report | Comparison | SweepTable:
    """Read a run, a comparison or a sweep: a file, or its folder; raises as `read_result` does."""
    what = f"{RESULT}, or the folder, sweep.json or results.csv of `archonsim sweep`"
    found = file_in(path, (RESULT_NAME, COMPARE_NAME, MANIFEST_NAME), what)
    if found.suffix == ".csv" or found.name in (MANIFEST_NAME, CSV_NAME, PARQUET_NAME):
        return SweepTable.read(found)
    return read_result(found)


def runs_of(result: Report | Comparison, source: str = "the comparison") -> tuple[Report, ...]:
    """Return the run, or all runs of a comparison.

    Raises
    ------
    ResultError
        The comparison was saved without its runs.
    """
    return (result,) if isinstance(result, Report) else result.whole_runs(source)
