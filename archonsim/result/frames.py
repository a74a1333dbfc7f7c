"""Results as pandas data frames: of runs and comparisons just made, or read back from a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pandas as pd

from archonsim.result.compare import Comparison
from archonsim.result.report import LayerReport, Report
from archonsim.vocabulary.vocabulary import COMMON

#: One row of a frame.
Columns = dict[str, object]
#: What was run, in every row of a run's frame.
HEAD = ("arch", "workload", "digest", "fidelity", "masks", "seed", "clock_mhz")


def run_frame(runs: Iterable[Report]) -> pd.DataFrame:
    """Return one row for each run, image, layer and phase.

    What was run stands in each row (arch, workload, digest, fidelity, masks, seed, clock_mhz), so
    that frames of several runs can be joined; then come the columns of ``result.csv``, energy in
    pJ, and 16-bit words moved, a column ``words.dram.read.weight`` for each kind of traffic.
    """
    rows: list[Columns] = []
    for run in runs:
        head: Columns = {key: getattr(run, key) for key in HEAD}
        for one in run.per_image:
            rows += [head | {"image": one.image} | _phase(layer) for layer in one.layers]
        if not run.per_image:
            rows += [head | {"image": None} | _phase(layer) for layer in run.layers]
    counted = dict.fromkeys(
        (name for row in rows for name in row if name.startswith(("stall_", "words."))), 0
    )
    frame = pd.DataFrame(
        [row | counted | row for row in rows]
    )  # counts that a phase lacks are 0, and all stay whole
    return frame.astype({"block": "Int64", "image": "Int64", "energy_pj": "float64"})


def _phase(layer: LayerReport) -> Columns:
    """Return the columns of one phase."""
    plain: Columns = {
        "name": layer.name,
        "block": layer.block,
        "phase": layer.phase,
        "cycles": layer.cycles,
        "compute": layer.compute,
    }
    stalls = dict.fromkeys(COMMON.names("stalls"), 0) | layer.stalls
    plain |= {f"stall_{cause}": cycles for cause, cycles in stalls.items()}
    plain |= {
        "macs": layer.macs,
        "adds": layer.adds,
        "adds_possible": layer.adds_possible,
        "utilization": layer.utilization,
        "energy_pj": layer.energy_pj,
    }
    return plain | {f"words.{key}": words for key, words in layer.traffic.items()}


def compare_frame(comparison: Comparison) -> pd.DataFrame:
    """Return one row for each workload on each architecture.

    The columns of ``archonsim compare --format csv``.
    """
    return pd.DataFrame([dataclasses.asdict(row) for row in comparison.rows])
