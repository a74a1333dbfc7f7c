"""Our row-stationary mapper beside ZigZag's, judged by ZigZag's cost model.

The array, the memories, their energies and ports are those of our ``dense`` machine, told to ZigZag
as a description of its own. ZigZag searches among the spatial mappings that our machine could wire
(output channels and rows of pixels along X; output channels, input channels and filter rows along
Y). Then it judges the mapping that our mapper finds, spatial loops and order of the temporal ones
as they are. ZigZag places temporal loops at memories by itself, and its search may
keep weights, inputs and sums of a loop at different levels; ours is held to the constraints of
ICS'21's search (docs/row-stationary.md), so that it should not be expected to win here.

Printed are seconds a layer, imports apart, peak memory, and energy, latency and energy-delay
product of our mapping over ZigZag's, under ZigZag's model; and, as a check of both models, what
ours says of our mapping over what ZigZag's says. Layers of equal shape are mapped once. Depthwise
ones are left out: our mapper maps one input map for all channels, as ICS'21 did.

Run with ``python benchmarks/bench_zigzag.py [NETWORK ...] [--layers 8]``, ResNet-18 and MobileNetV2
by default. ZigZag (``pip install zigzag-dse``, in an environment of its own) is looked for in this
environment or in that of ``--python``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from peak import peak_mb
from peers import RESNET18, compute_layers, missing, script

from archonsim.dataflow.hierarchy import Hierarchy, Storage
from archonsim.dataflow.mapper import find_mapping
from archonsim.dataflow.mapping import Mapping
from archonsim.dataflow.nest import evaluate
from archonsim.dataflow.problem import Problem
from archonsim.errors import SpecError
from archonsim.machines.registry import machine, machine_spec

#: Our names of dimensions and kinds in ZigZag's.
DIMENSIONS = {"C": "C", "M": "K", "P": "OX", "Q": "OY", "R": "FX", "S": "FY"}
OPERANDS = {"input": "I1", "weight": "I2", "output": "O"}
#: Loops that our machine's axes may hold.
AXES = {"D1": ["K", "C", "FY"], "D2": ["K", "OY"]}
WORD_BITS = 16
#: Bits of a memory, and bits a cycle of a port, without a limit.
UNLIMITED, WIDE = 1 << 40, 1 << 16

#: Runs in the other interpreter: a search and one given mapping for each layer.
ZIGZAG = """
import contextlib, io, json, logging, sys, time
from pathlib import Path
from peak import peak_mb
from zigzag.api import get_hardware_performance_zigzag as run
folder = Path(sys.argv[1])
job = json.loads((folder / "job.json").read_text())
logging.disable(logging.CRITICAL)
found = []
for layer in job:
    costs = {}
    for name in ("search", "ours"):
        (folder / "mapping.yaml").write_text(json.dumps(layer[name]))
        since = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            energy, latency, _ = run(
                [layer["workload"]], str(folder / "machine.yaml"), str(folder / "mapping.yaml"),
                opt="EDP", dump_folder=str(folder / "out"), loma_show_progress_bar=False,
                enable_mix_spatial_mapping=name == "search")
        costs[name] = [float(energy), float(latency), time.process_time() - since]
    found.append(costs)
(folder / "found.json").write_text(json.dumps({"layers": found, "peak_mb": peak_mb()}))
"""


def memory(storage: Storage, hierarchy: Hierarchy) -> dict[str, Any]:
    """Return a memory in ZigZag's terms.

    Sizes are in bits; an access is as wide as the port, and of a narrower one it counts a share, so
    that a bit costs as much as here.
    """
    words = storage.words
    whole = hierarchy.names.index(storage.name) < hierarchy.names.index("array")
    ports = [
        ("read", storage.read_words_per_cycle, ("tl", "th")),
        ("write", storage.write_words_per_cycle, ("fh", "fl")),
    ]
    rates = {way: rate * WORD_BITS if rate else WIDE for way, rate, _ in ports}
    block = storage.block_words * WORD_BITS

    def directions(kind: str, some: tuple[str, ...]) -> list[str]:
        # Only partial sums go up as well as down.
        known = some if kind == "output" else tuple(one for one in some if one in ("tl", "fh"))
        return [f"{OPERANDS[kind]}, {one}" for one in known]

    return {
        "size": UNLIMITED if words is None else words * WORD_BITS,
        "r_cost": storage.access_pj * rates["read"] / block,
        "w_cost": storage.access_pj * rates["write"] / block,
        "area": 0.0,
        "latency": 1,
        "operands": [OPERANDS[kind] for kind in storage.keeps],
        "ports": [
            {
                "name": f"{way[0]}_port_1",
                "type": way,
                "bandwidth_min": min(rates[way], block),
                "bandwidth_max": rates[way],
                "allocation": [one for kind in storage.keeps for one in directions(kind, some)],
            }
            for way, _, some in ports
        ],
        "served_dimensions": ["D1", "D2"] if whole else [],
    }


def described(hierarchy: Hierarchy) -> dict[str, Any]:
    """Return our machine as ZigZag describes one, the innermost memory first."""
    keeping = [one for one in reversed(hierarchy.levels) if one.keeps]
    return {
        "name": "dense",
        "memories": {one.name: memory(one, hierarchy) for one in keeping},
        "operational_array": {
            "unit_energy": float(hierarchy.mac_pj),
            "unit_area": 1.0,
            "dimensions": ["D1", "D2"],
            "sizes": [hierarchy.rows, hierarchy.cols],
        },
    }


def workload(problem: Problem) -> dict[str, Any]:
    """Return one layer in ZigZag's terms."""
    sizes = {name: getattr(problem, name.lower()) for name in DIMENSIONS}
    return {
        "id": 0,
        "name": "layer",
        "operator_type": "Conv",
        "equation": "O[k][oy][ox]+=W[k][c][fy][fx]*I[c][iy][ix]",
        "dimension_relations": [
            f"ix={problem.stride_w}*ox+1*fx",
            f"iy={problem.stride_h}*oy+1*fy",
        ],
        "loop_dims": [DIMENSIONS[name] for name in sizes],
        "loop_sizes": list(sizes.values()),
        "operand_precision": {"W": WORD_BITS, "I": WORD_BITS, "O": WORD_BITS, "O_final": WORD_BITS},
        "operand_source": {"I": 0, "W": 0},
    }


def given_mapping(mapping: Mapping) -> list[dict[str, Any]]:
    """Return our mapping in ZigZag's terms: temporal loops from the innermost one on."""
    spatial: dict[str, dict[str, int]] = {"D1": {}, "D2": {}}
    order: list[list[Any]] = []
    for _, loop in mapping.loops():
        if loop.bound == 1 or loop.dimension not in DIMENSIONS:
            continue
        name = DIMENSIONS[loop.dimension]
        if loop.axis == "time":
            order.insert(0, [name, loop.bound])
        else:
            axis = spatial["D1" if loop.axis == "y" else "D2"]
            axis[name] = axis.get(name, 1) * loop.bound
    rows = {axis: [f"{name}, {by}" for name, by in some.items()] for axis, some in spatial.items()}
    return as_table({"spatial_mapping": {axis: some for axis, some in rows.items() if some}}, order)


def as_table(one: dict[str, Any], order: list[list[Any]]) -> list[dict[str, Any]]:
    """Return a mapping file for all layers."""
    links = {"O": "O", "W": "I2", "I": "I1"}
    return [{"name": "default", "memory_operand_links": links, "temporal_ordering": order} | one]


def main() -> int:
    """Print what both found and took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=[RESNET18, "mobilenet_v2"])
    parser.add_argument("--layers", type=int, default=8, help="shapes of a network, spread over it")
    parser.add_argument("--python", default=sys.executable, help="interpreter with ZigZag")
    given = parser.parse_args()
    why = missing(given.python, "zigzag.api")
    if why:
        sys.stdout.write(f"ZigZag is left out: pip install zigzag-dse ({why})\n")
    hierarchy = machine_spec(machine("dense")).hierarchy()
    find_mapping(Problem(c=4, m=4, p=4, q=4), hierarchy)  # compiles
    for name in given.networks:
        compare(name, hierarchy, given.layers, None if why else given.python)
    return 0


def compare(name: str, hierarchy: Hierarchy, count: int, python: str | None) -> None:
    """Map a network's layers with both."""
    every = dict.fromkeys(map(Problem.of, compute_layers(name)))
    problems = [one for one in every if one.input_maps == 1]
    step = max(1, len(problems) / count)
    some = [problems[int(at * step)] for at in range(min(count, len(problems)))]
    jobs, costs, seconds = [], [], 0.0
    for problem in some:
        since = time.process_time()
        try:
            mapping = find_mapping(problem, hierarchy)
        except SpecError:
            continue
        seconds += time.process_time() - since
        cost = evaluate(problem, mapping, hierarchy)
        costs.append((cost.energy_pj, cost.cycles))
        search = {"spatial_mapping": None, "spatial_mapping_hint": AXES}
        jobs.append(
            {
                "workload": workload(problem),
                "ours": given_mapping(mapping),
                "search": as_table(search, []),
            }
        )
    if not jobs:
        sys.exit(f"{name}: no layer that our mapper maps")
    sys.stdout.write(
        f"{name} on dense: {len(jobs)} of {len(problems)} shapes of layers\n"
        f"  our mapper {seconds / len(jobs):10.3f} CPU s a layer{peak_mb():8.0f} MB\n"
    )
    if python is None:
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "machine.yaml").write_text(json.dumps(described(hierarchy)), "utf-8")
        (folder / "job.json").write_text(json.dumps(jobs), "utf-8")
        done = script(python, ZIGZAG, str(folder))
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            sys.exit(f"ZigZag failed: {lines[-1] if lines else done.returncode}")
        found = json.loads((folder / "found.json").read_text("utf-8"))
    layers = found["layers"]
    theirs = sum(one["search"][2] for one in layers)
    ratios = [[one["ours"][at] / one["search"][at] for at in (0, 1)] for one in layers]
    models = [
        [cost[at] / one["ours"][at] for at in (0, 1)]
        for cost, one in zip(costs, layers, strict=True)
    ]
    sys.stdout.write(
        f"  ZigZag     {theirs / len(layers):10.3f} CPU s a layer{found['peak_mb']:8.0f} MB"
        f" ({theirs / seconds:.0f} times the time)\n"
        "  our mapping over ZigZag's, by ZigZag's model:"
        f" energy {spread([one[0] for one in ratios])}, latency"
        f" {spread([one[1] for one in ratios])}, energy-delay"
        f" {spread([energy * latency for energy, latency in ratios])}\n"
        "  our model over ZigZag's, of our mapping:"
        f" energy {spread([one[0] for one in models])}, latency"
        f" {spread([one[1] for one in models])}\n"
    )


def spread(values: list[float]) -> str:
    """Return the geometric mean and the range."""
    mean = math.exp(sum(map(math.log, values)) / len(values))
    return f"{mean:.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    sys.exit(main())
