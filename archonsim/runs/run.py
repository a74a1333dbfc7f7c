"""A scenario made ready: machine, description and workload found and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from archonsim.engine.observer import SILENT, Observer
from archonsim.machines.protocol import Machine
from archonsim.network.workload import Workload
from archonsim.result.report import Report
from archonsim.runs.images import Execution
from archonsim.runs.simulate import Fidelity, simulate
from archonsim.trace.what_if import MaskPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One workload on one machine, with nothing left to look up.

    Attributes
    ----------
    machine : Machine
    spec : the machine's `spec_type`
    workload : Workload
    fidelity : {"cycle", "ideal"}
    images : sequence of int or None
        None for all.
    masks : MaskPolicy
    """

    machine: Machine
    spec: Any
    workload: Workload
    fidelity: Fidelity
    images: Sequence[int] | None
    masks: MaskPolicy

    @property
    def steps(self) -> int:
        """How often progress is reported; 0 in ideal fidelity, which is done at once."""
        if self.fidelity == "ideal":
            return 0
        images = len(self.images) if self.images is not None else max(1, self.workload.images)
        return self.machine.steps(self.workload) * images

    def execute(
        self,
        on_step: Callable[[str], None] = lambda name: None,
        observer: Observer = SILENT,
        jobs: int = 1,
    ) -> Report:
        """Simulate; raises as :func:`archonsim.runs.simulate.simulate` does."""
        return simulate(
            self.workload,
            self.machine,
            self.spec,
            fidelity=self.fidelity,
            images=self.images,
            masks=self.masks,
            how=Execution(on_step, observer, jobs),
        )
