"""How fast commands, images and kernels are, beside what they stand on, and beside their goals.

``base`` is ``python -c "import numpy, numba, h5py, simpy"`` in the same environment. Base and
commands take turns, so that a busy machine slows all alike; of each the least counts, in CPU
seconds (user and system, all threads) and in seconds on the wall, with its ratio to the base's, and
its peak of memory. Then come a further image (what a run of several takes beyond one), the kernels
alone, the first run of all, which compiles, and, with ``--sweep``, a sweep of 64 points.

Run with ``make bench`` or ``python benchmarks/bench_run.py [ROUNDS]``; ``--json`` prints JSON.
``--tree FOLDER`` runs another checkout's commands in turn with this one's, for a comparison before
and after a change.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen

TOP = Path(__file__).parents[1]
BASE = "base"
DIGITS, FUSIONET = (f"workloads/fusionet_{name}.h5" for name in ("digits", "c10"))
#: Commands, and the ratio to the base that each is to stay under; None where none was set.
COMMANDS: dict[str, float | None] = {
    "--version": 0.5,
    "--help": 0.5,
    "archs": 1.0,
    "networks": 1.0,
    f"inspect {FUSIONET}": 1.5,
    f"inspect {FUSIONET} --deep": None,
    f"run -a archon -w {DIGITS}": 1.6,
    f"run -a archon -w {FUSIONET}": 3.0,
}
#: Runs of several images, how many more than one they have, and seconds of one core that each is to
#: take at most.
IMAGES: dict[str, tuple[int, float]] = {DIGITS: (7, 0.010), FUSIONET: (3, 0.2)}
#: Goals, in ns a beat of 64 PEs, and in seconds: the first run of all, and 64 points of FusioNet on
#: two processes.
BEAT_NS, COLD_SECONDS, SWEEP_SECONDS = 70.0, 10.0, 8.0
SWEEP = (
    f"sweep -a archon -w {FUSIONET} --param pe.rows=4,8,16,32 --param pe.adders=2..9"
    " --param lane_order=rotate,fixed -j 2"
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a process took: CPU seconds, seconds on the wall, and peak memory in MB."""

    cpu: float
    wall: float
    memory: float


def run(arguments: list[str], package: Path, **environment: str) -> Taken:
    """Run a program of this Python in a folder."""
    since = time.perf_counter()
    with Popen(
        [sys.executable, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        cwd=package,  # where `python -m` looks first
        stdout=DEVNULL,
        stderr=DEVNULL,
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)}: exit code {process.returncode}")
    wall = time.perf_counter() - since
    return Taken(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024)


def least(taken: list[Taken]) -> Taken:
    """Return the least seconds of several runs, and their largest peak of memory."""
    return Taken(
        min(one.cpu for one in taken), min(one.wall for one in taken), max(t.memory for t in taken)
    )


def measure(rounds: int, trees: dict[str, Path]) -> dict[tuple[str, str], Taken]:
    """Run base and commands in turn; the first round warms caches and is not counted."""
    programs: dict[tuple[str, str], list[str]] = {
        (BASE, "here"): ["-c", "import numpy, numba, h5py, simpy"]
    }
    for name in COMMANDS:
        programs |= {(name, tree): ["-m", "archonsim", *name.split()] for tree in trees}
    for file, (more, _) in IMAGES.items():
        name = f"run -a archon -w {file} --images 0-{more}"
        programs |= {(name, tree): ["-m", "archonsim", *name.split()] for tree in trees}
    found: dict[tuple[str, str], list[Taken]] = {one: [] for one in programs}
    with tempfile.TemporaryDirectory() as bytecode:
        # Installed packages have their bytecode, too.
        own = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
        for turn in range(rounds + 1):
            for one, arguments in programs.items():
                taken = run(arguments, trees[one[1]], **own)
                found[one] += [taken] if turn else []
    return {one: least(all_of) for one, all_of in found.items()}


def kernels(path: Path) -> tuple[float, float, int]:
    """CPU seconds of one image's survivor tables and of its beats, in the published order.

    Returns
    -------
    tables, accumulate : float
    beats : int
        Of 64 PEs, over all blocks and tiles.
    """
    # What a process takes at its start counts as its own: so this one is small until it measures.
    from archonsim.dataflow.tile import output_tiles
    from archonsim.machines.archon.fused import MainTile, published_block, survivors_of
    from archonsim.machines.archon.residency import steps
    from archonsim.machines.registry import machine, machine_spec
    from archonsim.network.block import Block
    from archonsim.pe.accumulate_kernel import Accumulator
    from archonsim.trace.fused_weight import fuse
    from archonsim.trace.what_if import MaskPolicy
    from archonsim.tracefile.reader import open_workload

    workload, archon = open_workload(path), machine("archon")
    spec, policy = machine_spec(archon), MaskPolicy()
    assert workload.trace is not None
    tables = accumulate = 0.0
    beats = 0
    for step in steps(workload, spec.glb.words):
        if not isinstance(step.item, Block):
            continue
        shared = published_block(step.item, spec, fuse(step.item, workload.trace))
        masks = policy.masks(workload, step.item, 0)
        since = time.process_time()
        survivors = survivors_of(shared, masks)
        tables += time.process_time() - since
        for tile in output_tiles(step.item.dw, spec.pe.rows, spec.pe.cols):
            since = time.process_time()
            table = MainTile(shared, tile, survivors, ((), ())).table()
            began = time.process_time()
            array = Accumulator(shared.stream, table, spec.pe.fifo_depth, 0)
            array.run(0, shared.stream.beats, 0)
            accumulate += time.process_time() - began
            tables += began - since
            beats += shared.stream.beats
    return tables, accumulate, beats


def beyond(found: dict[tuple[str, str], Taken], file: str, tree: str) -> float:
    """CPU seconds of a further image."""
    more, _ = IMAGES[file]
    several = found[f"run -a archon -w {file} --images 0-{more}", tree]
    return (several.cpu - found[f"run -a archon -w {file}", tree].cpu) / more


def figures(rounds: int, trees: dict[str, Path], *, sweep: bool) -> list[dict[str, object]]:
    """Measure everything; one row for each figure, with its goal where there is one."""
    found = measure(rounds, trees)
    base = found[BASE, "here"]
    rows: list[dict[str, object]] = []
    for (name, tree), taken in found.items():
        row = {"what": name, "tree": tree} | asdict(taken)
        rows.append(row | {"ratio": taken.cpu / base.cpu, "goal": COMMANDS.get(name)})
    for file, (_, goal) in IMAGES.items():
        for tree in trees:
            cpu = beyond(found, file, tree)
            what = f"a further image of {file}"
            rows.append(
                {"what": what, "tree": tree, "cpu": cpu, "ratio": cpu / base.cpu, "seconds": goal}
            )
    inner = [kernels(TOP / FUSIONET) for _ in range(rounds + 1)][1:]
    beats = inner[0][2]
    accumulate = min(one[1] for one in inner)
    rows += [
        {"what": f"{beats} beats", "cpu": accumulate, "seconds": beats * BEAT_NS / 1e9},
        {"what": "ns a beat of 64 PEs", "cpu": accumulate / beats * 1e9, "seconds": BEAT_NS},
        {"what": "survivor tables of an image", "cpu": min(one[0] for one in inner)},
    ]
    with tempfile.TemporaryDirectory() as cache:
        cold = run(
            ["-m", "archonsim", *f"run -a archon -w {FUSIONET}".split()], TOP, NUMBA_CACHE_DIR=cache
        )
        rows.append({"what": "the first run of all"} | asdict(cold) | {"seconds": COLD_SECONDS})
        if sweep:
            taken = run(["-m", "archonsim", *SWEEP.split(), "-o", f"{cache}/sweep"], TOP)
            what = "64 points on two processes"
            rows.append({"what": what} | asdict(taken) | {"seconds": SWEEP_SECONDS})
    return rows


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    parser.add_argument("--tree", type=Path, help="Another checkout, measured in turn.")
    parser.add_argument("--sweep", action="store_true", help="Also a sweep of 64 points.")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    trees = {"here": TOP} | ({"there": given.tree.resolve()} if given.tree else {})
    rows = figures(given.rounds, trees, sweep=given.sweep)
    if given.json:
        about = {"python": platform.python_version(), "cpus": os.cpu_count()}
        sys.stdout.write(json.dumps(about | {"figures": rows}, indent=1) + "\n")
        return
    heads = {
        "what": "",
        "tree": "tree",
        "cpu": "CPU s",
        "ratio": "x base",
        "goal": "goal x base",
        "seconds": "goal",
        "wall": "wall s",
        "memory": "peak MB",
    }
    table = [list(heads.values())] + [[_cell(row.get(key)) for key in heads] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        first, *rest = (
            cell.ljust(width) if not at else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        sys.stdout.write("  ".join([first, *rest]).rstrip() + "\n")


if __name__ == "__main__":
    main()
