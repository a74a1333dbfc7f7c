"""Our mapper beside random search of Timeloop's kind, on the same space under the same cost model.

The row-stationary mapper (:mod:`archonsim.dataflow.mapper`) goes through its space in an order in
which a bound ends it. Random search draws a mapping, each dimension's factors over the loops that
may hold them, keeps the best by cycles, then energy, and stops when so many valid ones in a row
(Timeloop's "victory condition") were no better. Both ask the same kernel for the cost of many
mappings at a time, so that what is compared is how many they look at and what they find.

Run with ``python benchmarks/bench_mapper.py [NETWORK] [--arch dense] [--victory 500]``. Layers of
equal shape are mapped once; CPU seconds, imports and compilation apart.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from dataclasses import dataclass

import numpy as np

from archonsim.dataflow.hierarchy import Hierarchy
from archonsim.dataflow.mapper import LEVELS, TEMPLATE, find_mapping, splits
from archonsim.dataflow.nest import costs, evaluate, loop_columns
from archonsim.dataflow.problem import Problem
from archonsim.errors import SpecError
from archonsim.machines.registry import machine, machine_spec
from archonsim.network.networks import network

#: Mappings whose costs are asked for at a time.
BATCH = 256
#: Draws after which a layer is given up, valid or not.
MOST_DRAWS = 1_000_000
_COLUMNS = loop_columns([(LEVELS.index(level), name, axis) for level, name, axis in TEMPLATE])


@dataclass(slots=True)
class Found:
    """What a search found, and what it took."""

    cycles: int
    energy_pj: float
    seconds: float
    looked_at: int


def draw(problem: Problem, hierarchy: Hierarchy, rng: random.Random) -> list[int] | None:
    """Draw a mapping of the published space; None where the array is too small for it."""
    one_pixel = problem.p == problem.q == 1
    dram_m, glb_m, mx, my, pad_m = rng.choice(splits(problem.m, 5))
    dram_c, glb_c, cy, pad_c = rng.choice(splits(problem.c, 4))
    outer_q, qx = rng.choice(splits(problem.q, 2))
    if mx * qx > hierarchy.cols or my * cy * problem.s > hierarchy.rows:
        return None
    if glb_c > 1 and not one_pixel:
        return None
    dram = [problem.n, outer_q, 1, dram_m, dram_c, 1, 1]
    inside = [glb_m, glb_c, problem.p, mx, qx, my, cy, problem.s, problem.r, pad_c, pad_m]
    return [*dram, *inside]


def random_search(problem: Problem, hierarchy: Hierarchy, victory: int, seed: int) -> Found | None:
    """Draw until so many valid mappings in a row were no better; None if none was valid."""
    dims, levels, axes = _COLUMNS
    rng, best, since, drawn = random.Random(seed), None, 0, 0
    began = time.process_time()
    while since < victory and drawn < MOST_DRAWS:
        drawn += BATCH
        rows = [one for _ in range(BATCH) if (one := draw(problem, hierarchy, rng)) is not None]
        if not rows:
            continue
        cycles, energies = costs(problem, dims, np.array(rows, np.int64), levels, axes, hierarchy)
        for pair in zip(cycles.tolist(), energies.tolist(), strict=True):
            if pair[0] < 0 or since >= victory:
                continue
            since += 1
            if best is None or pair < best:
                best, since = pair, 0
    if best is None:
        return None
    return Found(int(best[0]), best[1], time.process_time() - began, drawn)


def ours(problem: Problem, hierarchy: Hierarchy) -> Found | None:
    """Search as a run does; None where only the free space holds a mapping, or none does."""
    began = time.process_time()
    try:
        mapping = find_mapping(problem, hierarchy)
        cost = evaluate(problem, mapping, hierarchy)
    except SpecError:
        return None
    return Found(cost.cycles, cost.energy_pj, time.process_time() - began, 0)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", nargs="?", default="mobilenetv2_c10")
    parser.add_argument("--arch", default="dense")
    parser.add_argument("--victory", type=int, default=500)
    given = parser.parse_args()
    hierarchy = machine_spec(machine(given.arch)).hierarchy()
    problems = dict.fromkeys(
        Problem.of(layer) for layer in network(given.network).layers() if layer.is_compute
    )
    first = next(iter(problems))
    ours(first, hierarchy), random_search(first, hierarchy, 1, 0)  # compiles
    pairs, without = [], 0
    for problem in problems:
        mine, other = ours(problem, hierarchy), random_search(problem, hierarchy, given.victory, 0)
        if mine is None or other is None:
            without += 1
            continue
        pairs.append((mine, other))
    if not pairs:
        raise SystemExit(f"{given.network}: no layer that both map")
    worse = [other.cycles / mine.cycles for mine, other in pairs]
    energy = [
        other.energy_pj / mine.energy_pj for mine, other in pairs if other.cycles == mine.cycles
    ]
    product = [
        other.cycles * other.energy_pj / (mine.cycles * mine.energy_pj) for mine, other in pairs
    ]
    seconds = [sum(pair[at].seconds for pair in pairs) for at in (0, 1)]
    lines = (
        f"{given.network} on {given.arch}: {len(pairs)} shapes of layers"
        + (f", {without} more that one of both does not map" if without else ""),
        f"mapper: {seconds[0] / len(pairs):.4f} CPU s a layer",
        f"random: {seconds[1] / len(pairs):.4f} CPU s a layer"
        f" ({seconds[1] / seconds[0]:.2f} x), {sum(o.looked_at for _, o in pairs)} draws in all,"
        f" victory after {given.victory}",
        f"cycles of random over the mapper's: mean {np.mean(worse):.3f}, most {max(worse):.3f},"
        f" equal in {sum(one == 1 for one in worse)}",
        f"energy where cycles are equal: mean {np.mean(energy) if energy else float('nan'):.3f}",
        f"energy-delay product: geometric mean {np.exp(np.mean(np.log(product))):.3f}",
        f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB",
    )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
