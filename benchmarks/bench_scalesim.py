"""How fast SCALE-Sim's cycles come out here and there.

The same layers, the same array, the same dataflow: os, ws and is on 32 x 32 PEs, with unlimited
bandwidth (SCALE-Sim's CALC mode) and with a given one (its USER mode: 10 words a cycle, memories of
64 Ki words). SCALE-Sim runs unmodified, without traces. Each run is a process of its own; seconds
are without imports and, ours, without compilation; memory is the process's peak, imports included.

Cycles of CALC must be the same, layer by layer, or the script ends with 1. Those of USER are not
reproduced on purpose (docs/systolic.md); how far they are apart is printed.

Run with ``python benchmarks/bench_scalesim.py [NETWORK ...]``, ResNet-18 and MobileNet by default.
SCALE-Sim takes minutes for a network, so that each run has the layers of fewest cycles only, up to
``--budget``; ``--all`` runs every layer. Layers of equal shape run once. SCALE-Sim is looked for in
this environment (``pip install "archonsim[bench]"``) or in that of ``--python``.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from peak import peak_mb
from peers import RESNET18, compute_layers, missing, script

from archonsim.dataflow.systolic import Dataflow, layer_cycles
from archonsim.machines.registry import machine, machine_spec
from archonsim.network.layer import Layer
from archonsim.network.scalesim_csv import CONV_COLUMNS, read_topology
from archonsim.runs.simulate import simulate

ROWS = COLS = 32
DATAFLOWS: tuple[Dataflow, ...] = ("os", "ws", "is")
#: Words a cycle of USER; SCALE-Sim gives as many to each of its three memories.
BANDWIDTH = 10
#: Our machine in each mode. A cycle is 2 ns and a word 2 bytes: BANDWIDTH words are as many GB/s.
MODES: dict[str, tuple[str, ...]] = {
    "CALC": ("dram.model=unlimited",),
    "USER": (
        f"dram.gigabytes_per_second={BANDWIDTH}",
        "dram.latency_cycles=0",
        "dram.turnaround_cycles=0",
        *(f"{memory}_sram.words=65536" for memory in ("ifmap", "filter", "ofmap")),
    ),
}

CONFIG = """[general]
run_name = bench
[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {cols}
IfmapSramSzkB = 64
FilterSramSzkB = 64
OfmapSramSzkB = 64
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Bandwidth = {bandwidth}
Dataflow = {dataflow}
MemoryBanks = 1
ReadRequestBuffer = 32
WriteRequestBuffer = 32
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = {bandwidth}
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = {bandwidth}
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
[run_presets]
InterfaceBandwidth = {mode}
UseRamulatorTrace = False
"""

#: Columns of SCALE-Sim 3's layout file behind the layer's name; it is read and, without custom
#: layouts, not used but for the channels of depthwise layers.
LAYOUT_COLUMNS, LAYOUT_CHANNELS = 20, 4

SCALESIM = """
import sys, time
from peak import peak_mb
from scalesim.scale_sim import scalesim
folder = sys.argv[1]
run = scalesim(save_disk_space=True, verbose=False, config=folder + "/scale.cfg",
               topology=folder + "/bench.csv", layout=folder + "/layout.csv")
since = time.perf_counter()
run.run_scale(top_path=folder)
seconds = time.perf_counter() - since
sys.stderr.write(f"\\n{seconds} {peak_mb()}\\n")
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run took, and the cycles of each layer; ``filled`` with SCALE-Sim's first fetch."""

    seconds: float
    peak_mb: float
    cycles: list[int]
    filled: list[int]


def topology_row(name: str, layer: Layer) -> str:
    """Return a layer's line; the map is as large as its windows reach, padding included."""
    height = (layer.out_h - 1) * layer.stride_h + layer.kernel_h
    width = (layer.out_w - 1) * layer.stride_w + layer.kernel_w
    filters = 1 if layer.kind == "depthwise" else layer.out_channels
    sizes = (height, width, layer.kernel_h, layer.kernel_w, layer.in_channels, filters)
    return f"{name}, {', '.join(map(str, sizes))}, {layer.stride_h},"


def runs_there(layer: Layer) -> bool:
    """Say whether a SCALE-Sim topology can hold a layer."""
    plain = layer.groups == 1
    depthwise = layer.kind == "depthwise" and layer.in_channels == layer.out_channels
    return (plain or depthwise) and layer.stride_h == layer.stride_w


def chosen(layers: Sequence[Layer], dataflow: Dataflow, budget: int | None) -> list[Layer]:
    """Return one layer of each shape, fewest cycles first, as many as the budget allows."""
    shapes = {topology_row("", one): one for one in layers if runs_there(one)}
    cycles = {
        shape: layer_cycles(one, ROWS, COLS, dataflow, "scalesim") for shape, one in shapes.items()
    }
    ordered = sorted(shapes, key=lambda shape: cycles[shape])
    found: list[Layer] = []
    total = 0
    for shape in ordered:
        total += cycles[shape]
        if budget is not None and total > budget and found:
            break
        found.append(shapes[shape])
    return found


def write_topology(folder: Path, layers: Sequence[Layer]) -> None:
    """Write topology and layout; ``DP`` in a name is SCALE-Sim's sign of a depthwise layer."""
    names = [f"{'DP' if one.groups > 1 else 'L'}{at}" for at, one in enumerate(layers)]
    header = ", ".join(("Layer name", *CONV_COLUMNS))
    rows = [topology_row(name, one) for name, one in zip(names, layers, strict=True)]
    (folder / "bench.csv").write_text("\n".join((f"{header},", *rows, "")), "utf-8")
    layout = ["layout,"]
    for name, one in zip(names, layers, strict=True):
        cells = ["1"] * LAYOUT_COLUMNS
        cells[LAYOUT_CHANNELS] = str(one.in_channels)
        layout.append(f"{name}, {', '.join(cells)},")
    (folder / "layout.csv").write_text("\n".join((*layout, "")), "utf-8")
    (folder / "warm.csv").write_text(f"{header},\nwarm, 9, 7, 1, 1, 3, 5, 1,\n", "utf-8")


def run_scalesim(
    python: str, folder: Path, layers: Sequence[Layer], dataflow: str, mode: str
) -> Ran:
    """Run SCALE-Sim in a process of its own; it runs each channel of a depthwise layer."""
    config = CONFIG.format(rows=ROWS, cols=COLS, bandwidth=BANDWIDTH, dataflow=dataflow, mode=mode)
    (folder / "scale.cfg").write_text(config, "utf-8")
    done = script(python, SCALESIM, str(folder))
    if done.returncode:
        sys.exit(
            f"SCALE-Sim failed: {done.stderr.strip().splitlines()[-1]} (its release 3.0.0 needs"
            " numpy < 2.4)"
        )
    seconds, peak = map(float, done.stderr.split()[-2:])
    with next(folder.rglob("COMPUTE_REPORT.csv")).open(encoding="utf-8") as file:
        rows = [
            {key.strip(): cell for key, cell in row.items() if key} for row in csv.DictReader(file)
        ]
    found: dict[str, list[int]] = {}
    for column in ("Total Cycles", "Total Cycles (incl. prefetch)"):
        cells = iter([int(float(row[column])) for row in rows])
        found[column] = [sum(next(cells) for _ in range(one.groups)) for one in layers]
    return Ran(seconds, peak, *found.values())


def run_ours(folder: Path, dataflow: str, mode: str, fidelity: str) -> Ran:
    """Run the ``systolic`` machine in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--ours", str(folder), dataflow, mode, fidelity],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"archonsim failed: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return Ran(found["seconds"], found["peak_mb"], found["cycles"], found["cycles"])


def ours(folder: Path, dataflow: str, mode: str, fidelity: str) -> None:
    """Run the ``systolic`` machine in this process, and print what it took as JSON."""
    found = machine("systolic")
    overrides = (f"pe.rows={ROWS}", f"pe.cols={COLS}", "timing=scalesim", f"dataflow={dataflow}")
    spec = machine_spec(found, None, (*overrides, *MODES[mode]))
    simulate(read_topology(folder / "warm.csv"), found, spec, fidelity=fidelity)  # type: ignore[arg-type]
    work = read_topology(folder / "bench.csv")
    since = time.perf_counter()
    report = simulate(work, found, spec, fidelity=fidelity)  # type: ignore[arg-type]
    seconds = time.perf_counter() - since
    cycles = [int(layer.cycles) for layer in report.layers]
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_mb": peak_mb(), "cycles": cycles}))


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def apart(mine: Sequence[int], theirs: Sequence[int]) -> str:
    """Say how cycles compare, layer by layer."""
    if mine == theirs:
        return "same cycles, layer by layer"
    ratios = [one / other for one, other in zip(mine, theirs, strict=True)]
    same = sum(ratio == 1 for ratio in ratios)
    return (
        f"our cycles / theirs: {sum(mine) / sum(theirs):.3f} in all, {min(ratios):.3f} to"
        f" {max(ratios):.3f} a layer, median {median(ratios):.3f}; equal in {same} of {len(ratios)}"
    )


def compare(
    folder: Path, layers: Sequence[Layer], dataflow: str, mode: str, python: str | None
) -> bool:
    """Run one dataflow in one mode on both; return whether cycles that must be equal are."""
    mine = {
        fidelity: run_ours(folder, dataflow, mode, fidelity)
        for fidelity in (("ideal", "cycle") if mode == "CALC" else ("cycle",))
    }
    for fidelity, one in mine.items():
        say(
            f"  archonsim {fidelity:6}{one.seconds:10.4f} s{one.peak_mb:8.0f} MB"
            f"{sum(one.cycles):12} cycles"
        )
    if python is None:
        return True
    theirs = run_scalesim(python, folder, layers, dataflow, mode)
    say(
        f"  SCALE-Sim {mode:6}{theirs.seconds:10.4f} s{theirs.peak_mb:8.0f} MB"
        f"{sum(theirs.cycles):12} cycles"
    )
    for fidelity, one in mine.items():
        say(
            f"  SCALE-Sim / {fidelity}: {theirs.seconds / one.seconds:.0f} times the time,"
            f" {theirs.peak_mb / one.peak_mb:.2f} times the memory;"
            f" {apart(one.cycles, theirs.cycles)}"
        )
        if mode == "USER":
            say(f"  with SCALE-Sim's first fetch: {apart(one.cycles, theirs.filled)}")
    return mode == "USER" or all(one.cycles == theirs.cycles for one in mine.values())


def main() -> int:
    """Print the seconds and memory of both and their ratio; return 1 when cycles differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=[RESNET18, "mobilenet_v1"])
    parser.add_argument("--dataflow", choices=DATAFLOWS, action="append")
    parser.add_argument("--mode", choices=MODES, action="append")
    parser.add_argument("--budget", type=int, default=200_000, help="cycles of a run, at most")
    parser.add_argument("--all", action="store_true", help="every layer")
    parser.add_argument("--python", default=sys.executable, help="interpreter with SCALE-Sim")
    parser.add_argument("--ours", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ours:
        ours(Path(given.ours[0]), *given.ours[1:])
        return 0
    why = missing(given.python, "scalesim")
    if why:
        say(f'SCALE-Sim is left out: pip install "archonsim[bench]" ({why})')
    equal = True
    for name in given.networks:
        layers = compute_layers(name)
        shapes = {topology_row("", one) for one in layers}
        for dataflow in given.dataflow or DATAFLOWS:
            some = chosen(layers, dataflow, None if given.all else given.budget)
            share = sum(one.macs for one in some) / sum(
                {topology_row("", one): one.macs for one in layers}.values()
            )
            for mode in given.mode or MODES:
                say(
                    f"{name} {dataflow} {mode}: {len(some)} of {len(shapes)} shapes of layers,"
                    f" {share:.1%} of their multiplications"
                )
                with tempfile.TemporaryDirectory() as place:
                    write_topology(Path(place), some)
                    python = None if why else given.python
                    equal &= compare(Path(place), some, dataflow, mode, python)
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
