"""Atomic writes: to a temporary file in the same folder, synchronised, then renamed."""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from archonsim.errors import OutputError


@contextlib.contextmanager
def replacing(path: Path, *, make_folder: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` on success, and is removed otherwise.

    Parameters
    ----------
    path : Path
    make_folder : bool
        Whether its folder is made where it is missing.

    Raises
    ------
    OutputError
        The path is not writable, or there is no space left.
    """
    temporary = ""
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
        )
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the new name without its content
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove what a kill left of files with these names that were being written."""
    for name in names:
        for path in folder.glob(f".{glob.escape(name)}.*.tmp"):
            with contextlib.suppress(OSError):
                path.unlink()
