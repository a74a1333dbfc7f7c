"""Processes that work for this one: Ctrl-C is the parent's, and they end when it does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial

from archonsim.errors import ArchonsimError


def _nothing() -> None:
    """Have nothing to prepare."""


def _begin(prepare: Callable[..., None], *given: object) -> None:
    """Leave Ctrl-C to the parent, and end when it does, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    prepare(*given)


def _start(executor: Executor, jobs: int) -> None:
    """Start all workers with Ctrl-C held back: they inherit that, until `_begin` ignores it.

    A worker that is interrupted while its interpreter starts would print a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for _ in range(jobs):
            executor.submit(os.getpid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def workers(
    jobs: int, lost: str, prepare: Callable[..., None] = _nothing, given: tuple[object, ...] = ()
) -> Iterator[Executor]:
    """Give an executor with `jobs` processes of this machine.

    Parameters
    ----------
    jobs : int
    lost : str
        What is said of the work when a process ends by itself.
    prepare : function of `given`
        Called in each process before all else.

    Raises
    ------
    ArchonsimError
        A process ended by itself.
    """
    before = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=partial(_begin, prepare, *given),
    )
    try:
        _start(executor, jobs)
        yield executor
    except BrokenProcessPool as error:
        raise ArchonsimError(
            f"a worker process ended by itself (out of memory?); {lost}"
        ) from error
    except BaseException:
        # Work in flight is given up: waiting for it could take long after Ctrl-C.
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
