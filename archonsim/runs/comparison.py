"""Several scenarios side by side: what is asked, and what is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from archonsim.errors import SpecError, UserError, WorkloadError, nearest
from archonsim.machines.check import array_of
from archonsim.machines.registry import machine_names
from archonsim.network.networks import network_names
from archonsim.network.workload import Workload
from archonsim.result.compare import Comparison, Entry, build
from archonsim.runs.budget import rescale
from archonsim.runs.run import Run
from archonsim.runs.scenario import Scenario, Settings, WorkloadLike, as_workload
from archonsim.spec.load import Overrides, override_pairs

BUDGETS = ("none", "pes", "area")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonScenario:
    """Scenarios to be run side by side, in the order of the table.

    Attributes
    ----------
    scenarios : tuple of Scenario
    base : str or None
        Architecture of the row that speedups refer to, the first such; None for the first row.
    budget : {"none", "pes", "area"}
        Rescale arrays to the base's number of PEs or area.

    Raises
    ------
    SpecError
        No scenario, a base that none runs on, or an unknown budget.
    """

    scenarios: tuple[Scenario, ...]
    base: str | None = None
    budget: str = "none"

    def __post_init__(self) -> None:
        if not self.scenarios:
            raise SpecError("nothing to compare: name at least one workload and one architecture")
        if self.budget not in BUDGETS:
            raise SpecError(f"budget is {self.budget!r}; it must be {', '.join(BUDGETS)}")
        archs = self.archs
        if self.base is not None and self.base not in archs:
            raise SpecError(
                f"--base {self.base!r} is not among --arch"
                f" {','.join(archs)}{nearest(self.base, archs)}"
            )

    @property
    def archs(self) -> list[str]:
        """Architectures, each once."""
        return list(dict.fromkeys(scenario.arch for scenario in self.scenarios))

    @property
    def fidelity(self) -> str:
        """``"ideal"`` where nothing is stepped."""
        return "cycle" if any(one.fidelity == "cycle" for one in self.scenarios) else "ideal"

    def prepare(self) -> ComparisonRun:
        """Look everything up, each workload once, and rescale arrays.

        Raises
        ------
        SpecError
            As :meth:`Scenario.spec`; or arrays cannot be rescaled.
        WorkloadError
            A workload cannot be used, or two are different traces of one network.
        """
        specs = [one.spec() for one in self.scenarios]  # before any large file is opened
        opened: dict[str, Workload] = {}
        runs: list[Run] = []
        for scenario, spec in zip(self.scenarios, specs, strict=True):
            work = scenario.workload
            if not isinstance(work, Workload):
                work = opened.setdefault(str(work), opened.get(str(work)) or as_workload(work))
            runs.append(replace(scenario, workload=work).prepare(spec))
        one_trace_each([run.workload for run in runs])
        at = 0 if self.base is None else [one.arch for one in self.scenarios].index(self.base)
        if self.budget != "none":
            base = runs[at]
            against = (base.machine, base.spec)
            runs = [
                run
                if scenario.arch == self.scenarios[at].arch
                else replace(run, spec=rescale(run.machine, run.spec, against, self.budget))
                for scenario, run in zip(self.scenarios, runs, strict=True)
            ]
        return ComparisonRun(runs=tuple(runs), base=at, budget=self.budget)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRun:
    """A comparison made ready.

    Attributes
    ----------
    runs : tuple of Run
        In the order of the table.
    base : int
        Run that speedups refer to.
    budget : {"none", "pes", "area"}
    """

    runs: tuple[Run, ...]
    base: int
    budget: str

    @property
    def steps(self) -> int:
        """How often progress is reported."""
        return sum(run.steps for run in self.runs)

    def execute(self, on_step: Callable[[str], None] = lambda name: None) -> Comparison:
        """Run all; what is not possible is a row with its reason."""
        return build([_entry(run, on_step) for run in self.runs], self.base, self.budget)


def _entry(run: Run, on_step: Callable[[str], None]) -> Entry:
    report, reason = None, ""
    try:
        report = run.execute(on_step)
    except UserError as error:  # an infeasible point is a row with its reason
        reason = str(error)
    rows, cols = array_of(run.spec) or (None, None)
    return Entry(
        workload=run.workload.name,
        arch=run.machine.name,
        network=run.workload.provenance.network,
        report=report,
        reason=reason,
        resources=run.machine.resources(run.spec),
        rows=rows,
        cols=cols,
    )


def every_pair(
    archs: str | Sequence[str],
    workloads: WorkloadLike | Sequence[WorkloadLike],
    settings: Settings,
    *,
    base: str | None = None,
    budget: str = "none",
) -> ComparisonScenario:
    """Return each workload on each architecture.

    Parameters
    ----------
    archs : str or sequence of str
        Names, as a sequence or separated by commas; ``"all"`` for all.
    workloads : str, Path, Workload, or sequence of such
        ``"all"`` for all named networks.
    settings : Settings
        Changes name their machine: ``ARCH.KEY``.
    base, budget : as in `ComparisonScenario`

    Raises
    ------
    SpecError
        A change names another architecture; or as `ComparisonScenario`.
    """
    names = as_names(archs, machine_names)
    changes = by_arch(settings.set, names)
    listed = [workloads] if isinstance(workloads, str | Path | Workload) else list(workloads)
    scenarios = tuple(
        settings.on(name, work, set=changes[name])
        for text in listed
        for work in (network_names() if text == "all" else [text])
        for name in names
    )
    return ComparisonScenario(scenarios=scenarios, base=base, budget=budget)


def named_pairs(
    pairs: Sequence[str], settings: Settings, *, base: str | None = None, budget: str = "none"
) -> ComparisonScenario:
    """Return workloads each on a machine of its own.

    So a network made for one machine is compared with the network that one would run on another.

    Parameters
    ----------
    pairs : sequence of str
        ``WORKLOAD:ARCH``, one by one or separated by commas.
    settings, base, budget
        As of :func:`every_pair`.

    Raises
    ------
    SpecError
        A pair is none, or as :func:`every_pair`.
    """
    found = []
    for text in (part.strip() for one in pairs for part in one.split(",")):
        work, colon, arch = text.rpartition(":")
        if not (colon and work.strip() and arch.strip()):
            raise SpecError(
                f"--pair {text!r}: write WORKLOAD:ARCH, for example mobilenetv2_c10:dense"
            )
        found.append((work.strip(), arch.strip()))
    changes = by_arch(settings.set, list(dict.fromkeys(arch for _, arch in found)))
    scenarios = tuple(settings.on(arch, work, set=changes[arch]) for work, arch in found)
    return ComparisonScenario(scenarios=scenarios, base=base, budget=budget)


def by_arch(overrides: Overrides, archs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Sort changes ``ARCH.KEY=VALUE`` by architecture.

    Raises
    ------
    SpecError
        One names none of `archs`.
    """
    sorted_: dict[str, dict[str, Any]] = {arch: {} for arch in archs}
    for key, value in override_pairs(overrides).items():
        arch, _, rest = key.partition(".")
        if arch not in sorted_ or not rest:
            raise SpecError(
                f"--set {key}: write ARCH.KEY=VALUE, for example --set"
                f" {archs[0]}.pe.rows=8{nearest(arch, archs)}"
            )
        sorted_[arch][rest] = value
    return sorted_


def as_names(names: str | Sequence[str], known: Callable[[], list[str]]) -> list[str]:
    """Return names given one by one or separated by commas, ``all`` for all that are known.

    Each once.
    """
    listed = (
        names.split(",")
        if isinstance(names, str)
        else [part for name in names for part in name.split(",")]
    )
    return list(
        dict.fromkeys(
            name for one in listed for name in (known() if one.strip() == "all" else [one.strip()])
        )
    )


def one_trace_each(works: Sequence[Workload]) -> None:
    """Refuse two traces of one network: what differs between them is not the machines' doing.

    Raises
    ------
    WorkloadError
        Two workloads hold the same network in the same flavour, and their digests differ.
    """
    seen: dict[tuple[str, str, str], Workload] = {}
    for work in works:
        origin = work.provenance
        other = seen.setdefault((origin.network, origin.dataset, origin.flavour), work)
        if other.digest and work.digest and other.digest != work.digest:
            raise WorkloadError(
                f"{other.name} and {work.name} are different traces of {origin.network}"
                f" ({origin.flavour}): digests {other.digest[:16]} and {work.digest[:16]}; compare"
                " on one trace"
            )
