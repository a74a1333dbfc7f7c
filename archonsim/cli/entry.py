"""Entry point of the ``archonsim`` script.

Light, so that Ctrl-C is caught also while everything else is imported.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from archonsim.cli.faults import INTERRUPTED, fail


def main() -> NoReturn:
    """Run the command line."""
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
    sys.exit(code)
