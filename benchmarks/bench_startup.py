"""How long commands take from the shell, beside importing what they stand on.

``base`` is ``python -c "import numpy, numba, h5py, simpy"`` in the same environment. Base and
commands take turns, so that a busy machine slows all alike; of each the median is shown, in CPU
seconds (user and system, all threads) and in seconds on the wall, with its ratio to the base's.

Run with ``python benchmarks/bench_startup.py [ROUNDS]``. The first round warms caches and is not
counted. ``--tree FOLDER`` runs another checkout's package in turn with this one's, for a comparison
before and after a change.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

TOP = Path(__file__).parents[1]
BASE = "base"
#: Commands, and the ratio to the base that each is to stay under; None where none was set.
COMMANDS: dict[str, float | None] = {
    "--version": 0.5,
    "--help": 0.5,
    "archs": 1.0,
    "networks": 1.0,
    "inspect workloads/fusionet_c10.h5": 1.5,
    "inspect workloads/fusionet_c10.h5 --deep": None,
    "run -a archon -w workloads/fusionet_digits.h5": 1.6,
    "run -a archon -w workloads/fusionet_c10.h5": 3.0,
}


def seconds(arguments: list[str], package: Path, bytecode: str) -> tuple[float, float]:
    """Run a program of this Python; return its CPU seconds and those on the wall."""
    environment = os.environ | {
        "PYTHONDONTWRITEBYTECODE": "",  # installed packages have their bytecode, too
        "PYTHONPYCACHEPREFIX": bytecode,
        "OMP_NUM_THREADS": "1",
    }
    since = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        cwd=package,  # where `python -m` looks first
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - since
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        return float("nan"), float("nan")
    return used.ru_utime + used.ru_stime, wall


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    parser.add_argument("--tree", type=Path, help="Another checkout, measured in turn.")
    given = parser.parse_args()
    trees = {"here": TOP} | ({"there": given.tree.resolve()} if given.tree else {})
    programs: dict[tuple[str, str], list[str]] = {
        (BASE, "here"): ["-c", "import numpy, numba, h5py, simpy"]
    }
    for name in COMMANDS:
        for tree in trees:
            programs[name, tree] = ["-m", "archonsim", *name.split()]
    taken: dict[tuple[str, str], list[tuple[float, float]]] = {one: [] for one in programs}
    with tempfile.TemporaryDirectory() as bytecode:
        for turn in range(given.rounds + 1):
            for one, arguments in programs.items():
                found = seconds(arguments, trees[one[1]], bytecode)
                if turn:
                    taken[one].append(found)
    cpu = {one: median(found[0] for found in all_of) for one, all_of in taken.items()}
    wall = {one: median(found[1] for found in all_of) for one, all_of in taken.items()}
    base = BASE, "here"
    width = max(map(len, COMMANDS))
    head = f"{'command':{width}}  tree   CPU s   ratio  wall s   ratio  bound"
    sys.stdout.write(f"{given.rounds} rounds, medians\n{head}\n")
    for one in programs:
        bound = COMMANDS.get(one[0])
        sys.stdout.write(
            f"{one[0]:{width}}  {one[1]:5} {cpu[one]:6.2f} {cpu[one] / cpu[base]:7.2f}"
            f" {wall[one]:7.2f} {wall[one] / wall[base]:7.2f}  {bound or ''}\n"
        )


if __name__ == "__main__":
    main()
