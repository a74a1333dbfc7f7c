"""How the time of a run grows: against images, the array, channels and adders.

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

import matplotlib as mpl
import numpy as np
import pandas as pd
from rich.console import Console

from archonsim.machines.registry import machine, machine_spec
from archonsim.network.block import Block
from archonsim.network.layer import Layer, same_padding
from archonsim.network.networks import network
from archonsim.network.workload import Provenance, Workload
from archonsim.runs.simulate import simulate
from archonsim.trace.synthetic import synthesize

mpl.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).parent / "results"
console = Console(stderr=True)
ARCHON = machine("archon")


@dataclass(frozen=True)
class Point:
    """One run: its size, its work, and how it is started."""

    size: float
    run: Callable[[], float]


def block_workload(channels: int, mid: int, size: int) -> Workload:
    """One PW-DW-PW block with synthetic weights and masks."""

    def conv(name: str, role: str, reads: int, makes: int) -> Layer:
        return Layer(
            name=f"b1.{name}",
            kind="conv",
            role=role,
            in_channels=reads,
            out_channels=makes,
            in_h=size,
            in_w=size,
            activation="relu" if role == "pw1" else "none",
            batchnorm=True,
        )

    dw = Layer(
        name="b1.dw",
        kind="depthwise",
        role="dw",
        in_channels=mid,
        out_channels=mid,
        groups=mid,
        in_h=size,
        in_w=size,
        kernel_h=3,
        kernel_w=3,
        padding=(*same_padding(size, 3, 1), *same_padding(size, 3, 1)),
        activation="relu",
        batchnorm=True,
    )
    block = Block(
        index=1,
        pw1=conv("pw1", "pw1", channels, mid),
        dw=dw,
        pw2=conv("pw2", "pw2", mid, channels),
        order="pw-dw-pw",
        residual="none",
        shuffle=0,
    )
    shapes = Workload(
        name="scale", items=(block,), provenance=Provenance(network="scale", dataset="none")
    )
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
    figure, axes = plt.subplots(1, len(groups), figsize=(3 * len(groups), 3), layout="constrained")
    exponents = []
    for ax, (name, part) in zip(axes, groups.items(), strict=True):
        time_, work = slope(part["size"], part["cpu_s"]), slope(part["size"], part["work"])
        exponents += [(time_, work)] * len(part)
        ax.loglog(part["size"], part["cpu_s"], marker="o")
        ax.set(xlabel=str(name), title=f"time ~ {time_:.2f}, work ~ {work:.2f}")
        ax.grid(visible=True, which="major", alpha=0.3)
        ax.tick_params(which="minor", labelbottom=False, labelleft=False)
    axes[0].set_ylabel("CPU seconds")
    frame[["time_exponent", "work_exponent"]] = np.round(exponents, 2)
    frame.round({"cpu_s": 4, "peak_mb_so_far": 0}).to_csv(RESULTS / "scale.csv", index=False)
    figure.savefig(RESULTS / "scale.png", dpi=100)


if __name__ == "__main__":
    main()
