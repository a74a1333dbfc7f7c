"""What ``plot`` and ``report`` are about: results in files, or a simulation that runs first."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archonsim.cli.common import WORKLOAD_HELP
from archonsim.cli.options import (
    SEVERAL,
    Command,
    plain_settings,
    settings_options,
    with_options,
)
from archonsim.cli.progress import StepProgress
from archonsim.errors import ResultError
from archonsim.result.compare import Comparison
from archonsim.runs.comparison import ComparisonScenario, every_pair
from archonsim.runs.run import Run
from archonsim.runs.scenario import Settings

if TYPE_CHECKING:
    from archonsim.result.report import Report
    from archonsim.result.waterfall import Waterfall

FILES_HELP = (
    "result.json of `archonsim run -o`, or compare.json of `archonsim compare -o`; or its folder."
)

Workloads = Annotated[
    list[str] | None,
    typer.Option(
        "--workload", "-w", help=f"Simulate first: {WORKLOAD_HELP[0].lower()}{WORKLOAD_HELP[1:]}"
    ),
]
Archs = Annotated[
    str | None, typer.Option("--arch", "-a", help="Architectures to simulate, separated by commas.")
]
Files = Annotated[
    list[Path] | None, typer.Argument(metavar="[RESULT]...", help=FILES_HELP, show_default=False)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Files, or what to simulate.

    Attributes
    ----------
    files : list of Path
    scenario : ComparisonScenario or None
        None where there are files.
    """

    files: list[Path]
    scenario: ComparisonScenario | None

    def simulate(self) -> Comparison:
        """Run it all."""
        assert self.scenario is not None
        ready = self.scenario.prepare()
        with StepProgress("simulate", ready.steps) as progress:
            return ready.execute(progress.step)

    def results(self) -> list[Report | Comparison]:
        """Return all runs and comparisons, a simulation's as one comparison."""
        from archonsim.result.stored import read_result

        return [read_result(path) for path in self.files] or [self.simulate()]

    def runs(self) -> tuple[Report, ...]:
        """Return all runs.

        Raises
        ------
        ResultError
            None could be made, or a comparison was saved without them.
        """
        from archonsim.result.stored import runs_of

        results = self.results()
        names = [str(path) for path in self.files] or ["simulation"]
        found = [
            run
            for result, name in zip(results, names, strict=True)
            for run in runs_of(result, name)
        ]
        if not found:
            rows = [row for one in results if isinstance(one, Comparison) for row in one.rows]
            raise ResultError(f"not possible: {rows[0].reason if rows else 'no run is there'}")
        return tuple(found)

    def run(self) -> Report:
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


def asked_options(
    *, without: Collection[str] = (), **other: tuple[Any, Any]
) -> Callable[[Command], Command]:
    """Give a command's parameter `asked` result files, or the options of what to simulate first.

    Parameters
    ----------
    without : collection of str
        Fields of `Settings` that the command has no option for.
    **other : (annotation, default)
        Options declared otherwise.

    Raises
    ------
    ResultError
        At run time: both are given, or neither.
    """
    return with_options(asked_parameters(without=without, **other), "asked", asked_from)


def asked_parameters(
    *, without: Collection[str] = (), **other: tuple[Any, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return the options that :func:`asked_from` takes; parameters as `asked_options`."""
    return {
        "files": other.pop("files", (Files, None)),
        "workload": (Workloads, None),
        "arch": (Archs, None),
        **settings_options(without=["config", *without], **SEVERAL | other),
    }


def asked_from(given: dict[str, Any]) -> Asked:
    """Return what is asked for: files, or what to simulate.

    Raises
    ------
    ResultError
        Both are given, or neither.
    """
    settings, files = plain_settings(given), given["files"] or []
    workload, arch = given["workload"], given["arch"]
    if bool(files) == bool(workload or arch) or bool(workload) != bool(arch):
        raise ResultError("give either result files, or what to simulate: --workload and --arch")
    if files:
        return Asked(files=[files] if isinstance(files, Path) else files, scenario=None)
    return Asked(files=[], scenario=every_pair(arch, workload, Settings(**settings)))


def explained(run: Run) -> Waterfall:
    """Find every cycle's owner on relaxed machines."""
    from archonsim.explain.attribute import explain
    from archonsim.explain.relax import runs as relaxed_runs
    from archonsim.machines.registry import words_of

    times = run.steps * relaxed_runs(run.spec, words_of(run.machine))
    with StepProgress(f"explain {run.machine.name} on {run.workload.name}", times) as progress:
        return explain(
            run.workload,
            run.machine,
            run.spec,
            images=run.images,
            masks=run.masks,
            on_step=progress.step,
        )
