"""How fast SCALE-Sim's cycles come out here and there.

The same layers, the same array, the same cycles.

Run with ``python benchmarks/bench_scalesim.py [NETWORK] [LAYERS]``: the first LAYERS pointwise
layers of a network, 8 of ``mobilenetv2_c10`` by default, output stationary on 32 x 32 PEs.
SCALE-Sim runs where it is installed (``pip install "archonsim[bench]"``), unmodified, without
traces, with unlimited bandwidth. Both are timed inside their own process, imports apart.
"""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from archonsim.machines.registry import machine, machine_spec
from archonsim.network.networks import network
from archonsim.network.scalesim_csv import CONV_COLUMNS, read_topology
from archonsim.runs.simulate import simulate

ROWS = COLS = 32

CONFIG = f"""[general]
run_name = bench
[architecture_presets]
ArrayHeight = {ROWS}
ArrayWidth = {COLS}
IfmapSramSzkB = 64
FilterSramSzkB = 64
OfmapSramSzkB = 64
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Bandwidth = 10
Dataflow = os
MemoryBanks = 1
ReadRequestBuffer = 32
WriteRequestBuffer = 32
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""

#: Columns of SCALE-Sim 3's layout file behind the layer's name; it is read and, without custom
#: layouts, not used.
LAYOUT_COLUMNS = 20

SCALESIM = """
import sys, time
from scalesim.scale_sim import scalesim
folder = sys.argv[1]
run = scalesim(save_disk_space=True, verbose=False, config=folder + "/scale.cfg",
               topology=folder + "/bench.csv", layout=folder + "/layout.csv")
since = time.perf_counter()
run.run_scale(top_path=folder)
sys.stderr.write(f"\\nseconds {time.perf_counter() - since}\\n")
"""


def write_inputs(folder: Path, name: str, count: int) -> Path:
    """Write topology, layout and configuration; return the topology."""
    layers = [
        layer
        for layer in network(name).layers()
        if layer.kind == "conv" and layer.kernel_h == layer.groups == 1
    ][:count]
    header = ", ".join(("Layer name", *CONV_COLUMNS))
    lines = [
        f"L{at}, {one.in_h}, {one.in_w}, 1, 1, {one.in_channels}, {one.out_channels}, 1,"
        for at, one in enumerate(layers)
    ]
    topology = folder / "bench.csv"
    topology.write_text("\n".join((f"{header},", *lines, "")), "utf-8")
    layout = [f"L{at}, {', '.join(['1'] * LAYOUT_COLUMNS)}," for at in range(len(layers))]
    (folder / "layout.csv").write_text("\n".join(("layout,", *layout, "")), "utf-8")
    (folder / "scale.cfg").write_text(CONFIG, "utf-8")
    return topology


def run_scalesim(folder: Path) -> tuple[float, list[int]]:
    """Run SCALE-Sim in a process of its own.

    Return its seconds and the compute cycles of each layer.
    """
    done = subprocess.run(
        [sys.executable, "-c", SCALESIM, str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(
            f"SCALE-Sim failed: {done.stderr.strip().splitlines()[-1]} (its release 3.0.0 needs"
            " numpy < 2.4)"
        )
    seconds = float(done.stderr.rsplit("seconds ", 1)[1])
    report = next(folder.rglob("COMPUTE_REPORT.csv"))
    with report.open(encoding="utf-8") as file:
        rows = [
            {key.strip(): value for key, value in row.items() if key}
            for row in csv.DictReader(file)
        ]
    column = "Total Cycles" if "Total Cycles" in rows[0] else "Compute Cycles"
    return seconds, [int(float(row[column])) for row in rows]


def run_ours(topology: Path, fidelity: str) -> tuple[float, list[int]]:
    """Run the ``systolic`` machine; return its seconds and the cycles of each layer."""
    found = machine("systolic")
    spec = machine_spec(
        found,
        None,
        (f"pe.rows={ROWS}", f"pe.cols={COLS}", "timing=scalesim", "dram.model=unlimited"),
    )
    work = read_topology(topology)
    since = time.perf_counter()
    report = simulate(work, found, spec, fidelity=fidelity)  # type: ignore[arg-type]
    return time.perf_counter() - since, [int(layer.cycles) for layer in report.layers]


def main(name: str = "mobilenetv2_c10", count: str = "8") -> int:
    """Print the seconds of both and their ratio; return 1 when cycles differ."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        topology = write_inputs(folder, name, int(count))
        ours = {fidelity: run_ours(topology, fidelity) for fidelity in ("ideal", "cycle")}
        for fidelity, (seconds, cycles) in ours.items():
            sys.stdout.write(f"archonsim {fidelity:6}{seconds:10.4f} s{sum(cycles):12} cycles\n")
        if importlib.util.find_spec("scalesim") is None:
            sys.stdout.write('SCALE-Sim is not installed: pip install "archonsim[bench]"\n')
            return 0
        seconds, cycles = run_scalesim(folder)
        sys.stdout.write(f"SCALE-Sim       {seconds:10.4f} s{sum(cycles):12} cycles\n")
        for fidelity, (taken, same) in ours.items():
            agree = (
                "same cycles, layer by layer"
                if same == cycles
                else f"cycles differ: {same} and {cycles}"
            )
            sys.stdout.write(
                f"SCALE-Sim / {fidelity}: {seconds / taken:.0f} times the time; {agree}\n"
            )
        return 0 if all(same == cycles for _, same in ours.values()) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
