"""One point: what is needed to run it anywhere, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from archonsim.errors import UserError, WorkloadError
from archonsim.machines.registry import machine
from archonsim.network.workload import Workload
from archonsim.result.report import Number, Report
from archonsim.runs.scenario import as_images
from archonsim.runs.simulate import Fidelity, simulate
from archonsim.stats.counts import STALLS
from archonsim.trace.digest import PartDigests, combine
from archonsim.trace.kept_trace import keeping
from archonsim.trace.what_if import MaskPolicy
from archonsim.tracefile.find import find_workload

#: Figures of a point, in the order of the table; those of `COUNTS` are whole numbers for one image.
COUNTS = (
    "cycles",
    "compute",
    *(f"stall.{cause}" for cause in STALLS),
    "macs",
    "adds",
    "adds_possible",
)
FIGURES = (*COUNTS, "time_ms", "energy_uj", "dram_words")

#: Workloads that a process keeps open.
OPEN_WORKLOADS = 4

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A point with its machine resolved; can be sent to another process.

    Attributes
    ----------
    index : int
    arch : str
    spec : the machine's `spec_type`
    workload : str
        An absolute path, or the name of a network.
    identity : str
        Its digest; of a shape-only one, that of its shapes.
    fidelity : {"cycle", "ideal"}
    images, masks : str
        Empty in ideal fidelity.
    seed : int
    """

    index: int
    arch: str
    spec: Any
    workload: str
    identity: str
    fidelity: Fidelity
    images: str
    masks: str
    seed: int


def identity(workload: Workload) -> str:
    """Return a workload's digest; of a shape-only one, that of its shapes."""
    return workload.digest or combine(workload, 0, PartDigests())


@lru_cache(maxsize=OPEN_WORKLOADS)
def _opened(text: str, expected: str) -> Workload:
    """Open a workload once in a process; weights and masks that it has read stay in memory."""
    workload = find_workload(text)
    if (found := identity(workload)) != expected:
        raise WorkloadError(
            f"{text}: digest is {found[:16]}, and the sweep began with {expected[:16]}: another"
            " file, or it changed"
        )
    return keeping(workload)


def evaluate(task: Task) -> Figures:
    """Simulate a point; one that cannot run gives the reason.

    Raises
    ------
    WorkloadError
        The workload cannot be opened here, or is not the one that the sweep began with.
    """
    workload = _opened(task.workload, task.identity)
    ideal = task.fidelity == "ideal"
    try:
        report = simulate(
            workload,
            machine(task.arch),
            task.spec,
            fidelity=task.fidelity,
            images=None if ideal else as_images(task.images),
            masks=None if ideal else MaskPolicy.parse(task.masks, task.seed),
        )
    except UserError as error:
        return infeasible(error)
    return {"status": "ok", "reason": "", **_figures(report)}


def infeasible(error: UserError) -> Figures:
    """Return what is known of a point that cannot run: why."""
    return {"status": "infeasible", "reason": "; ".join(str(error).splitlines())} | dict.fromkeys(
        FIGURES
    )


def _figures(report: Report) -> Figures:
    """Sum over layers; words are None where the model moves none (ideal fidelity)."""
    layers = report.layers

    def total(*values: Number) -> Number:
        return sum(values)

    dram = [
        words for layer in layers for key, words in layer.traffic.items() if key.startswith("dram.")
    ]
    return {
        "cycles": report.total_cycles,
        "compute": total(*(layer.compute for layer in layers)),
        **{
            f"stall.{cause}": total(*(layer.stalls.get(cause, 0) for layer in layers))
            for cause in STALLS
        },
        "macs": report.total_macs,
        "adds": report.total_adds,
        "adds_possible": total(*(layer.adds_possible for layer in layers)),
        "time_ms": report.time_ms,
        "energy_uj": report.energy_uj,
        "dram_words": total(*dram) if any(layer.traffic for layer in layers) else None,
    }
