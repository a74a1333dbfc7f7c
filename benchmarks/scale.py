"""How the time of a run grows: against images, the array, channels, layers, adders.

``python benchmarks/scale.py`` measures CPU seconds of ``cycle`` runs of ARCHON on synthetic
networks and writes ``benchmarks/results/scale.csv`` and ``scale.png``. For each question it fits
the exponent of time, and of the work that is done: images, or beats times PEs times adders. Time
may grow slower than its work, and nothing should grow faster.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from archonsim.machines.registry import machine, machine_spec
from archonsim.network.networks import network
from archonsim.network.table import build_network
from archonsim.network.table_schema import check_table
from archonsim.network.workload import Workload
from archonsim.runs.simulate import simulate
from archonsim.show import figures as plots
from archonsim.show.figures.style import look
from archonsim.trace.synthetic import synthesize

RESULTS = Path(__file__).parent / "results"
console = Console(stderr=True)
ARCHON = machine("archon")


@dataclass(frozen=True)
class Point:
    """One run: its size, its work, and how it is started."""

    size: float
    run: Callable[[], float]


def block_workload(channels: int, mid: int, size: int, blocks: int = 1) -> Workload:
    """PW-DW-PW blocks with synthetic weights and masks."""
    block = {"mid": mid, "out": channels, "kernel": 3}
    table = check_table({"input": [channels, size, size], "blocks": [block] * blocks}, "scale")
    shapes = build_network(table, "scale", "scale", "scale")
    return synthesize(shapes, seed=0, density1=0.5, density2=0.5, weight_density=(0.4,) * 3)[0]


def beats(work: Workload, *changes: str, images: tuple[int, ...] = (0,)) -> float:
    """Run it; return beats times PEs times adders, over all images."""
    # Tiles of the largest arrays need room.
    spec = machine_spec(ARCHON, None, ("glb.words=1048576", *changes))
    report = simulate(work, ARCHON, spec, images=images)
    main = sum(layer.compute for layer in report.layers if layer.phase == "main")
    return float(main * spec.pe.count * spec.pe.adders * len(images))


def questions() -> dict[str, list[Point]]:
    """What is varied, and the runs."""
    digits = synthesize(network("fusionet_digits"), seed=0, images=64)[0]
    whole, wide = block_workload(16, 96, 64), block_workload(16, 96, 16)
    return {
        "images": [
            Point(n, partial(beats, digits, images=tuple(range(n)))) for n in (4, 8, 16, 32, 64)
        ],
        "PEs": [
            Point(n * n, partial(beats, whole, f"pe.rows={n}", f"pe.cols={n}"))
            for n in (2, 4, 8, 16, 32, 64)
        ],
        "channels": [
            Point(16 * t, partial(beats, block_workload(16, 16 * t, 16)))
            for t in (4, 8, 16, 32, 64, 128)
        ],
        "pixels": [
            Point(n * n, partial(beats, block_workload(16, 96, n))) for n in (14, 28, 56, 112, 224)
        ],
        "layers": [
            Point(3 * n, partial(beats, block_workload(16, 96, 16, n))) for n in (4, 8, 16, 32, 67)
        ],
        "adders": [Point(n, partial(beats, wide, f"pe.adders={n}")) for n in (6, 16, 64, 256)],
    }


def measure() -> pd.DataFrame:
    """Run everything twice; the second time counts, when kernels and weights are there."""
    rows = []
    for name, points in questions().items():
        for point in points:
            work = point.run()
            gc.collect()
            since = time.process_time()
            point.run()
            seconds = time.process_time() - since
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rows.append((name, point.size, work, seconds, memory))
            console.print(f"{name} {point.size:g}: {seconds:.3f} s")
    columns = ["varied", "size", "work", "cpu_s", "peak_mb_so_far"]
    return pd.DataFrame(rows, columns=columns)


def slope(sizes: pd.Series, values: pd.Series) -> float:
    """Return the exponent that fits the larger half of some values."""
    half = len(sizes) // 2
    x, y = np.log(sizes[half - 1 :]), np.log(values[half - 1 :])
    return float(np.polyfit(x, y, 1)[0])


def main() -> None:
    """Measure, and write the table and the figure."""
    frame = measure()
    groups = dict(list(frame.groupby("varied", sort=False)))
    exponents = []
    with look(plots.Size.page):
        chart = plots.Chart(
            frame,
            size=plots.Size.page,
            height=2.1,
            title="How the time of a run grows",
            subtitle="archon, cycle fidelity, SYNTHETIC weights and masks; exponents of time and"
            " of work, fitted to the larger half",
        )
        panels = chart.subplots(1, len(groups), sharey=True)
        for ax, (name, part) in zip(panels, groups.items(), strict=True):
            time_, work = slope(part["size"], part["cpu_s"]), slope(part["size"], part["work"])
            exponents += [(time_, work)] * len(part)
            ax.plot(part["size"], part["cpu_s"], marker="o", markersize=3)
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.set_xlabel(str(name))
            ax.set_title(f"time {time_:.2f}, work {work:.2f}", fontsize=6)
            ends = (part["size"].iloc[0], part["size"].iloc[-1])
            ax.set_xticks(ends, [f"{size:g}" for size in ends])
            ax.minorticks_off()
        panels[0].set_yticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
        panels[0].set_ylabel("CPU seconds")
    frame[["time_exponent", "work_exponent"]] = np.round(exponents, 2)
    frame.round({"cpu_s": 4, "peak_mb_so_far": 0}).to_csv(RESULTS / "scale.csv", index=False)
    (RESULTS / "scale.png").write_bytes(chart.render("png"))


if __name__ == "__main__":
    main()
