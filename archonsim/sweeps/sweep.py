"""A sweep from its first point to its table."""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archonsim.errors import SpecError, WorkloadError
from archonsim.machines.registry import machine
from archonsim.result.sweep_table import SCHEMA
from archonsim.runs.scenario import as_images
from archonsim.spec.load import to_table
from archonsim.sweeps.evaluate import Figures, Task, evaluate, identity, infeasible
from archonsim.sweeps.grid import Point
from archonsim.sweeps.question import Question
from archonsim.sweeps.runners import Runner, Workers, open_runner, serial
from archonsim.sweeps.store import Store
from archonsim.sweeps.table import Row, write_tables
from archonsim.sweeps.values import plain
from archonsim.tracefile.find import choose_images, find_workload, is_file
from archonsim.version import __version__

#: Version of the journal; 2: its lines have checksums.
JOURNAL = 2

#: Points that the forecast is measured on, at most, and seconds after which no other one is begun
#: (own decision).
SAMPLES = 4
SAMPLE_SECONDS = 10.0

#: Seconds in which worker processes start: they import what a run needs (measured: 1 to 2 s).
START_SECONDS = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a sweep will take.

    Attributes
    ----------
    points, finished : int
        All, and those that need not run: finished before, or while this was measured.
    seconds : float
        From now on.
    workers : int
        Points that run at once.
    memory_mb : float
        Of all processes on this machine, by the peak of this one.
    """

    points: int
    finished: int
    seconds: float
    workers: int
    memory_mb: float

    @property
    def left(self) -> int:
        """Points that are still to be run."""
        return self.points - self.finished


@dataclass(frozen=True, slots=True)
class _Source:
    """A workload's name in tasks (an absolute path or a network's name), and its identity."""

    text: str
    name: str
    digest: str
    identity: str
    mask_source: str
    note: str


class Sweep:
    """A sweep in its folder; a context manager.

    Parameters
    ----------
    question : Question
    folder : Path
    resume : bool
        Go on where the folder's sweep ended.

    Raises
    ------
    UserError
        As `ask` and `Store`; or a workload cannot be used.
    """

    def __init__(self, question: Question, folder: Path, *, resume: bool = False) -> None:
        self.question, self.grid = question, question.grid
        self._sources = _sources(question)
        manifest = {
            "schema": SCHEMA,
            "journal": JOURNAL,
            "archonsim": __version__,
            "question": (
                question.to_dict()
                | {"workloads": [source.name for source in self._sources.values()]}
            ),
            "digests": [source.identity for source in self._sources.values()],
            "origins": [
                {"mask_source": one.mask_source, "note": one.note} for one in self._sources.values()
            ],
            "presets": {arch: _sha256(machine(arch).preset) for arch in question.archs},
        }
        self.store = Store(folder, manifest, len(self.grid), resume=resume, key_of=self._key_of)

    def __enter__(self) -> Sweep:
        return self

    def __exit__(self, *reason: object) -> None:
        self.store.__exit__()

    def forecast(
        self,
        workers: int = 1,
        *,
        here: bool = True,
        on_point: Callable[[int], None] = lambda finished: None,
    ) -> Forecast:
        """Run a few points, spread over the grid, and conclude from them; they count as finished.

        The first one runs twice, as it also opens files and loads kernels. Their mean counts, yet
        at most twice their median: one that takes far longer than the others most likely had
        kernels to compile.

        Parameters
        ----------
        workers : int
            Points that will run at once.
        here : bool
            Whether they run on this machine.
        on_point : function of the number of finished points
        """
        taken: list[float] = []
        begin = time.perf_counter()
        for sample in range(SAMPLES):
            if taken and time.perf_counter() - begin > SAMPLE_SECONDS:
                break
            task = self._next_task(len(self.grid) * (2 * sample + 1) // (2 * SAMPLES))
            if task is None:
                break
            for _ in range(1 if taken else 2):
                since = time.perf_counter()
                figures = evaluate(task)
            taken.append(time.perf_counter() - since)
            self._add(task, figures)
            on_point(self.store.finished)
        each = min(statistics.fmean(taken), 2 * statistics.median_low(taken)) if taken else 0.0
        left = len(self.grid) - self.store.finished
        apart = here and workers > 1
        return Forecast(
            points=len(self.grid),
            finished=self.store.finished,
            workers=workers,
            seconds=left * each / workers + START_SECONDS * apart if left else 0.0,
            memory_mb=_peak_mb() * (1 + workers * apart),
        )

    def run(
        self, runner: Runner, on_point: Callable[[int], None] = lambda finished: None
    ) -> tuple[Path, Path]:
        """Run what is not finished, then write the table.

        Parameters
        ----------
        runner : Runner
        on_point : function of the number of finished points

        Returns
        -------
        Paths of ``results.csv`` and ``results.parquet``.
        """
        with closing(runner(self._tasks())) as done:  # type: ignore[type-var]
            for task, figures in done:
                self._add(task, figures)
                on_point(self.store.finished)
        on_point(self.store.finished)
        return write_tables(self.question, self.store.rows(), self.store.folder)

    def _next_task(self, start: int) -> Task | None:
        """Return what is to be run for the first unfinished point from `start` on.

        Write impossible ones down on the way.
        """
        while (index := self.store.unfinished(start)) is not None:
            if (task := self._task(index)) is not None:
                return task
        return None

    def _tasks(self) -> Iterator[Task]:
        return (task for task in map(self._task, range(len(self.grid))) if task is not None)

    def _task(self, index: int) -> Task | None:
        """Return what is to be run for a point.

        None if it is finished, as an impossible machine is at once.
        """
        if index in self.store:
            return None
        point, question = self.grid[index], self.question
        source = self._sources[point.workload]
        try:
            scenario = question.scenario(point, source.text)
            spec = scenario.spec(varied=[one.key for one in self.grid.parameters])
        except SpecError as error:
            self.store.add(
                index, self._row(point, {"impossible": point.overrides}, infeasible(error))
            )
            return None
        return Task(index=index, scenario=scenario, spec=spec, identity=source.identity)

    def _add(self, task: Task, figures: Figures) -> None:
        self.store.add(task.index, self._row(self.grid[task.index], to_table(task.spec), figures))

    def _asked(self, point: Point) -> dict[str, Any]:
        """Return what a point asks for, but for its machine and workload."""
        question = self.question
        return {
            "arch": point.arch,
            "fidelity": question.fidelity,
            "masks": point.masks,
            "seed": question.seed,
            "images": question.images,
        }

    def _key(self, point: Point, table: dict[str, Any]) -> str:
        """Return the digest of all that a point's figures depend on."""
        identity = self._sources[point.workload].identity
        content = {"archonsim": __version__, "workload": identity, "machine": table}
        return _sha256(json.dumps(self._asked(point) | content, sort_keys=True))

    def _key_of(self, index: int) -> str:
        point = self.grid[index]
        try:
            source = self._sources[point.workload]
            table = to_table(self.question.scenario(point, source.text).spec())
        except SpecError:
            table = {"impossible": point.overrides}
        return self._key(point, table)

    def _row(self, point: Point, table: dict[str, Any], figures: Figures) -> Row:
        """Put a row together."""
        question, source = self.question, self._sources[point.workload]
        return {
            "key": self._key(point, table),
            "workload": source.name,
            "digest": source.digest,
            **self._asked(point),
            **{
                name: plain(point.varied[name]) if name in point.varied else None
                for name in question.parameters
            },
            **figures,
        }


def conduct(
    question: Question,
    folder: Path,
    workers: Workers | None = None,
    *,
    resume: bool = False,
    on_forecast: Callable[[Forecast], None] = lambda forecast: None,
    on_point: Callable[[int], None] = lambda finished: None,
) -> tuple[Path, Path]:
    """Run a sweep; return the paths of its table.

    Parameters
    ----------
    question : Question
    folder : Path
    workers : Workers or None
        Where points run; None for this process.
    resume : bool
    on_forecast : function of a Forecast
        Called once, when a few points have run, before all others.
    on_point : function of the number of finished points

    Raises
    ------
    UserError
        As `Sweep` and `open_runner`.
    """
    asked = workers or Workers()
    with (
        open_runner(asked) as (runner, at_once),
        Sweep(question, folder, resume=resume) as sweep,
    ):
        forecast = sweep.forecast(at_once, here=asked.dask is None, on_point=on_point)
        on_forecast(forecast)
        return sweep.run(runner if forecast.left else serial, on_point)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _sources(question: Question) -> dict[str, _Source]:
    sources: dict[str, _Source] = {}
    for text in question.workloads:
        work = find_workload(text)
        if question.fidelity == "cycle":
            choose_images(work, as_images(question.images))
        path, origin = str(Path(text).resolve()) if is_file(text) else text, work.provenance
        source = _Source(
            path, work.name, work.digest, identity(work), origin.masks_from, origin.note
        )
        for other, before in sources.items():
            if (before.name, before.identity) == (source.name, source.identity):
                raise WorkloadError(
                    f"--workload {other} and {text} are the same workload; name it once"
                )
        sources[text] = source
    return sources


def _peak_mb() -> float:
    """Return this process's largest resident memory so far."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
