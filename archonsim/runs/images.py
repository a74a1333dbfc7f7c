"""Images of a run, one after the other or in several processes: the same layers in either case."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archonsim.engine.observer import SILENT, Observer
from archonsim.errors import UserError
from archonsim.machines import running
from archonsim.machines.protocol import Machine
from archonsim.machines.running import CheckedSimulation
from archonsim.network.workload import Workload
from archonsim.result.report import LayerReport, layer_report
from archonsim.trace.image import image_inputs
from archonsim.trace.what_if import MaskPolicy

if TYPE_CHECKING:  # which one process does not need
    from concurrent.futures import Future

#: Images handed out for each process: one runs while the next waits for it.
AHEAD = 2


def _silent(name: str) -> None:
    """Ignore progress."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How a run is carried out, which makes no difference to what it finds.

    Attributes
    ----------
    on_step : function of a layer's or block's name
        Called when it is done, for progress; from other processes, when its image is.
    observer : Observer
        Gets the events of the first image, which runs in this process then.
    jobs : int
        Processes that run images.

    Raises
    ------
    UserError
        `jobs` is not positive.
    """

    on_step: Callable[[str], None] = _silent
    observer: Observer = SILENT
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise UserError(f"--jobs is {self.jobs}; it must be at least 1")


#: In this process, silently.
PLAINLY = Execution()


@dataclass(frozen=True, slots=True)
class Prepared:
    """What all images of a run share.

    Attributes
    ----------
    workload : Workload
    machine : Machine
    spec : the machine's `spec_type`
    masks : MaskPolicy
    """

    workload: Workload
    machine: Machine
    spec: Any
    masks: MaskPolicy

    def prepare(self) -> CheckedSimulation:
        """Make the workload ready, once for all images that a process runs."""
        return running.prepare(self.machine, self.workload, self.spec)

    def layers(
        self,
        simulation: CheckedSimulation,
        image: int,
        on_step: Callable[[str], None],
        observer: Observer = SILENT,
    ) -> list[LayerReport]:
        """Run one image. What it took is frozen at once, so that nothing else of it stays."""
        inputs = image_inputs(self.workload, self.masks, image)
        return [layer_report(one) for one in simulation.run(inputs, on_step, observer)]


#: The run of a worker process.
_mine: list[tuple[Prepared, CheckedSimulation]] = []


def _take(run: Prepared) -> None:
    _mine.append((run, run.prepare()))


def _layers(image: int) -> tuple[list[LayerReport], list[str]]:
    """Run an image in a worker; return its layers, and the steps that are done."""
    run, simulation = _mine[0]
    done: list[str] = []
    return run.layers(simulation, image, done.append), done


def run_images(
    run: Prepared, simulation: CheckedSimulation, numbers: Sequence[int], how: Execution
) -> Iterator[list[LayerReport]]:
    """Yield the layers of each image, in order.

    Parameters
    ----------
    run : Prepared
    simulation : CheckedSimulation
        What it prepares, for images that run here.
    numbers : sequence of int
    how : Execution
    """
    here = list(numbers) if how.jobs == 1 or len(numbers) < 2 else []
    if how.observer is not SILENT and not here:
        here = [numbers[0]]
    for place, image in enumerate(here):
        yield run.layers(simulation, image, how.on_step, SILENT if place else how.observer)
    rest = numbers[len(here) :]
    if not rest:
        return
    from archonsim.runs.workers import workers

    jobs = min(how.jobs, len(rest))
    with workers(jobs, "run again", _take, (run,)) as pool:
        ahead: deque[Future[tuple[list[LayerReport], list[str]]]] = deque()
        todo = iter(rest)
        while True:
            while len(ahead) < AHEAD * jobs and (number := next(todo, None)) is not None:
                ahead.append(pool.submit(_layers, number))
            if not ahead:
                return
            layers, done = ahead.popleft().result()
            for name in done:
                how.on_step(name)
            yield layers
