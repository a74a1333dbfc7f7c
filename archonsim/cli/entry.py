"""Entry point of the ``archonsim`` script.

Light, so that Ctrl-C is caught also while everything else is imported.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
from typing import NoReturn

from archonsim.cli.faults import INTERRUPTED, fail
from archonsim.cli.interrupts import raise_lost_interrupts

#: Objects made before Python looks for garbage (own decision). Imports make some hundred thousand
#: that all stay, and looking through them again and again is a sixth of a command's start.
OBJECTS_BETWEEN_COLLECTIONS = 100_000


def prepare_streams() -> None:
    """Make the three standard streams usable whatever the caller left of them.

    A closed one is opened so that reading gives nothing, writing to stdout fails as on any closed
    descriptor, and messages are lost; a file that a command opens would take its number otherwise.
    What the terminal's encoding lacks is written as an escape.
    """
    for name, flags, mode in (
        ("stdin", os.O_RDONLY, "r"),
        ("stdout", os.O_RDONLY, "w"),
        ("stderr", os.O_WRONLY, "w"),
    ):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode, encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper) and mode == "w":
            stream.reconfigure(errors="backslashreplace")


def main() -> NoReturn:
    """Run the command line."""
    prepare_streams()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    raise_lost_interrupts()
    try:
        from archonsim.cache import SETTLED
        from archonsim.cli.app import run_command

        if SETTLED:
            sys.stderr.write(f"archonsim: {SETTLED}\n")
        code = run_command(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = fail(INTERRUPTED, 130)
    except OSError as error:
        code = fail(f"output: {error.strerror}", 2)
        with contextlib.suppress(
            OSError
        ):  # or Python would complain again when it closes the stream
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # All that is there goes with the process: Python need not look through it for garbage first,
    # which takes as long as a fifth of importing it did.
    gc.freeze()
    sys.exit(code)
