"""``archonsim compare``: workloads on several architectures, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from archonsim.budget import rescale
from archonsim.cli.common import ENERGY_HELP, WORKLOAD_HELP, Format, emit, energy_overrides, find_workload, parse_images
from archonsim.cli.progress import StepProgress
from archonsim.cli.run import Fidelity
from archonsim.errors import SpecError, UserError, nearest
from archonsim.machines.registry import Machine, machine, machine_names, machine_spec
from archonsim.report.compare import Comparison, Row
from archonsim.report.compare_text import render_comparison
from archonsim.report.files import to_json
from archonsim.simulate import choose_images, simulate
from archonsim.workload.networks import network_names
from archonsim.workload.workload import Workload


class Budget(StrEnum):
    """What arrays are made equal in."""

    none = "none"
    pes = "pes"
    area = "area"


@dataclass(frozen=True, slots=True)
class _Candidate:
    machine: Machine
    spec: Any


def _overrides(pairs: list[str], archs: list[str]) -> dict[str, list[str]]:
    """Sort ``ARCH.KEY=VALUE`` by architecture."""
    sorted_: dict[str, list[str]] = {arch: [] for arch in archs}
    for pair in pairs:
        arch, _, rest = pair.partition(".")
        if arch not in sorted_ or not rest:
            raise SpecError(f"--set {pair!r}: write ARCH.KEY=VALUE, for example --set {archs[0]}.pe.rows=8{nearest(arch, archs)}")
        sorted_[arch].append(rest)
    return sorted_


def _candidate(found: Machine, overrides: list[str], energy: str | None) -> _Candidate:
    return _Candidate(found, machine_spec(found, None, [*overrides, *energy_overrides(energy, found.spec_type, needed=False)]))


def _row(work: Workload, candidate: _Candidate, fidelity: Fidelity, images: list[int] | None, progress: StepProgress) -> Row:
    report, reason = None, ""
    try:
        report = simulate(work, candidate.machine, candidate.spec, fidelity=fidelity.value, images=images, on_step=progress.step)
    except UserError as error:  # an infeasible point is a row with its reason
        reason = str(error)
    pe = candidate.spec.pe
    return Row(
        workload=work.name, arch=candidate.machine.name, network=work.provenance.network, report=report, reason=reason,
        resources=candidate.machine.resources(candidate.spec), rows=pe.rows, cols=pe.cols,
    )  # fmt: skip


def compare(
    workload: Annotated[list[str], typer.Option("--workload", "-w", help=f"{WORKLOAD_HELP} Repeatable; all: every named network.")],
    arch: Annotated[str, typer.Option("--arch", "-a", help="Architectures, separated by commas; or all.")],
    fidelity: Annotated[Fidelity, typer.Option(help="One for all rows.")] = Fidelity.cycle,
    images: Annotated[str, typer.Option(help="Images to run: all, or numbers such as 0 or 0,2-3.")] = "0",
    base: Annotated[
        str | None, typer.Option(help="Architecture that speedups refer to (with the first workload); the first by default.")
    ] = None,
    budget: Annotated[Budget, typer.Option(help="Rescale arrays to the base's number of PEs or area.")] = Budget.none,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="ARCH.KEY=VALUE", help="Change a machine. Repeatable.")] = None,
    energy: Annotated[str | None, typer.Option(help=ENERGY_HELP)] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="What to print.")] = Format.table,
) -> None:
    """Run workloads on several architectures: cycles, time, speedups, PEs, buffers and area in one table."""
    archs = machine_names() if arch == "all" else list(dict.fromkeys(one.strip() for one in arch.split(",")))
    overrides = _overrides(set_ or [], archs)
    found = {name: _candidate(machine(name), overrides[name], energy) for name in archs}
    base = base or archs[0]
    if base not in found:
        raise SpecError(f"--base {base!r} is not among --arch {arch}{nearest(base, archs)}")
    if budget is not Budget.none:
        against = (found[base].machine, found[base].spec)
        for name, one in found.items():
            if name != base:
                found[name] = _Candidate(one.machine, rescale(one.machine, one.spec, against, budget.value))
    works = [find_workload(one) for name in workload for one in (network_names() if name == "all" else [name])]
    numbers = parse_images(images)
    steps = sum(one.machine.steps(work) * len(choose_images(work, None)) for work in works for one in found.values())
    with StepProgress("compare", steps if fidelity is Fidelity.cycle else 0) as progress:
        rows = [_row(work, one, fidelity, numbers, progress) for work in works for one in found.values()]
    comparison = Comparison(rows=tuple(rows), base=archs.index(base), budget=budget.value)
    emit(form, lambda: render_comparison(comparison), lambda: to_json(comparison.to_dict()), comparison.to_csv)
