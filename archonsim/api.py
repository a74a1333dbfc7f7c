"""The Python interface: one function for each question, one result for each answer.

``docs/api.md`` shows it at work.

Arguments mean what the options of the command line mean, and are checked alike: whatever is wrong
raises a :class:`~archonsim.errors.UserError` of one line.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from archonsim.engine.observer import SILENT, Observer
from archonsim.explain.advise import advise as advise_blocks
from archonsim.network.workload import Workload
from archonsim.results import AdviceResult, CompareResult, Result, SweepResult
from archonsim.runs.scenario import Images, plan_compare, plan_run
from archonsim.spec.load import Overrides
from archonsim.sweeps.question import Names, Values, ask
from archonsim.sweeps.sweep import Forecast, conduct


def _silent(name: str) -> None:
    """Ignore progress."""


def run(
    arch: str,
    workload: str | Path | Workload,
    *,
    set: Overrides = (),
    config: str | Path | None = None,
    fidelity: str = "cycle",
    images: Images = 0,
    masks: str = "trace",
    seed: int = 0,
    energy: str | None = None,
    on_step: Callable[[str], None] = _silent,
    observer: Observer = SILENT,
) -> Result:
    """Simulate a workload on an architecture.

    Parameters
    ----------
    arch : str
        ``"archon"``, ``"dense"``, ...; ``archonsim archs`` lists them.
    workload : str, Path or Workload
        A workload file, a SCALE-Sim topology, or the name of a network.
    set : dict of dotted key to value, or sequence of ``"KEY=VALUE"``
        Changes of the machine, such as ``{"pe.adders": 4}``.
    config : str or Path, optional
        TOML file with machine parameters, laid over the preset and under `set`.
    fidelity : {"cycle", "ideal"}
        ``"cycle"`` steps the machine, ``"ideal"`` is the published closed-form model.
    images : int, str, sequence of int or None
        Image numbers; ``"all"`` or None for all, or texts such as ``"0,2-3"``.
    masks : str
        ``"trace"``, ``"oracle"``, ``"all"``, ``"random:P"`` or ``"flip:P"``.
    seed : int
        Of random and flipped masks.
    energy : str, optional
        What energy is counted by: ``"consistent"``, ``"ics21"`` as published, or a technology file;
        see ``docs/energy.md``.
    on_step : function of a layer's or block's name
        Called when it is done.
    observer : Observer
        Is told what happens in the first image.

    Raises
    ------
    SpecError
        Unknown architecture or key, or an impossible machine.
    WorkloadError
        A file or network that cannot be used.
    MaskError
        Images or masks that the workload does not have.
    """
    plan = plan_run(
        arch,
        workload,
        overrides=set,
        config=config,
        fidelity=fidelity,
        images=images,
        masks=masks,
        seed=seed,
        energy=energy,
    )
    return Result(plan.execute(on_step, observer))


def compare(
    archs: str | Sequence[str],
    workloads: str | Path | Workload | Sequence[str | Path | Workload],
    *,
    set: Overrides = (),
    fidelity: str = "cycle",
    images: Images = 0,
    masks: str = "trace",
    seed: int = 0,
    base: str | None = None,
    budget: str = "none",
    energy: str | None = None,
    on_step: Callable[[str], None] = _silent,
) -> CompareResult:
    """Run workloads on several architectures.

    Parameters
    ----------
    archs : str or sequence of str
        Names, as a sequence or separated by commas; ``"all"`` for all.
    workloads : as in `run`, or a sequence of such
        ``"all"`` for all named networks.
    set : dict of ``ARCH.KEY`` to value, or sequence of ``"ARCH.KEY=VALUE"``
    fidelity, images, masks, seed : as in `run`
    base : str, optional
        Architecture that speedups refer to (with the first workload); the first by default.
    budget : {"none", "pes", "area"}
        Rescale arrays to the base's number of PEs or area.
    energy : str, optional
        As in `run`, for the machines that have such rules.
    on_step : function of a layer's or block's name

    Raises
    ------
    UserError
        As in `run`. A single pair that cannot run is a row with its reason.
    WorkloadError
        Two different traces of one network.
    """
    plan = plan_compare(
        archs,
        workloads,
        overrides=set,
        fidelity=fidelity,
        images=images,
        masks=masks,
        seed=seed,
        base=base,
        budget=budget,
        energy=energy,
    )
    return CompareResult(plan.execute(on_step))


def sweep(
    arch: Names,
    workload: Names | Path | Sequence[Path | str],
    params: Mapping[str, Values] | Sequence[str] = (),
    *,
    set: Overrides = (),
    masks: Names = "trace",
    fidelity: str = "cycle",
    images: Images = 0,
    seed: int = 0,
    folder: str | Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    dask: str | None = None,
    on_forecast: Callable[[Forecast], None] = lambda forecast: None,
    on_point: Callable[[int], None] = lambda finished: None,
) -> SweepResult:
    """Run all combinations of machines, workloads and masks into one table.

    Parameters
    ----------
    arch : str or sequence of str
    workload : str, Path or sequence of such
        Files or names of networks: workers open them for themselves.
    params : dict of key to values, or sequence of ``"KEY=VALUES"``
        What is varied: ``{"pe.rows": [4, 8], "archon.pe.adders": "2..12"}``. A key applies to all
        architectures, with the name of one before it to that one.
    set : dict of key to value, or sequence of ``"KEY=VALUE"``
        What is changed in every point.
    masks : str or sequence of str
    fidelity, images, seed : as in `run`
    folder : str or Path, optional
        Where table and journal go; by default a temporary one that goes when the result does.
    resume : bool
        Go on where a sweep in `folder` ended.
    jobs : int
        Processes; a script that asks for more than 1 needs the usual ``if __name__ ==
        "__main__":``.
    dask : str, optional
        Address of a Dask scheduler, in place of `jobs`.
    on_forecast : function of a Forecast
    on_point : function of the number of finished points

    Raises
    ------
    UserError
        As in `run`; or parameters overlap, or `folder` holds another sweep.
    """
    question = ask(
        arch, workload, params, set=set, masks=masks, fidelity=fidelity, images=images, seed=seed
    )
    place = Path(tempfile.mkdtemp(prefix="archonsim-") if folder is None else folder)
    result = SweepResult(place, tuple(question.parameters))
    if folder is None:
        weakref.finalize(result, shutil.rmtree, place, ignore_errors=True)
    conduct(
        question,
        place,
        resume=resume,
        jobs=jobs,
        dask=dask,
        on_forecast=on_forecast,
        on_point=on_point,
    )
    return result


def advise(
    workload: str | Path | Workload,
    *,
    arch: str = "archon",
    set: Overrides = (),
    config: str | Path | None = None,
    images: Images = 0,
    masks: str = "trace",
    seed: int = 0,
    on_step: Callable[[str], None] = _silent,
) -> AdviceResult:
    """Ask for each block of a workload whether fusing it pays.

    A closed form's answer, and the simulator's.

    Parameters
    ----------
    workload : as in `run`
        With weights.
    arch : str
        A machine that fuses: ``"archon"``.
    set, config, images, masks, seed : as in `run`
    on_step : function of a block's name

    Raises
    ------
    UserError
        As in `run`; or the machine does not fuse, or there is nothing to fuse.
    """
    plan = plan_run(
        arch, workload, overrides=set, config=config, images=images, masks=masks, seed=seed
    )
    advice = advise_blocks(
        plan.workload,
        plan.machine,
        plan.spec,
        images=plan.images,
        masks=plan.masks,
        on_step=on_step,
    )
    return AdviceResult(advice)
