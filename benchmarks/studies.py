"""Questions that this simulator was built to answer, each with its table and figure.

``python benchmarks/studies.py NAME`` asks one of them again (``all``: every one) and writes
``benchmarks/results/NAME.csv`` and ``NAME.png``; ``benchmarks/README.md`` says what each shows.
Seconds to minutes each, on two processes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from honest import PUBLISHED, buildable, group_order, main_order
from real_networks import real_networks
from rich.console import Console
from skipping import skipping

import archonsim
from archonsim.show import figures as plots

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FUSIONET = str((ROOT / "workloads" / "fusionet_c10.h5").relative_to(ROOT))
console = Console(stderr=True)


@dataclass(frozen=True)
class Sweep:
    """Machines, workload and what is varied, as `archonsim.sweep` takes them."""

    arch: Sequence[str]
    params: dict[str, Any]
    set: dict[str, Any] = field(default_factory=dict)
    masks: Sequence[str] = ("trace",)

    def frame(self) -> pd.DataFrame:
        """Run it on ARCHON as published; the table says where the workload comes from."""
        published = {f"archon.{key}": value for key, value in PUBLISHED.items()}
        swept = archonsim.sweep(
            self.arch, FUSIONET, self.params, set=published | self.set, masks=self.masks, jobs=2
        )
        return plots.read_sweep(swept.csv)


def speedups() -> plots.Chart:
    """ICS'21's figure: modified networks on ARCHON, original ones on the baselines.

    Closed forms.
    """
    pairs = {
        "fusionet_c10": "mobilenetv2_c10-ics21",
        "mobilenetv2mod_c10": "mobilenetv2_c10-ics21",
        "mnasnetmod_c10": "mnasnet_c10-ics21",
        "shufflenetmod_c10": "shufflenet_c10-ics21",
    }
    workloads = list(dict.fromkeys([*pairs, *pairs.values()]))
    compared = archonsim.compare(
        ["dense", "sparse", "archon"], workloads, fidelity="ideal", set={"sparse.nnz": "ics21"}
    )
    return plots.plot_compare(compared.to_dataframe(), baselines=pairs, size=plots.Size.page)


def array() -> plots.Chart:
    """Rows and columns of PEs, with a GLB of 1 MiB.

    The buffers of larger arrays' tiles do not fit the published 100 KiB.
    """
    sizes = [4, 8, 16, 32]
    frame = Sweep(
        ["archon"], {"pe.rows": sizes, "pe.cols": sizes}, set={"glb.words": 2**19}
    ).frame()
    return plots.plot_heatmap(frame, "pe.cols", "pe.rows")


def adders() -> plots.Chart:
    """Adders of a PE, on the network's masks, with every activation kept, and with half."""
    frame = Sweep(["archon"], {"pe.adders": "2..12"}, masks=["trace", "random:0.5", "all"]).frame()
    return plots.plot_sweep(frame, "pe.adders", series="masks", log="none")


def fifo() -> plots.Chart:
    """Depth of the FIFO before each adder, for both orders of lanes; a beat needs at least 4."""
    depths = [4, 5, 6, 8, 12, 16, 32]
    frame = Sweep(["archon"], {"pe.fifo_depth": depths, "lane_order": ["rotate", "fixed"]}).frame()
    return plots.plot_sweep(frame, "pe.fifo_depth", series="lane_order", log="x")


def dram() -> plots.Chart:
    """DRAM bandwidth: where each machine leaves the line bytes / bandwidth.

    ARCHON with a GLB of 2 MiB in both cases: in the published 100 KiB no block's fused weights fit,
    and both would be one.
    """
    bandwidths = [0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4]
    frame = Sweep(
        ["archon", "dense", "sparse"],
        {"archon.weights": ["stream", "cache"], "dram.gigabytes_per_second": bandwidths},
        set={"archon.glb.words": 2**20},
    ).frame()
    key = "dram.gigabytes_per_second"
    return plots.plot_sweep(
        frame, key, y="time_ms", series=["arch", "archon.weights"], asymptote=True, log="xy"
    )


_ALL = (
    speedups,
    array,
    adders,
    fifo,
    dram,
    buildable,
    main_order,
    group_order,
    skipping,
    real_networks,
)
STUDIES: dict[str, Callable[[], plots.Chart]] = {one.__name__: one for one in _ALL}


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", nargs="+", choices=[*STUDIES, "all"])
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="folder of the results")
    given = parser.parse_args()
    asked, folder = given.study, given.output
    for name in STUDIES if "all" in asked else asked:
        start = time.perf_counter()
        with console.status(name):
            chart = STUDIES[name]()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.csv").write_text(chart.csv(), "utf-8")
        (folder / f"{name}.png").write_bytes(chart.render("png"))
        console.print(f"{name}: {time.perf_counter() - start:.0f} s, {folder / name}.csv and .png")


if __name__ == "__main__":
    main()
