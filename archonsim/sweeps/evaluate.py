"""One point: what is needed to run it anywhere, and what comes out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from archonsim.errors import UserError, WorkloadError
from archonsim.network.workload import Workload
from archonsim.result.report import Report, stall_causes
from archonsim.result.values import Number, added
from archonsim.runs.scenario import Scenario
from archonsim.trace.digest import PartDigests, combine
from archonsim.trace.kept_trace import keeping
from archonsim.tracefile.find import find_workload
from archonsim.vocabulary import known
from archonsim.vocabulary.vocabulary import COMMON


def count_columns(archs: Iterable[str]) -> tuple[str, ...]:
    """Return columns that count, whole numbers for one image, in the order of the table.

    Causes of stalls are the common ones, and those that one of the machines declares.
    """
    causes = {one.name for arch in archs for one in known.declared(arch).stalls}
    causes |= set(COMMON.names("stalls"))
    stalls = [f"stall.{cause}" for cause in known.in_order("stalls", causes)]
    return ("cycles", "compute", *stalls, "macs", "adds", "adds_possible")


#: Other figures of a point.
OTHERS = ("time_ms", "energy_uj", "dram_words")

#: Workloads that a process keeps open.
OPEN_WORKLOADS = 4

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A point with its machine resolved; can be sent to another process.

    Attributes
    ----------
    index : int
    scenario : Scenario
        Its workload is an absolute path, or the name of a network.
    spec : the machine's `spec_type`
        As the process that began the sweep resolved it.
    identity : str
        The workload's digest; of a shape-only one, that of its shapes.
    """

    index: int
    scenario: Scenario
    spec: Any
    identity: str


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
    scenario = replace(task.scenario, workload=_opened(str(task.scenario.workload), task.identity))
    try:
        report = scenario.prepare(task.spec).execute()
    except UserError as error:
        return infeasible(error)
    return {"status": "ok", "reason": "", **_figures(report)}


def _keyed(line: str) -> str:
    """Name a key alone: in a sweep its value is one of --param's as well as one of --set's."""
    head, colon, rest = line.partition(": ")
    return (head.replace("--set ", "") if line.startswith("--set ") else head) + colon + rest


def infeasible(error: UserError) -> Figures:
    """Return what is known of a point that cannot run: why."""
    return {
        "status": "infeasible",
        "reason": "; ".join(map(_keyed, str(error).splitlines())),
    } | dict.fromkeys((*count_columns(()), *OTHERS))


def _figures(report: Report) -> Figures:
    """Sum over layers; words are None where the model moves none (ideal fidelity)."""
    layers = report.layers

    def total(*values: Number) -> Number:
        return added(values)

    dram = [
        words for layer in layers for key, words in layer.traffic.items() if key.startswith("dram.")
    ]
    return {
        "cycles": report.total_cycles,
        "compute": total(*(layer.compute for layer in layers)),
        **{
            f"stall.{cause}": total(*(layer.stalls.get(cause, 0) for layer in layers))
            for cause in stall_causes(layers)
        },
        "macs": report.total_macs,
        "adds": report.total_adds,
        "adds_possible": total(*(layer.adds_possible for layer in layers)),
        "time_ms": report.time_ms,
        "energy_uj": report.energy_uj,
        "dram_words": total(*dram) if any(layer.traffic for layer in layers) else None,
    }
