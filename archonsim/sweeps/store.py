"""A sweep's folder: what was asked, and a journal with one line for each finished point.

The journal is locked before anything is read or written, so that a process which is refused leaves
no trace. ``sweep.json`` is then written first, whole. ``journal.jsonl`` grows by one line for each
point, ``[index, checksum, row]``, forced to disk, so that a kill at any moment costs at most its
last line, which is then cut off. The checksum is over the manifest, the index and the row, and the
row carries its key: a line that was changed, or that belongs to another sweep, is refused. The
lines stand in the order in which points finished; where each stands is all that is kept in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from archonsim.atomic import remove_leftovers
from archonsim.errors import OutputError
from archonsim.result.files import to_json, write_text
from archonsim.result.sweep_table import CSV_NAME, MANIFEST_NAME, PARQUET_NAME, read_manifest
from archonsim.spec.load import flat_items
from archonsim.sweeps.table import Row
from archonsim.user_files import check_regular, read_user_text

JOURNAL_NAME = "journal.jsonl"
TABLE_NAMES = (CSV_NAME, PARQUET_NAME)

#: In place of a line's position: the point is not finished.
MISSING = -1

Tree = dict[str, Any]


class Store:
    """Finished points of one sweep, on disk; a context manager that keeps other processes out.

    Parameters
    ----------
    folder : Path
    manifest : dict
        Plain data that say which sweep it is: a folder with another one is refused.
    points : int
    resume : bool
        Whether to go on where a folder's sweep ended.
    key_of : function of a point's index
        Gives the key that its row must carry.

    Raises
    ------
    OutputError
        The folder holds a sweep and `resume` is not set; or another one, one of another version, or
        a damaged one; another process writes to it; or it cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Tree,
        points: int,
        *,
        resume: bool,
        key_of: Callable[[int], str],
    ) -> None:
        self.folder = folder
        self._at = array("q", [MISSING]) * points
        self._key_of = key_of
        self.finished = 0
        path = folder / MANIFEST_NAME
        self._journal = _open_journal(folder / JOURNAL_NAME)
        try:
            begun = os.fstat(self._journal.fileno()).st_size > 0
            if begun and not resume:
                raise OutputError(
                    f"{folder} holds a sweep already; add --resume to go on with it, or choose"
                    " another folder"
                )
            remove_leftovers(folder, (MANIFEST_NAME, *TABLE_NAMES))
            if begun:
                there = _read_manifest(path)
                _check_same(folder, there, json.loads(to_json(manifest)))
                manifest = there
            else:
                write_text(path, to_json(manifest))
            self._seal = hashlib.sha256(to_json(manifest).encode()).hexdigest()
            self._read_journal()
        except BaseException:
            self._journal.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *reason: object) -> None:
        with contextlib.suppress(
            OSError
        ):  # a full disk refuses the line that `add` has complained about once more
            self._journal.close()

    def __contains__(self, index: int) -> bool:
        return self._at[index] != MISSING

    def unfinished(self, start: int) -> int | None:
        """Return the first point from `start` on that is not finished, or the first of all.

        None if there is none.
        """
        places = itertools.chain(range(start, len(self._at)), range(start))
        return next((index for index in places if index not in self), None)

    def add(self, index: int, row: Row) -> None:
        """Write a finished point down, for good.

        Raises
        ------
        OutputError
            There is no space left.
        """
        row = json.loads(_compact(row))  # as it will be read: keys are texts, tuples are lists
        line = _compact([index, self._checksum(index, row), row]).encode() + b"\n"
        try:
            at = self._journal.seek(0, os.SEEK_END)
            self._journal.write(line)
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise OutputError(
                f"{self.folder / JOURNAL_NAME}: cannot write: {error.strerror}"
            ) from error
        self._note(index, at)

    def rows(self) -> Iterator[Row]:
        """Read all finished points in the order of the grid."""
        for at in self._at:
            if at != MISSING:
                self._journal.seek(at)
                yield json.loads(self._journal.readline())[2]

    def _checksum(self, index: int, row: Row) -> str:
        content = f"{self._seal}{_compact([index, row])}"
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def _note(self, index: int, at: int) -> None:
        self.finished += self._at[index] == MISSING
        self._at[index] = at

    def _read_journal(self) -> None:
        """Find all finished points; cut off a last line that a kill left incomplete."""
        at, number = 0, 0
        for number, line in enumerate(self._journal, start=1):
            if not line.endswith(b"\n"):
                break
            where = f"{self.folder / JOURNAL_NAME}: line {number}"
            try:
                index, checksum, row = json.loads(line)
                if not (type(index) is int and 0 <= index < len(self._at)):
                    raise ValueError
                if not isinstance(row, dict) or checksum != self._checksum(index, row):
                    raise ValueError
            except (ValueError, TypeError, RecursionError) as error:
                raise OutputError(
                    f"{where} is damaged, or of another sweep; delete that line, and its point runs"
                    " again"
                ) from error
            if row.get("key") != (key := self._key_of(index)):
                raise OutputError(
                    f"{where}: key is {row.get('key')!r}, and point {index} has {key!r}; delete"
                    " that line, and its point runs again"
                )
            self._note(index, at)
            at += len(line)
        self._journal.truncate(at)


def _compact(tree: Any) -> str:
    return json.dumps(tree, separators=(",", ":"), allow_nan=False)


def mask_sources(folder: Path) -> dict[str, str]:
    """Return the sources of the masks of a sweep's workloads, by their names in the table.

    Raises
    ------
    ResultError
        The folder's manifest is damaged.
    """
    manifest = read_manifest(folder / MANIFEST_NAME)
    found = {} if manifest is None else manifest.origin_of
    return {name: origin.mask_source for name, origin in found.items()}


def _open_journal(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            check_regular(path, OutputError, "a journal is a file")
        journal = path.open("a+b")
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror}") from error
    try:
        import fcntl

        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        journal.close()
        raise OutputError(
            f"{path.parent}: another process is running this sweep; wait for it, or end it"
        ) from error
    except (ImportError, OSError):
        pass  # a system or file system without locks: the user's own care then
    journal.seek(0)
    return journal


def _read_manifest(path: Path) -> Tree:
    with contextlib.suppress(OutputError, ValueError, RecursionError):
        tree = json.loads(read_user_text(path, OutputError, "a sweep's question is a file"))
        if isinstance(tree, dict):
            return tree
    raise OutputError(f"{path} is damaged; choose another folder")


def _check_same(folder: Path, there: Tree, here: Tree) -> None:
    """Refuse to go on with another sweep; say the first thing that differs."""
    before, now = dict(flat_items(there)), dict(flat_items(here))
    for key in dict.fromkeys([*before, *now]):
        if before.get(key) != now.get(key):
            what = (
                "is of another version"
                if key in ("schema", "journal", "archonsim")
                else "holds another sweep"
            )
            values = [
                "absent" if key not in tree else json.dumps(tree[key]) for tree in (before, now)
            ]
            raise OutputError(
                f"{folder} {what}: {key} is {values[0]} there and {values[1]} here; choose another"
                " folder"
            )
