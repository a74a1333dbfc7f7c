"""What commands import: the part of their start-up that can be counted, so that it cannot flake.

``benchmarks/bench_run.py`` measures the seconds.
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
    "--version": (frozenset(), 190),
    "--help": (frozenset(), 190),
    "nonsense": (frozenset({"pydantic"}), 305),
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


#: What a process says when it ends: all modules, and kernels that it loaded from numba's cache.
REPORT = """
import atexit, json, sys

def report():
    loaded = {}
    for name, module in list(sys.modules.items()):
        for one in vars(module).values() if name.startswith("archonsim") else ():
            hits = getattr(getattr(one, "stats", None), "cache_hits", None)
            if hits:
                loaded[f"{one.py_func.__module__}.{one.py_func.__name__}"] = sum(hits.values())
    sys.stderr.write("\\n" + json.dumps([sorted(sys.modules), loaded]))

atexit.register(report)
"""


def imported(arguments: list[str]) -> tuple[list[str], dict[str, int]]:
    """Run a command line in a process of its own.

    Returns
    -------
    names : list of str
        All modules in the end.
    kernels : dict of name to number
        Those that numba's cache had, and for how many types each.
    """
    code = (
        f"{REPORT}\n"
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
    names: list[str]
    kernels: dict[str, int]
    names, kernels = json.loads(done.stderr.splitlines()[-1])
    return names, kernels


@pytest.mark.sampled(2)
@pytest.mark.parametrize("line", ALLOWED)
def test_a_command_imports_what_it_needs(line: str) -> None:
    allowed, most = ALLOWED[line]
    names, kernels = imported(line.split())
    assert not (set(names) & HEAVY) - allowed
    assert len(names) <= most
    assert "numba.np.arrayobj" not in names, "a kernel makes arrays: pass in what it writes to"
    assert not kernels or line.startswith("run -a")


@pytest.mark.skipif(bool(int(os.environ.get("NUMBA_DISABLE_JIT", "0"))), reason="without kernels")
def test_a_run_loads_few_kernels() -> None:
    """Each takes milliseconds to load, even from the cache, and once for each of its types."""
    line = f"run -a archon -w {DIGITS}".split()
    imported(line)  # compiles what is not compiled
    names, kernels = imported(line)
    assert set(kernels.values()) == {1}
    assert len(kernels) <= 8
    assert "numba.np.arrayobj" not in names


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says(name: str) -> None:
    """The list is made without importing any of them."""
    assert COMMANDS[name][2] == load_command(name).help.split("\n\n")[0].replace("\n", " ")
