"""Real results for tests of figures and pages: a small synthetic network, simulated."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pandas as pd

from archonsim.errors import UserError
from archonsim.machines.registry import machine, machine_spec
from archonsim.network.networks import network
from archonsim.network.workload import Workload
from archonsim.result.compare import Comparison
from archonsim.result.report import Report
from archonsim.runs.comparison import every_pair
from archonsim.runs.scenario import Settings
from archonsim.runs.simulate import simulate
from archonsim.trace.synthetic import synthesize

ARCHS = ("dense", "sparse", "archon")


@cache
def workload(seed: int = 1) -> Workload:
    """A small FusioNet with synthetic masks of three images."""
    work, trace = synthesize(network("fusionet_digits"), seed=seed, images=3)
    return Workload(
        name=f"digits{seed}.h5",
        items=work.items,
        provenance=work.provenance,
        trace=trace,
        digest=f"{seed:064x}",
    )


@cache
def comparison() -> Comparison:
    """All machines on it, all images, with whole results."""
    return every_pair(ARCHS, workload(), Settings(images="all")).prepare().execute()


def run(arch: str = "archon") -> Report:
    """One machine's result."""
    return comparison().whole_runs()[ARCHS.index(arch)]


def point(arch: str, work: Workload, parameters: dict[str, Any]) -> dict[str, Any]:
    """One point of a sweep: a row of its table."""
    row = {
        "key": "",
        "arch": arch,
        "workload": work.name,
        "digest": work.digest,
        "fidelity": "cycle",
        "masks": "trace",
        "seed": 0,
        "images": 1,
        **parameters,
        "status": "ok",
        "reason": "",
    }
    found = machine(arch)
    try:
        report = simulate(
            work,
            found,
            machine_spec(found, None, [f"{key}={value}" for key, value in parameters.items()]),
        )
    except UserError as error:
        return row | {"status": "infeasible", "reason": str(error)}
    words = sum(
        count
        for layer in report.layers
        for key, count in layer.traffic.items()
        if key.startswith("dram.")
    )
    stalls: dict[str, Any] = {}
    for layer in report.layers:
        for cause, cycles in layer.stalls.items():
            stalls[f"stall.{cause}"] = stalls.get(f"stall.{cause}", 0) + cycles
    return row | {
        "cycles": report.total_cycles,
        "time_ms": report.time_ms,
        "energy_uj": report.energy_uj,
        "dram_words": words,
        **stalls,
    }


def sweep(archs: Sequence[str], points: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A sweep's table."""
    return pd.DataFrame(
        [point(arch, workload(), parameters) for arch in archs for parameters in points]
    )


@cache
def fifo_sweep() -> pd.DataFrame:
    """Two parameters, of which some pairs are not possible."""
    return sweep(
        ["archon"],
        [
            {"pe.fifo_depth": depth, "pe.adders": adders}
            for depth in (3, 4, 5, 6)
            for adders in (2, 4, 6)
        ],
    )


@cache
def dram_sweep() -> pd.DataFrame:
    """Three machines over DRAM bandwidth."""
    return sweep(
        ARCHS, [{"dram.gigabytes_per_second": rate} for rate in (1.6, 3.2, 6.4, 12.8, 25.6)]
    )
