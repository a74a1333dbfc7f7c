"""How the command line says that something went wrong; imports next to nothing."""

from __future__ import annotations

import sys

from archonsim.visible import visible

INTERRUPTED = "interrupted; nothing was left half-written"


def fail(message: str, code: int) -> int:
    """Say what is wrong on stderr, each line with the program's name; return the exit code."""
    for line in message.splitlines() or [""]:
        sys.stderr.write(f"archonsim: error: {visible(line)}\n")
    return code
