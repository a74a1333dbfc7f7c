"""Result files read back, checked for what they are and for the version that wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from archonsim.errors import ResultError
from archonsim.result import compare, report, waterfall
from archonsim.sweeps import sweep

Tree = dict[str, Any]


def _read_json(path: Path, schemas: Mapping[str, int], what: str) -> Tree:
    """Read a tree that has one of the keys in `schemas`, in the version that is given there."""
    try:
        tree = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ResultError(f"{path}: cannot read: {error.strerror}") from error
    except ValueError as error:
        raise ResultError(f"{path}: not JSON ({error}); give {what}") from error
    kind = next((key for key in schemas if isinstance(tree, dict) and key in tree), None)
    if kind is None:
        raise ResultError(f"{path}: another kind of file; give {what}")
    if tree.get("schema") != schemas[kind]:
        raise ResultError(
            f"{path}: schema is {tree.get('schema')!r}, and this version reads {schemas[kind]}; run"
            " it again"
        )
    found: Tree = tree
    return found


def read_result(path: Path) -> Tree:
    """Read the JSON of ``archonsim run -o`` (has ``per_image``) or ``archonsim compare`` (has ``rows``).

    Raises
    ------
    ResultError
        The file is something else, or of another version.
    """
    what = "result.json of `archonsim run -o`, or compare.json of `archonsim compare -o`"
    return _read_json(path, {"per_image": report.SCHEMA, "rows": compare.SCHEMA}, what)


def read_waterfall(path: Path) -> Tree:
    """Read the JSON of ``archonsim waterfall -o``; raises as `read_result` does."""
    return _read_json(
        path, {"owners": waterfall.SCHEMA}, "waterfall.json of `archonsim waterfall -o`"
    )


def read_sweep(path: Path) -> pd.DataFrame:
    """Read a sweep's table.

    The ``sweep.json`` beside it adds the columns mask_source and note of its workloads.

    Raises
    ------
    ResultError
        The file is no such table, or holds no point.
    """
    try:
        frame = pd.read_csv(path, keep_default_na=True)
    except OSError as error:
        raise ResultError(f"{path}: cannot read: {error.strerror}") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise ResultError(
            f"{path}: not a table ({str(error).splitlines()[0]}); give a sweep's results.csv"
        ) from error
    missing = [
        name for name in ("arch", "workload", "fidelity", "status") if name not in frame.columns
    ]
    if missing or frame.empty:
        what = f"column {missing[0]!r} is missing" if missing else "it holds no point"
        raise ResultError(
            f"{path}: not a sweep's table: {what}; give the results.csv of `archonsim sweep`"
        )
    tree = read_question(path)
    if tree is not None:
        origins = dict(zip(tree["question"]["workloads"], tree.get("origins", ()), strict=False))
        for key in ("mask_source", "note"):
            frame[key] = frame["workload"].map(
                lambda name, key=key: origins.get(name, {}).get(key, "")
            )
    return frame


def read_question(path: Path) -> Tree | None:
    """Return the ``sweep.json`` beside a sweep's table, or None where none is there."""
    manifest = path.with_name("sweep.json")
    return (
        _read_json(manifest, {"question": sweep.SCHEMA}, "the folder of `archonsim sweep`")
        if manifest.exists()
        else None
    )


def runs_of(tree: Tree, path: str = "the comparison") -> list[Tree]:
    """Return the run, or all runs of a comparison.

    Raises
    ------
    ResultError
        The comparison was saved without its runs.
    """
    if "layers" in tree:
        return [tree]
    if "runs" not in tree:
        raise ResultError(
            f"{path}: a comparison without its runs; write it with `archonsim compare -o`, which"
            " keeps them"
        )
    return [run for run in tree["runs"] if run is not None]
