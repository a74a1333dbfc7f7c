"""Opening what a user names: only regular files, no larger than asked for, text as UTF-8.

A pipe, a device or a folder is refused before it is opened: reading it could block or never end.
"""

from __future__ import annotations

import stat
from pathlib import Path

from archonsim.errors import UserError

#: Largest text file that is read (own decision): descriptions and topologies take kilobytes.
TEXT_LIMIT = 16 * 2**20

_KINDS = (
    (stat.S_ISDIR, "is a directory"),
    (stat.S_ISFIFO, "is a pipe"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
    (stat.S_ISSOCK, "is a socket"),
)


def check_regular(path: Path, error: type[UserError], what: str) -> int:
    """Refuse what is not a regular file; return its size in bytes.

    Parameters
    ----------
    path : Path
    error : subclass of UserError
        Raised, with one line.
    what : str
        What the file should have been, e.g. ``"a topology is a CSV file"``.

    Raises
    ------
    UserError
        Of the given type.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as fault:  # ValueError: a name that holds a zero byte
        reason = getattr(fault, "strerror", None) or str(fault)
        raise error(f"{path}: cannot be read: {reason}") from fault
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for test, name in _KINDS if test(status.st_mode)), "is no regular file")
        raise error(f"{path}: {kind}; {what}")
    return status.st_size


def read_user_text(path: Path, error: type[UserError], what: str, limit: int = TEXT_LIMIT) -> str:
    """Read a text file; parameters as of :func:`check_regular`.

    Raises
    ------
    UserError
        Of the given type: the file is missing, not a regular one, too large, or not UTF-8.
    """
    size = check_regular(path, error, what)
    if size > limit:
        raise error(f"{path}: has {size} bytes; {what} of at most {limit}")
    try:
        return path.read_text("utf-8-sig")
    except OSError as fault:
        raise error(f"{path}: cannot be read: {fault.strerror or fault}") from fault
    except UnicodeDecodeError as fault:
        raise error(
            f"{path}: is not a text file: byte {fault.start} is not UTF-8; {what}"
        ) from fault
