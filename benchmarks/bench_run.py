"""How fast a run is: the whole command, its memory, the kernels alone, and the first run of all.

Run with ``make bench`` or ``python benchmarks/bench_run.py [WORKLOAD]``. Prints JSON with
``--json``.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from archonsim.machines.archon.fused import FusedTile, main_phase, published_block
from archonsim.machines.archon.residency import steps
from archonsim.machines.registry import machine, machine_spec
from archonsim.network.block import Block
from archonsim.stats.counts import PhaseStats
from archonsim.trace.fused_weight import fuse
from archonsim.trace.what_if import MaskPolicy
from archonsim.tracefile.reader import open_workload

DEFAULT = Path(__file__).parents[1] / "workloads" / "fusionet_c10.h5"
RUNS = 5


def command(workload: Path, cache: str | None = None) -> tuple[float, float]:
    """Run the command once; return wall seconds and peak memory so far in MB."""
    environment = dict(os.environ)
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = cache
    line = [
        sys.executable,
        "-m",
        "archonsim",
        "run",
        "--arch",
        "archon",
        "--workload",
        str(workload),
        "--format",
        "json",
    ]
    since = time.perf_counter()
    subprocess.run(line, check=True, capture_output=True, env=environment)
    seconds = time.perf_counter() - since
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def kernels(path: Path) -> dict[str, float]:
    """CPU seconds of one image's main phases.

    Survivor tables and accumulate kernels, all tiles of all blocks.
    """
    workload = open_workload(path)
    assert workload.trace is not None
    archon = machine("archon")
    spec = machine_spec(archon)
    policy = MaskPolicy()
    table_seconds = accumulate_seconds = 0.0
    beats = 0
    for step in steps(workload, spec.glb.words):
        if not isinstance(step.item, Block):
            continue
        masks = policy.masks(workload, step.item, 0)
        shared = published_block(step.item, spec, fuse(step.item, workload.trace))
        phase = main_phase(step, shared, masks)
        stats = PhaseStats()
        for tile in phase.tiles:
            since = time.process_time()
            assert isinstance(tile, FusedTile)
            running = tile.begin(0)
            table_seconds += time.process_time() - since
            since = time.process_time()
            for chunk in range(len(tile.chunks)):
                running.run(chunk, 0, "dram")
            accumulate_seconds += time.process_time() - since
            running.finish(stats)
        beats += stats.compute
    return {"survivor_tables_s": table_seconds, "accumulate_s": accumulate_seconds, "beats": beats}


def main() -> None:
    """Measure and print."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--json"]
    workload = Path(arguments[0]) if arguments else DEFAULT
    with tempfile.TemporaryDirectory() as cache:
        cold, _ = command(workload, cache)
    command(workload)
    runs = [command(workload) for _ in range(RUNS)]
    kernels(workload)
    inner = [kernels(workload) for _ in range(RUNS)]
    result = {
        "workload": workload.name,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "cold_run_s": round(cold, 2),
        "warm_run_s_min": round(min(seconds for seconds, _ in runs), 2),
        "warm_run_s_median": round(sorted(seconds for seconds, _ in runs)[RUNS // 2], 2),
        "peak_memory_mb": round(max(memory for _, memory in runs)),
        "accumulate_kernels_s_min": round(min(one["accumulate_s"] for one in inner), 3),
        "survivor_tables_s_min": round(min(one["survivor_tables_s"] for one in inner), 3),
        "beats": inner[0]["beats"],
        "ns_per_beat_min": round(min(one["accumulate_s"] / one["beats"] for one in inner) * 1e9, 1),
    }
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
        return
    for key, value in result.items():
        sys.stdout.write(f"{key:26} {value}\n")


if __name__ == "__main__":
    main()
