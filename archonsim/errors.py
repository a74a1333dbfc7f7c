"""The error tree. One base class to catch, leaves named for causes.

::

    ArchonsimError            exit code 1: our fault, or the machine's
    └── UserError             exit code 2: the user can put it right
        ├── WorkloadError     a workload file or network that cannot be used
        ├── SpecError         an impossible machine, an unknown or ill-typed key
        │   └── UndeclaredError   a plug-in's word that its vocabulary lacks
        ├── MaskError         masks asked for that the workload does not have
        ├── ResultError       results that cannot be read, or do not belong together
        └── OutputError       a result that cannot be written

Every message is one line that names the file or field, the value found, and
what would be right.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ArchonsimError(Exception):
    """Base of every error raised on purpose by this package."""

    exit_code = 1


class UserError(ArchonsimError):
    """Something that the user can put right."""

    exit_code = 2


class WorkloadError(UserError):
    """A workload file or a network that cannot be used."""


class SpecError(UserError):
    """An impossible machine, or an unknown or ill-typed key."""


class UndeclaredError(SpecError):
    """A machine uses a word that it does not declare, or returns what no result may hold."""


class MaskError(UserError):
    """Masks were asked for that the workload does not have."""


class ResultError(UserError):
    """Results that cannot be read, or do not belong together."""


class OutputError(UserError):
    """A result that cannot be written."""


#: Known words that an error lists.
MOST_SHOWN = 40


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean X?"`` for the known word nearest to `word`, or all of them.

    Of more than `MOST_SHOWN`, those without a dot are shown, keys of tables by their tables.
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    if len(names) > MOST_SHOWN:
        names = [name for name in names if "." not in name] or names
    return f"; known: {', '.join(names)}"
