"""The Python interface: one function for each question, one result for each answer.

``docs/api.md`` shows it at work.

Arguments mean what the options of the command line mean, and are checked alike: whatever is wrong
raises a :class:`~archonsim.errors.UserError` of one line. The keywords that say how a workload is
run are the fields of :class:`~archonsim.runs.scenario.Settings`; a
:class:`~archonsim.runs.scenario.Scenario` holds them together with architecture and workload, and
can be given in their place.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, Unpack, cast

from archonsim.engine.observer import SILENT, Observer
from archonsim.errors import MaskError, SpecError
from archonsim.explain.advise import advise as advise_blocks
from archonsim.machines.protocol import TileTracing
from archonsim.results import AdviceResult, CompareResult, Result, SweepResult
from archonsim.runs.comparison import ComparisonScenario, every_pair
from archonsim.runs.scenario import (
    Options,
    Scenario,
    Settings,
    SharedOptions,
    WorkloadLike,
    cycle_run,
)
from archonsim.sweeps.question import Names, Question, Values, ask
from archonsim.sweeps.runners import Workers
from archonsim.sweeps.sweep import Forecast, conduct
from archonsim.trace.image import image_inputs
from archonsim.tracefile.find import choose_images

if TYPE_CHECKING:  # kernels behind it
    from archonsim.pe.tile_trace import TileTrace

Asking = TypeVar("Asking", bound=Callable[..., object])


class SweepOptions(SharedOptions, total=False):
    """Keywords that a sweep passes on; `masks` may be several."""

    masks: Names
    jobs: int
    dask: str | None


def _silent(name: str) -> None:
    """Ignore progress."""


def _shows(*described: type) -> Callable[[Asking], Asking]:
    """Let ``help()`` and editors show the fields of descriptions among a function's keywords."""

    def decorate(function: Asking) -> Asking:
        own = signature(function)
        shown = {
            name: one for name, one in own.parameters.items() if one.kind is not one.VAR_KEYWORD
        }
        for description in described:
            for field in fields(description):
                shown.setdefault(
                    field.name,
                    Parameter(
                        field.name,
                        Parameter.KEYWORD_ONLY,
                        default=field.default,
                        annotation=field.type,
                    ),
                )
        function.__signature__ = own.replace(parameters=list(shown.values()))  # type: ignore[attr-defined]
        return function

    return decorate


def _whole(given: object, *others: object) -> None:
    """Refuse further arguments next to a complete description."""
    if any(other for other in others):
        raise SpecError(
            f"a {type(given).__name__} is a whole description; change it with dataclasses.replace,"
            " and give nothing else"
        )


@_shows(Settings)
def run(
    arch: str | Scenario,
    workload: WorkloadLike | None = None,
    *,
    on_step: Callable[[str], None] = _silent,
    observer: Observer = SILENT,
    jobs: int = 1,
    **options: Unpack[Options],
) -> Result:
    """Simulate a workload on an architecture.

    Parameters
    ----------
    arch : str or Scenario
        ``"archon"``, ``"dense"``, ...; ``archonsim archs`` lists them. A scenario holds all of what
        follows.
    workload : str, Path or Workload
        A workload file, a table or topology of layers, or the name of a network.
    on_step : function of a layer's or block's name
        Called when it is done.
    observer : Observer
        Receives the events of the first image.
    jobs : int
        Processes that run images; the result is the same with any number of them.
    **options
        The fields of :class:`~archonsim.runs.scenario.Settings`:

        - ``set``: dict of dotted key to value, or sequence of ``"KEY=VALUE"``; changes of the
          machine, such as ``{"pe.adders": 4}``.
        - ``config``: str or Path, optional; TOML file with machine parameters, laid over the preset
          and under `set`.
        - ``fidelity``: ``"cycle"`` steps the machine, ``"ideal"`` is the published closed-form
          model.
        - ``images``: int, str, sequence of int or None; image numbers; ``"all"`` or None for all,
          or texts such as ``"0,2-3"``.
        - ``masks``: ``"trace"``, ``"oracle"``, ``"all"``, ``"random:P"`` or ``"flip:P"``.
        - ``seed``: int, of random and flipped masks.
        - ``energy``: str, optional; what energy is counted by: ``"consistent"``, ``"ics21"`` as
          published, or a technology file; see ``docs/energy.md``.

    Raises
    ------
    SpecError
        Unknown architecture or key, or an impossible machine.
    WorkloadError
        A file or network that cannot be used.
    MaskError
        Images or masks that the workload does not have.
    """
    if isinstance(arch, Scenario):
        _whole(arch, workload, options)
        return Result(arch.prepare().execute(on_step, observer, jobs))
    if workload is None:
        raise SpecError("workload is missing: run(arch, workload), or run(scenario)")
    scenario = Scenario(arch=arch, workload=workload, **options)
    return Result(scenario.prepare().execute(on_step, observer, jobs))


@_shows(Settings)
def compare(
    archs: str | Sequence[str] | ComparisonScenario,
    workloads: WorkloadLike | Sequence[WorkloadLike] = (),
    *,
    base: str | None = None,
    budget: str = "none",
    on_step: Callable[[str], None] = _silent,
    **options: Unpack[Options],
) -> CompareResult:
    """Run workloads on several architectures.

    Parameters
    ----------
    archs : str, sequence of str, or ComparisonScenario
        Names, as a sequence or separated by commas; ``"all"`` for all. A comparison scenario holds
        all of what follows, and any pairs of architecture and workload.
    workloads : as in `run`, or a sequence of such
        ``"all"`` for all named networks.
    base : str, optional
        Architecture that speedups refer to (with the first workload); the first by default.
    budget : {"none", "pes", "area"}
        Rescale arrays to the base's number of PEs or area.
    on_step : function of a layer's or block's name
    **options
        As in `run`, for all rows; the keys of `set` name their machine (``ARCH.KEY``), and `energy`
        holds for the machines that have such rules.

    Raises
    ------
    UserError
        As in `run`. A single pair that cannot run is a row with its reason.
    WorkloadError
        Two different traces of one network.
    """
    if isinstance(archs, ComparisonScenario):
        _whole(archs, workloads, base, budget != "none", options)
        asked = archs
    else:
        asked = every_pair(archs, workloads, Settings(**options), base=base, budget=budget)
    return CompareResult(asked.prepare().execute(on_step))


@_shows(Settings, Workers)
def sweep(
    arch: Names | Question,
    workload: Names | Path | Sequence[Path | str] = (),
    params: Mapping[str, Values] | Sequence[str] = (),
    *,
    folder: str | Path | None = None,
    resume: bool = False,
    on_forecast: Callable[[Forecast], None] = lambda forecast: None,
    on_point: Callable[[int], None] = lambda finished: None,
    **options: Unpack[SweepOptions],
) -> SweepResult:
    """Run all combinations of machines, workloads and masks into one table.

    Parameters
    ----------
    arch : str, sequence of str, or Question
        A question holds what is swept and how it is run.
    workload : str, Path or sequence of such
        Files or names of networks: workers open them for themselves.
    params : dict of key to values, or sequence of ``"KEY=VALUES"``
        What is varied: ``{"pe.rows": [4, 8], "archon.pe.adders": "2..12"}``. A key applies to all
        architectures, with the name of one before it to that one.
    folder : str or Path, optional
        Where table and journal go; by default a temporary one that goes when the result does.
    resume : bool
        Go on where a sweep in `folder` ended.
    on_forecast : function of a Forecast
    on_point : function of the number of finished points
    **options
        As in `run`, for all points. `set` says what is changed in every point, `masks` may be a
        sequence, and `energy` holds for the machines that have such rules. Also:

        jobs : int
            Processes; a script that asks for more than 1 needs the usual ``if __name__ ==
            "__main__":``.
        dask : str, optional
            Address of a Dask scheduler, in place of `jobs`.

    Raises
    ------
    UserError
        As in `run`; or parameters overlap, or `folder` holds another sweep.
    """
    workers = Workers(jobs=options.pop("jobs", 1), dask=options.pop("dask", None))
    if isinstance(arch, Question):
        _whole(arch, workload, params, options)
        question = arch
    else:
        masks = options.pop("masks", "trace")
        question = ask(arch, workload, params, masks=masks, **cast(SharedOptions, options))
    place = Path(tempfile.mkdtemp(prefix="archonsim-") if folder is None else folder)
    result = SweepResult(place, tuple(question.parameters))
    if folder is None:
        weakref.finalize(result, shutil.rmtree, place, ignore_errors=True)
    conduct(question, place, workers, resume=resume, on_forecast=on_forecast, on_point=on_point)
    return result


@_shows(Settings)
def advise(
    workload: WorkloadLike | Scenario,
    *,
    arch: str = "archon",
    on_step: Callable[[str], None] = _silent,
    **options: Unpack[Options],
) -> AdviceResult:
    """Ask for each block of a workload whether fusing it pays.

    A closed form's answer, and the simulator's.

    Parameters
    ----------
    workload : as in `run`, or a Scenario
        With weights.
    arch : str
        A machine that fuses: ``"archon"``.
    on_step : function of a block's name
    **options
        As in `run`; cycle fidelity only.

    Raises
    ------
    UserError
        As in `run`; or the machine does not fuse, or there is nothing to fuse.
    """
    if isinstance(workload, Scenario):
        _whole(workload, options)
        scenario = workload
    else:
        scenario = Scenario(arch=arch, workload=workload, **options)
    run = cycle_run(scenario, "advise")
    advice = advise_blocks(
        run.workload,
        run.machine,
        run.spec,
        images=run.images,
        masks=run.masks,
        on_step=on_step,
    )
    return AdviceResult(advice)


@_shows(Settings)
def tile_trace(
    arch: str | Scenario,
    workload: WorkloadLike | None = None,
    *,
    block: str,
    tile: int = 0,
    arrival: Sequence[int] | None = None,
    **options: Unpack[Options],
) -> TileTrace:
    """Write down one tile of a fused block: what enters the PEs, and what happens in each cycle.

    For test benches of the array: beats, masks and inputs of each PE, FIFO levels, retirements,
    sums. ``rtl/`` in the repository compares its Verilog with it.

    Parameters
    ----------
    arch : str or Scenario
        A machine that fuses: ``"archon"``.
    workload : as in `run`
        With weights and masks.
    block : str
        Name of the block, such as ``"b1"``.
    tile : int
        Number of the tile of output pixels, from 0 on, row by row.
    arrival : sequence of int, optional
        Cycle from which on each beat may be sent, because its weights and masks are there; by
        default the tile's first. DRAM, ports and other tiles play no part here.
    **options
        As in `run`; cycle fidelity and one image only, the first by default.

    Raises
    ------
    UserError
        As in `run`; or there is no such block, tile or single image, or the machine cannot tell.
    """
    if isinstance(arch, Scenario):
        _whole(arch, workload, options)
        scenario = arch
    elif workload is None:
        raise SpecError("workload is missing: tile_trace(arch, workload, block=...)")
    else:
        scenario = Scenario(arch=arch, workload=workload, **options)
    run = cycle_run(scenario, "tile_trace")
    if not isinstance(run.machine, TileTracing):
        raise SpecError(f"architecture {run.machine.name!r} has no tiles to trace; ask 'archon'")
    numbers = choose_images(run.workload, run.images)
    if len(numbers) != 1:
        raise MaskError(f"images is {numbers}; a tile is of one image")
    image = image_inputs(run.workload, run.masks, numbers[0])
    return run.machine.trace_tile(run.workload, run.spec, image, block, tile, arrival)
