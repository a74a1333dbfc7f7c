"""Runs command lines one after the other in this process, and keeps what each prints.

``python session.py FILE``: FILE is a JSON object of command lines (lists of arguments) by name.
Each prints to NAME.out in the working folder and leaves its other files where its arguments say.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from archonsim.cli.app import run_command
from archonsim.cli.entry import prepare_streams

if __name__ == "__main__":
    prepare_streams()
    for name, arguments in json.loads(Path(sys.argv[1]).read_text()).items():
        Path(name).mkdir()
        with Path(f"{name}.out").open("wb") as out:
            # The descriptor, not sys.stdout: consoles of rich and typer hold streams of their own.
            os.dup2(out.fileno(), sys.stdout.fileno())
        code = run_command(arguments)
        sys.stdout.flush()
        if code:
            sys.exit(f"{name}: exit code {code}")
