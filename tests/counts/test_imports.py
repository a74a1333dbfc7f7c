"""What commands import: the part of their start-up that can be counted, so that it cannot flake.

``benchmarks/bench_startup.py`` measures the seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from archonsim.cli.app import COMMANDS, load_command

TOP = Path(__file__).parents[2]
DIGITS = "workloads/fusionet_digits.h5"

#: Libraries whose import takes some 50 ms and more, all of them together longer than any answer.
HEAVY = frozenset(
    {
        *("dask", "h5py", "jinja2", "matplotlib", "numba", "numpy", "onnx", "pandas", "pyarrow"),
        *("pydantic", "rich", "scipy", "simpy", "torch"),
    }
)
#: Each command, the heavy libraries that it may import, and modules in all, at most. The numbers
#: are those of today and about a tenth; whoever exceeds one looks at what has been added.
ALLOWED: dict[str, tuple[frozenset[str], int]] = {
    "--version": (frozenset(), 260),
    "--help": (frozenset(), 260),
    "nonsense": (frozenset({"pydantic"}), 320),
    "networks": (frozenset({"pydantic", "rich"}), 400),
    "archs": (frozenset({"numpy", "pydantic", "rich", "simpy"}), 640),
    "run --help": (frozenset({"h5py", "numpy", "pydantic", "rich"}), 620),
    f"inspect {DIGITS}": (frozenset({"h5py", "numpy", "pydantic", "rich"}), 570),
    f"run -a archon -w {DIGITS}": (
        # numba brings scipy, for the linear algebra of others.
        frozenset({"h5py", "numba", "numpy", "pydantic", "rich", "scipy", "simpy"}),
        1230,
    ),
}


def imported(arguments: list[str]) -> list[str]:
    """Run a command line in a process of its own; return the names of all modules in the end."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: sys.stderr.write('\\n' + json.dumps(sorted(sys.modules))))\n"
        f"sys.argv = ['archonsim', *{arguments!r}]\n"
        "from archonsim.cli.entry import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=TOP,
        env={key: value for key, value in os.environ.items() if not key.startswith("COV")},
        capture_output=True,
        text=True,
        check=False,
    )
    names: list[str] = json.loads(done.stderr.splitlines()[-1])
    return names


@pytest.mark.sampled(2)
@pytest.mark.parametrize("line", ALLOWED)
def test_a_command_imports_what_it_needs(line: str) -> None:
    allowed, most = ALLOWED[line]
    names = imported(line.split())
    assert not (set(names) & HEAVY) - allowed
    assert len(names) <= most


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says(name: str) -> None:
    """The list is made without importing any of them."""
    assert COMMANDS[name][2] == load_command(name).help.split("\n\n")[0].replace("\n", " ")
