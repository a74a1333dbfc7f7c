"""What is to be run, checked before anything runs.

One workload on one machine, or several side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from archonsim.engine.observer import SILENT, Observer
from archonsim.errors import MaskError, SpecError, UserError, WorkloadError, nearest
from archonsim.machines.registry import Machine, machine, machine_names, machine_spec
from archonsim.network.networks import network_names
from archonsim.network.workload import Workload
from archonsim.result.compare import Comparison, Row
from archonsim.result.report import Report
from archonsim.runs.budget import rescale
from archonsim.runs.simulate import Fidelity, simulate
from archonsim.spec.load import Overrides, known_keys, override_pairs
from archonsim.trace.what_if import MaskPolicy
from archonsim.tracefile.find import find_workload, parse_images

Images = int | str | Sequence[int] | None
#: Sets of rules by which energy is counted.
ENERGY_RULES = ("consistent", "ics21")
BUDGETS = ("none", "pes", "area")


def as_workload(workload: str | Path | Workload) -> Workload:
    """Return a workload, found by its file or name where need be."""
    return workload if isinstance(workload, Workload) else find_workload(str(workload))


def as_images(images: Images) -> list[int] | None:
    """Return image numbers, None for all; read ``"all"`` and ``"0,2-3"`` as the command line does.

    Raises
    ------
    MaskError
        They are no numbers, or none at all.
    """
    if isinstance(images, str):
        return parse_images(images)
    if isinstance(images, int):
        return [images]
    if images is None:
        return None
    if not images or not all(isinstance(image, int) for image in images):
        raise MaskError(f"images is {images!r}; it must be 'all', or numbers such as 0 or [0, 2]")
    return list(images)


def as_fidelity(fidelity: str) -> Fidelity:
    """Check a fidelity.

    Raises
    ------
    SpecError
        It is none.
    """
    for known in get_args(Fidelity):
        if fidelity == known:
            return cast(Fidelity, known)
    raise SpecError(f"fidelity is {fidelity!r}; it must be {' or '.join(get_args(Fidelity))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """One workload on one machine.

    Attributes
    ----------
    machine : Machine
    spec : the machine's `spec_type`
    workload : Workload
    fidelity : {"cycle", "ideal"}
    images : list of int or None
        None for all.
    masks : MaskPolicy
    """

    machine: Machine
    spec: Any
    workload: Workload
    fidelity: Fidelity
    images: list[int] | None
    masks: MaskPolicy

    @property
    def steps(self) -> int:
        """How often progress is reported; 0 in ideal fidelity, which is done at once."""
        if self.fidelity == "ideal":
            return 0
        images = len(self.images) if self.images is not None else max(1, self.workload.images)
        return self.machine.steps(self.workload) * images

    def execute(
        self, on_step: Callable[[str], None] = lambda name: None, observer: Observer = SILENT
    ) -> Report:
        """Run it."""
        return simulate(
            self.workload,
            self.machine,
            self.spec,
            fidelity=self.fidelity,
            images=self.images,
            masks=self.masks,
            on_step=on_step,
            observer=observer,
        )


def energy_overrides(energy: str | None, spec_type: Any, *, needed: bool = True) -> dict[str, str]:
    """Turn what energy is counted by into overrides of a machine's description.

    Parameters
    ----------
    energy : str or None
    spec_type : type
    needed : bool
        Whether a machine without such a key is a fault; otherwise it runs as ever.

    Raises
    ------
    SpecError
        It is neither a set of rules nor a file, or the machine has no such rules.
    """
    if energy is None:
        return {}
    if energy.endswith(".toml"):
        key = "technology"
    elif energy in ENERGY_RULES:
        key = "energy_rules"
    else:
        raise SpecError(
            f"--energy is {energy!r}; it must be {' or '.join(ENERGY_RULES)}, or a technology file"
            " that ends in .toml"
        )
    if key not in known_keys(spec_type):
        if not needed:
            return {}
        raise SpecError(f"--energy {energy}: this architecture's description has no key {key}")
    return {key: energy}


def plan_run(
    arch: str,
    workload: str | Path | Workload,
    *,
    overrides: Overrides = (),
    config: str | Path | None = None,
    fidelity: str = "cycle",
    images: Images = 0,
    masks: str = "trace",
    seed: int = 0,
    energy: str | None = None,
) -> RunPlan:
    """Check what a run is asked for; raises as :func:`archonsim.run` does."""
    found = machine(arch)
    changes = override_pairs(overrides) | energy_overrides(energy, found.spec_type)
    return RunPlan(
        machine=found,
        spec=machine_spec(found, None if config is None else Path(config), changes),
        fidelity=as_fidelity(fidelity),
        masks=MaskPolicy.parse(masks, seed),
        images=as_images(images),
        workload=as_workload(workload),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparePlan:
    """Workloads on several machines.

    Attributes
    ----------
    runs : tuple of RunPlan
        All pairs, in the order of the table.
    base : int
        Run that speedups refer to.
    budget : {"none", "pes", "area"}
    """

    runs: tuple[RunPlan, ...]
    base: int
    budget: str

    @property
    def steps(self) -> int:
        """How often progress is reported."""
        return sum(run.steps for run in self.runs)

    def execute(self, on_step: Callable[[str], None] = lambda name: None) -> Comparison:
        """Run all; what is not possible is a row with its reason."""
        return Comparison(
            rows=tuple(_row(run, on_step) for run in self.runs), base=self.base, budget=self.budget
        )


def _row(run: RunPlan, on_step: Callable[[str], None]) -> Row:
    report, reason = None, ""
    try:
        report = run.execute(on_step)
    except UserError as error:  # an infeasible point is a row with its reason
        reason = str(error)
    pe = run.spec.pe
    return Row(
        workload=run.workload.name,
        arch=run.machine.name,
        network=run.workload.provenance.network,
        report=report,
        reason=reason,
        resources=run.machine.resources(run.spec),
        rows=pe.rows,
        cols=pe.cols,
    )


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


def plan_compare(
    archs: str | Sequence[str],
    workloads: str | Path | Workload | Sequence[str | Path | Workload],
    *,
    overrides: Overrides = (),
    fidelity: str = "cycle",
    images: Images = 0,
    masks: str = "trace",
    seed: int = 0,
    base: str | None = None,
    budget: str = "none",
    energy: str | None = None,
) -> ComparePlan:
    """Check what a comparison is asked for; raises as :func:`archonsim.compare` does."""
    names = as_names(archs, machine_names)
    changes = by_arch(overrides, names)
    machines = {}
    for name in names:
        found = machine(name)
        by_energy = energy_overrides(energy, found.spec_type, needed=False)
        machines[name] = (found, machine_spec(found, None, changes[name] | by_energy))
    base = base or names[0]
    if base not in machines:
        raise SpecError(
            f"--base {base!r} is not among --arch {','.join(names)}{nearest(base, names)}"
        )
    if budget not in BUDGETS:
        raise SpecError(f"budget is {budget!r}; it must be {', '.join(BUDGETS)}")
    if budget != "none":
        against = machines[base]
        machines |= {
            name: (one, rescale(one, spec, against, budget))
            for name, (one, spec) in machines.items()
            if name != base
        }
    listed = [workloads] if isinstance(workloads, str | Path | Workload) else list(workloads)
    works = [
        as_workload(one)
        for text in listed
        for one in (network_names() if text == "all" else [text])
    ]
    one_trace_each(works)
    numbers, policy, exact = as_images(images), MaskPolicy.parse(masks, seed), as_fidelity(fidelity)
    runs = tuple(
        RunPlan(machine=one, spec=spec, workload=work, fidelity=exact, images=numbers, masks=policy)
        for work in works
        for one, spec in machines.values()
    )
    return ComparePlan(runs=runs, base=names.index(base), budget=budget)
