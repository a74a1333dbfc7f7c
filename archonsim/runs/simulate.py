"""The whole story: a workload, a machine, a fidelity, and out comes a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from archonsim.engine.observer import SILENT, Observer
from archonsim.errors import WorkloadError
from archonsim.machines import running
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import Detailing, Machine, Remarking
from archonsim.network.workload import Workload
from archonsim.result.report import Conditions, Report, build
from archonsim.spec.load import to_table
from archonsim.trace.image import image_inputs
from archonsim.trace.what_if import MaskPolicy
from archonsim.tracefile.find import choose_images

Fidelity = Literal["ideal", "cycle"]


def _silent(name: str) -> None:
    """Ignore progress."""


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
    on_step: Callable[[str], None] = _silent,
    observer: Observer = SILENT,
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
    on_step : function of a layer's or block's name
        Called when it is done, for progress.
    observer : Observer
        Gets the events of the first image, in ``cycle`` fidelity.

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
    results: list[list[PhaseResult]] = []
    numbers: list[int] = []
    if fidelity == "ideal":
        results.append(running.ideal(machine, workload, spec))
    else:
        simulation = running.prepare(machine, workload, spec)
        numbers = choose_images(workload, images)
        for image in numbers:
            watching = SILENT if results else observer
            results.append(simulation.run(image_inputs(workload, policy, image), on_step, watching))
    ideal = fidelity == "ideal"
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
    return build(conditions, workload, numbers, results)
