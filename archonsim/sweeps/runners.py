"""Where points run: in this process, in several, or on a Dask cluster.

All give the same figures, in any order.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from dataclasses import dataclass
from typing import Any

from archonsim.errors import ArchonsimError, UserError
from archonsim.runs.workers import workers
from archonsim.sweeps.evaluate import Figures, Task, evaluate
from archonsim.version import __version__

#: Points handed out for each worker: one runs while the next waits for it.
AHEAD = 2

#: Seconds without a finished point after which a cluster is asked for its workers, and for which it
#: may have none: others may be on their way (own decision).
SILENCE, WITHOUT_WORKERS = 2.0, 20.0

Runner = Callable[[Iterable[Task]], Iterator[tuple[Task, Figures]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Where points are to run.

    Attributes
    ----------
    jobs : int
        Processes of this machine; 1 for this one alone.
    dask : str or None
        Address of a Dask scheduler, in place of `jobs`.
    """

    jobs: int = 1
    dask: str | None = None


def serial(tasks: Iterable[Task]) -> Iterator[tuple[Task, Figures]]:
    """Run points one after the other in this process."""
    for task in tasks:
        yield task, evaluate(task)


def _hand_out(
    executor: Executor,
    tasks: Iterable[Task],
    most: int,
    on_silence: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Task, Figures]]:
    """Keep at most `most` points in flight; yield each when it is finished.

    `on_silence` is called whenever none has finished for `SILENCE` seconds.
    """
    running: dict[Future[Figures], Task] = {}
    todo = iter(tasks)
    more = True
    while more or running:
        while more and len(running) < most:
            task = next(todo, None)
            if task is None:
                more = False
            else:
                running[executor.submit(evaluate, task)] = task
        done, _ = wait(running, SILENCE, return_when=FIRST_COMPLETED) if running else (set(), None)
        if running and not done:
            on_silence()
        for future in done:
            yield running.pop(future), future.result()


def processes(jobs: int) -> Runner:
    """Run points on `jobs` processes of this machine."""

    def run(tasks: Iterable[Task]) -> Iterator[tuple[Task, Figures]]:
        with workers(jobs, "finished points are kept") as executor:
            yield from _hand_out(executor, tasks, AHEAD * jobs)

    return run


@contextlib.contextmanager
def cluster(address: str) -> Iterator[tuple[Runner, int]]:
    """Connect to a Dask scheduler; give what runs points there, and how many run at once.

    Raises
    ------
    UserError
        Dask is not installed, the scheduler does not answer, has no workers, or a worker has
        another archonsim.
    """
    try:
        from distributed import Client, KilledWorker

        connect: Any = Client
    except ImportError as error:
        raise UserError("--dask needs Dask: pip install 'archonsim[cluster]'") from error
    try:
        client = connect(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"--dask {address}: no scheduler answers there; write tcp://HOST:PORT"
        ) from error
    # What it logs of a lost connection is said by our own error.
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise UserError(
                f"--dask {address}: the scheduler has no workers; start some with `dask worker"
                f" {address}`"
            )
        for worker, version in client.run(_version, on_error="return").items():
            if version != __version__:
                raise UserError(
                    f"--dask {address}: worker {worker} has archonsim {version}, and this is"
                    f" {__version__}"
                )
        executor = client.get_executor()
        seen = time.monotonic()

        def look() -> None:
            """Give up a cluster that has had no workers for too long."""
            nonlocal seen
            if client.nthreads():
                seen = time.monotonic()
            elif time.monotonic() - seen > WITHOUT_WORKERS:
                raise ArchonsimError(
                    f"--dask {address}: the cluster has lost its workers; finished points are"
                    " kept: start others and add --resume"
                )

        def run(tasks: Iterable[Task]) -> Iterator[tuple[Task, Figures]]:
            nonlocal seen
            seen = time.monotonic()
            try:
                yield from _hand_out(executor, tasks, AHEAD * threads, look)
            except KilledWorker as error:
                raise ArchonsimError(
                    "a point ended several workers (out of memory?); finished points are kept"
                ) from error
            except (CancelledError, OSError) as error:
                raise ArchonsimError(
                    f"--dask {address}: the scheduler is lost; finished points are kept: start it"
                    " again and add --resume, with --dask or without"
                ) from error
            finally:
                executor.shutdown(wait=False)

        yield run, threads


@contextlib.contextmanager
def open_runner(workers: Workers) -> Iterator[tuple[Runner, int]]:
    """Give what runs points, and how many run at once.

    Raises
    ------
    UserError
        `jobs` is not positive, both are given, or as `cluster`.
    """
    jobs, dask = workers.jobs, workers.dask
    if dask is not None:
        if jobs != 1:
            raise UserError(f"--jobs {jobs} and --dask {dask}: points run here or there; keep one")
        with cluster(dask) as found:
            yield found
    elif jobs < 1:
        raise UserError(f"--jobs is {jobs}; it must be at least 1")
    else:
        yield (serial if jobs == 1 else processes(jobs)), jobs


def _version() -> str:
    from archonsim.version import __version__

    return __version__
