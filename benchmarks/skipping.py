"""A study of machines that skip one operand's zeros, both, or compute blocks fused, on one chip.

`studies.py` runs it; benchmarks/README.md says what it shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archonsim.cli.app import run_command
from archonsim.explain.attribute import explain
from archonsim.network.networks import network
from archonsim.runs.comparison import every_pair
from archonsim.runs.run import Run
from archonsim.runs.scenario import Settings
from archonsim.show import figures as plots
from archonsim.show.figures.style import look
from archonsim.trace.synthetic import synthesize
from archonsim.trace.synthetic_inputs import with_inputs
from archonsim.tracefile.writer import write_workload

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "studies"
#: Trained networks of others, which are not part of the repository.
MODELS = ROOT.parent / "shared" / "data" / "models"
TECHNOLOGY = ROOT / "benchmarks" / "equal.toml"

ARCHS = ("dense", "systolic", "fuse", "sparse", "eyerissv2", "scnn", "snapea", "sparten", "archon")
TITLES = {"fuse": "FuSeConv", "dense": "dense", "systolic": "systolic", "sparse": "sparse"}

#: One chip for all: 100 KiB for maps, 16-bit values; clock and DRAM are the same in all presets.
CHIP: dict[str, Any] = {
    "dense.glb.words": 51200,
    "sparse.glb.words": 51200,
    "systolic.ifmap_sram.words": 16384,
    "systolic.filter_sram.words": 16384,
    "systolic.ofmap_sram.words": 18432,
    "fuse.ifmap_sram.words": 16384,
    "fuse.filter_sram.words": 16384,
    "fuse.ofmap_sram.words": 18432,
    "eyerissv2.glb.words": 51200,
    "eyerissv2.value_bits": 16,
    "eyerissv2.cluster.rows": 2,
    "scnn.glb.words": 51200,
    "snapea.glb.words": 51200,
    "sparten.glb.words": 51200,
    "sparten.value_bits": 16,
}
BUDGETS = {"pes": "as many multipliers as ARCHON", "area": "as much area as ARCHON"}
#: Seed, and share of non-zero inputs of plain layers, of synthetic traces.
SEED, ACTIVATIONS = 1, 0.5
KEPT_OWNERS = 3
#: Owners of cycles in which all multipliers, or all adders, would be busy.
WORK = ("macs", "adders")


def workloads() -> dict[str, tuple[str, str]]:
    """Return traces: name to (path, what its zeros are)."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = {
        "fusionet_digits": (str(ROOT / "workloads" / "fusionet_digits.h5"), "trained"),
        "fusionet_c10": (str(ROOT / "workloads" / "fusionet_c10.h5"), "trained, interim"),
    }
    for name in ("mobilenetv2mod_c10", "mobilenetv2_c10"):
        path = FOLDER / f"{name}-inputs.h5"
        made = synthesize(network(name), seed=SEED, images=1)
        write_workload(path, *with_inputs(*made, ACTIVATIONS))
        found[name] = (str(path), "SYNTHETIC")
    if (MODELS / "vww_96_float.onnx").is_file():
        found["vww_96"] = (str(_trained_by_others()), "trained, not pruned")
    return found


def _trained_by_others() -> Path:
    """Export MLPerf Tiny's MobileNetV1 0.25 (96 x 96, ReLU) with the non-zeros of a photograph."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    photo = Image.fromarray(load_sample_image("china.jpg")).resize((96, 96))
    pixels, path = FOLDER / "china.npy", FOLDER / "vww_96.h5"
    np.save(pixels, (np.asarray(photo, np.float32) / 255)[None].transpose(0, 3, 1, 2))
    options = ["--onnx", str(MODELS / "vww_96_float.onnx"), "--images", str(pixels)]
    if (
        run_command(
            ["export", *options, "--count", "1", "--activations", "--values", "-o", str(path)]
        )
        != 0
    ):
        raise SystemExit("vww_96_float.onnx does not export")
    return path


def _rows(name: str, path: str, zeros: str, budget: str) -> list[dict[str, Any]]:
    settings = Settings(set=CHIP, energy=str(TECHNOLOGY))
    asked = every_pair(ARCHS, path, settings, base="archon", budget=budget)
    rows = [_row(run) for run in asked.prepare().runs]
    base = next(row["cycles"] for row in rows if row["arch"] == "dense")
    for row in rows:
        row["speedup"] = round(base / row["cycles"], 2)
    return [{"workload": name, "zeros": zeros, "budget": budget} | row for row in rows]


def _row(run: Run) -> dict[str, Any]:
    report = run.execute()
    bars = explain(run.workload, run.machine, run.spec).network
    size = run.machine.resources(run.spec)
    # Of every hundred cycles, what the largest owners take beside the array's own work.
    shares = {step.owner: 100 * step.cycles / report.total_cycles for step in bars.steps}
    lost = sorted((-share, owner) for owner, share in shares.items() if owner not in WORK)
    energy = sum(layer.energy_pj or 0.0 for layer in report.layers) / 1e6
    return {
        "arch": run.machine.name,
        "multipliers": size.pes,
        "array": f"{run.spec.pe.rows}x{run.spec.pe.cols}",
        "area_mm2": round((size.whole_area_um2 or 0.0) / 1e6, 3),
        "cycles": report.total_cycles,
        "energy_uj": round(energy, 1),
        "macs": report.total_macs,
        "dram_words": sum(
            words
            for layer in report.layers
            for key, words in layer.traffic.items()
            if key.startswith("dram.")
        ),
        "work_percent": round(sum(shares.get(owner, 0.0) for owner in WORK), 1),
        "lost_to": " ".join(f"{owner}:{-share:.0f}%" for share, owner in lost[:KEPT_OWNERS]),
    }


def _kept_rows(names: set[str]) -> list[dict[str, Any]]:
    """Return the committed rows of what is not at hand: trained networks of others."""
    frame = pd.read_csv(ROOT / "benchmarks" / "results" / "skipping.csv")
    kept: list[dict[str, Any]] = frame[~frame["workload"].isin(names)].to_dict("records")
    return kept


def skipping() -> plots.Chart:
    """Cycles and energy on one chip, with equal multipliers and with equal area."""
    found = workloads()
    rows = [
        row
        for name, (path, zeros) in found.items()
        for budget in BUDGETS
        for row in _rows(name, path, zeros, budget)
    ]
    if not MODELS.is_dir():
        rows += _kept_rows(set(found))
    return _chart(pd.DataFrame(rows))


def _chart(frame: pd.DataFrame) -> plots.Chart:
    names = list(dict.fromkeys(frame["workload"]))
    with look(plots.Size.page):
        chart = plots.Chart(
            frame,
            size=plots.Size.page,
            height=3.8,
            title="Who gains by which zeros",
            subtitle="one image, 16 bits, 100 KiB for maps, 25.6 GB/s; the dense array of the same"
            " budget = 1 (less is better); mobilenet*: SYNTHETIC weights and masks",
        )
        grid = chart.subplots(2, 2, sharex=True, sharey="row")
        width = 0.8 / (len(ARCHS) - 1)
        for column, (budget, said) in enumerate(BUDGETS.items()):
            for row, (key, title) in enumerate((("cycles", "cycles"), ("energy_uj", "energy"))):
                axes = grid[row][column]
                part = frame[frame["budget"] == budget].set_index(["workload", "arch"])[key]
                for at, arch in enumerate(ARCHS[1:]):
                    values = [part[name, arch] / part[name, "dense"] for name in names]
                    places = np.arange(len(names)) + (at - (len(ARCHS) - 2) / 2) * width
                    axes.bar(places, values, width, color=COLOURS[at], label=TITLES.get(arch, arch))
                axes.axhline(1, color="black", linewidth=0.6)
                axes.set_yscale("log")
                axes.set_yticks(TICKS, [f"{one:g}" for one in TICKS])
                axes.minorticks_off()
                axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
                if column == 0:
                    axes.set_ylabel(f"{title}, dense = 1")
                if row == 0:
                    axes.set_title(said, fontsize=6)
        grid[0][0].legend(fontsize=5, ncols=4)
    return chart


TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10)
#: Okabe and Ito's colours, one for each machine but the dense one.
COLOURS = (
    *("#999999", "#F0E442", "#56B4E9", "#CC79A7", "#E69F00", "#0072B2", "#009E73"),
    "#D55E00",
)
