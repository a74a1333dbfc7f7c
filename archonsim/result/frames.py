"""Results as pandas data frames, from the JSON form.

Of a run just made, or read back from a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from archonsim.vocabulary.vocabulary import COMMON

Tree = dict[str, Any]


def run_frame(runs: Iterable[Tree]) -> pd.DataFrame:
    """Return one row for each run, image, layer and phase.

    What was run stands in each row (arch, workload, digest, fidelity, masks, seed, clock_mhz), so
    that frames of several runs can be joined; then come the columns of ``result.csv``, energy in
    pJ, and 16-bit words moved, a column ``words.dram.read.weight`` for each kind of traffic.
    """
    rows: list[Tree] = []
    for run in runs:
        head = {
            key: run[key]
            for key in ("arch", "workload", "digest", "fidelity", "masks", "seed", "clock_mhz")
        }
        images = [(one["image"], one["layers"]) for one in run["per_image"]] or [
            (None, run["layers"])
        ]
        rows += [
            head | {"image": image} | _phase(layer) for image, layers in images for layer in layers
        ]
    counted = dict.fromkeys(
        (name for row in rows for name in row if name.startswith(("stall_", "words."))), 0
    )
    frame = pd.DataFrame(
        [row | counted | row for row in rows]
    )  # counts that a phase lacks are 0, and all stay whole
    return frame.astype({"block": "Int64", "image": "Int64", "energy_pj": "float64"})


def _phase(layer: Tree) -> Tree:
    """Return the columns of one phase."""
    plain = {key: layer[key] for key in ("name", "block", "phase", "cycles", "compute")}
    stalls = dict.fromkeys(COMMON.names("stalls"), 0) | layer["stalls"]
    plain |= {f"stall_{cause}": cycles for cause, cycles in stalls.items()}
    plain |= {
        key: layer[key] for key in ("macs", "adds", "adds_possible", "utilization", "energy_pj")
    }
    return plain | {f"words.{key}": words for key, words in layer["traffic"].items()}


def compare_frame(tree: Tree) -> pd.DataFrame:
    """Return one row for each workload on each architecture.

    The columns of ``archonsim compare --format csv``.
    """
    return pd.DataFrame(tree["rows"])
