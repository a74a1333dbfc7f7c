"""The whole story: a workload, a machine, a fidelity, and out comes a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from archonsim.errors import WorkloadError
from archonsim.machines import running
from archonsim.machines.protocol import Detailing, Machine, Remarking
from archonsim.network.workload import Workload
from archonsim.result.report import Conditions, LayerReport, Report, build, layer_report
from archonsim.runs.images import PLAINLY, Execution, Prepared, run_images
from archonsim.spec.load import to_table
from archonsim.trace.what_if import MaskPolicy
from archonsim.tracefile.find import choose_images

Fidelity = Literal["ideal", "cycle"]


def check_sparsity(workload: Workload, machine: Machine) -> None:
    """Refuse shapes that state N:M sparsity on a machine that would multiply every weight.

    Raises
    ------
    WorkloadError
        A layer states a sparsity other than 1:1, and the machine has no `skips_stated_zeros`.
    """
    if getattr(machine, "skips_stated_zeros", False):
        return
    for layer in workload.layers():
        if layer.sparsity is not None and layer.sparsity[0] < layer.sparsity[1]:
            kept, run = layer.sparsity
            raise WorkloadError(
                f"layer {layer.name!r} is {kept}:{run} sparse, and architecture {machine.name!r}"
                " multiplies every weight: use --arch sparse, or write 1:1 for a dense layer"
            )


def included(machine: Machine, workload: Workload) -> tuple[str, ...]:
    """Return what a machine's cycles contain, without predictions where there are none."""
    unpredicted: str | None = getattr(machine, "includes_unpredicted", None)
    if unpredicted is None or any(block.predicted for block in workload.blocks()):
        return machine.includes
    return (unpredicted, *machine.includes[1:])


def simulate(
    workload: Workload,
    machine: Machine,
    spec: Any,
    *,
    fidelity: Fidelity = "cycle",
    images: Sequence[int] | None = (0,),
    masks: MaskPolicy | None = None,
    how: Execution = PLAINLY,
) -> Report:
    """Run a workload on a machine.

    Parameters
    ----------
    workload : Workload
    machine : Machine
        From :func:`archonsim.machines.registry.machine`.
    spec : the machine's `spec_type`
        From :func:`archonsim.machines.registry.machine_spec`.
    fidelity : {"cycle", "ideal"}
    images : sequence of int or None
        Image numbers; None for all. Ignored in ideal fidelity, which depends on no image.
    masks : MaskPolicy or None
        None: the trace's own.
    how : Execution
        Progress, an observer in ``cycle`` fidelity, and processes that run images.

    Raises
    ------
    MaskError
        ``cycle`` fidelity was asked of a workload without weights or masks.
    SpecError
        An observer was given for a plug-in's machine that takes none.
    WorkloadError
        As :func:`check_sparsity`.
    """
    check_sparsity(workload, machine)
    policy = masks or MaskPolicy()
    ideal = fidelity == "ideal"
    found: list[list[LayerReport]]
    numbers: list[int] = []
    if ideal:
        found = [[layer_report(one) for one in running.ideal(machine, workload, spec)]]
    else:
        run = Prepared(workload, machine, spec, policy)
        simulation = run.prepare()
        numbers = choose_images(workload, images)
        found = list(run_images(run, simulation, numbers, how))
    contained, left_out = (
        machine.details(workload, spec)
        if isinstance(machine, Detailing) and not ideal
        else ((), ())
    )
    remarks = machine.remarks(workload, spec) if isinstance(machine, Remarking) else ()
    conditions = Conditions(
        arch=machine.name,
        fidelity=fidelity,
        masks="" if ideal else str(policy),
        seed=policy.seed,
        clock_mhz=spec.clock_mhz,
        machine=to_table(spec),
        includes=(
            *(machine.ideal_includes if ideal else included(machine, workload)),
            *contained,
            *remarks,
        ),
        excludes=(*(machine.ideal_excludes if ideal else machine.excludes), *left_out),
    )
    return build(conditions, workload, numbers, found)
