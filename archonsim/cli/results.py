"""What ``plot`` and ``report`` are about: results in files, or a simulation that runs first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archonsim.cli.common import WORKLOAD_HELP
from archonsim.cli.options import Fidelity
from archonsim.cli.progress import StepProgress, say_if_kernels_compile
from archonsim.errors import ResultError
from archonsim.result.compare import Comparison
from archonsim.runs.scenario import ComparePlan, RunPlan, plan_compare

if TYPE_CHECKING:
    from archonsim.result.waterfall import Waterfall

Tree = dict[str, Any]

FILES_HELP = "result.json of `archonsim run -o`, or compare.json of `archonsim compare -o`."

Workloads = Annotated[
    list[str] | None,
    typer.Option(
        "--workload", "-w", help=f"Simulate first: {WORKLOAD_HELP[0].lower()}{WORKLOAD_HELP[1:]}"
    ),
]
Archs = Annotated[
    str | None, typer.Option("--arch", "-a", help="Architectures to simulate, separated by commas.")
]
Exactness = Annotated[Fidelity, typer.Option("--fidelity", help="Of a simulation.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Files, or what to simulate.

    Attributes
    ----------
    files : list of Path
    workload, arch, fidelity, images, masks, seed, changes
        As the options.
    """

    files: list[Path]
    workload: list[str] | None
    arch: str | None
    fidelity: Fidelity = Fidelity.cycle
    images: str = "0"
    masks: str = "trace"
    seed: int = 0
    changes: list[str] | None = None

    def __post_init__(self) -> None:
        wanted = self.workload or self.arch
        if bool(self.files) == bool(wanted) or bool(self.workload) != bool(self.arch):
            raise ResultError(
                "give either result files, or what to simulate: --workload and --arch"
            )

    def plan(self) -> ComparePlan:
        """Check what is to be simulated."""
        assert self.workload
        assert self.arch
        return plan_compare(
            self.arch,
            self.workload,
            overrides=self.changes or [],
            fidelity=self.fidelity.value,
            images=self.images,
            masks=self.masks,
            seed=self.seed,
        )

    def simulate(self) -> Comparison:
        """Run it all."""
        plan = self.plan()
        if self.fidelity is Fidelity.cycle:
            say_if_kernels_compile()
        with StepProgress("simulate", plan.steps) as progress:
            return plan.execute(progress.step)

    def trees(self) -> list[Tree]:
        """Return all runs and comparisons, a simulation's as one comparison."""
        from archonsim.show.figures import read_result

        return [read_result(path) for path in self.files] or [self.simulate().to_dict(runs=True)]

    def runs(self) -> list[Tree]:
        """Return all runs.

        Raises
        ------
        ResultError
            None could be made, or a comparison was saved without them.
        """
        from archonsim.show.figures import runs_of

        trees = self.trees()
        names = [str(path) for path in self.files] or ["simulation"]
        found = [
            run for tree, name in zip(trees, names, strict=True) for run in runs_of(tree, name)
        ]
        if not found:
            raise ResultError(f"not possible: {trees[0]['rows'][0]['reason']}")
        return found

    def run(self) -> Tree:
        """Return the only run.

        Raises
        ------
        ResultError
            There are several.
        """
        runs = self.runs()
        if len(runs) > 1:
            raise ResultError(
                f"this figure shows one run, and here are {len(runs)}; give one result.json, or one"
                " --arch"
            )
        return runs[0]


def explained(plan: RunPlan) -> Waterfall:
    """Find every cycle's owner on relaxed machines."""
    from archonsim.explain.attribute import explain
    from archonsim.explain.relax import runs
    from archonsim.machines.registry import words_of

    say_if_kernels_compile()
    times = plan.steps * runs(plan.spec, words_of(plan.machine))
    with StepProgress(f"explain {plan.machine.name} on {plan.workload.name}", times) as progress:
        return explain(
            plan.workload,
            plan.machine,
            plan.spec,
            images=plan.images,
            masks=plan.masks,
            on_step=progress.step,
        )
