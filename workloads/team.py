"""Processes that train one network together, each on its share of every batch.

All hold the same weights, running statistics and random state after every step: gradients and
statistics are averaged. A process normalises by the statistics of its own share, so that two
processes with a batch of 64 train as one does that normalises by halves of the batch.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numba
import torch
from torch import Tensor, distributed, nn

from archonsim.errors import ArchonsimError, WorkloadError
from workloads.checkpoint import UnfinishedError

#: The others wait so long for the one that measures an accuracy or fits weights.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Team:
    """One process's place among those that train together; alone by default."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.rank == 0

    def share(self, items: Tensor) -> Tensor:
        """Return this process's share of the first axis of `items`."""
        return items[self.rank :: self.size]

    def average(self, network: nn.Module, loss: Tensor) -> Tensor:
        """Average gradients and running statistics over all processes; return the mean loss."""
        mean = loss.detach().clone()
        if self.size == 1:
            return mean
        parts = [p.grad for p in network.parameters() if p.grad is not None]
        parts += [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        parts.append(mean)
        flat = torch.cat([part.reshape(-1) for part in parts])
        distributed.all_reduce(flat)
        flat /= self.size
        averages = flat.split([part.numel() for part in parts])
        for part, average in zip(parts, averages, strict=True):
            part.copy_(average.view_as(part))
        return mean

    def total(self, count: int) -> int:
        """Return the sum of all processes' `count`."""
        if self.size == 1:
            return count
        sums = torch.tensor(int(count))
        distributed.all_reduce(sums)
        return int(sums)

    def follow(self, network: nn.Module) -> None:
        """Give every process the weights and statistics of the first."""
        if self.size > 1:
            for tensor in network.state_dict().values():
                distributed.broadcast(tensor, 0)


def _member(rank: int, size: int, meeting: str, work: Callable[..., Any], arguments: Any) -> None:
    # The first process meets the same error, and reports it.
    with suppress(ArchonsimError, UnfinishedError), _joined(rank, size, meeting) as team:
        work(team, *arguments)


@contextmanager
def _joined(rank: int, size: int, meeting: str) -> Iterator[Team]:
    threads = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(max(1, threads[0] // size))
    numba.set_num_threads(max(1, threads[1] // size))
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=PATIENCE
    )
    try:
        yield Team(rank, size)
    finally:
        distributed.destroy_process_group()
        torch.set_num_threads(threads[0])
        numba.set_num_threads(threads[1])


def together(size: int, work: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``work(team, *arguments)`` of the first of `size` processes, which all do it.

    Parameters
    ----------
    size : int
        Number of processes. The threads of PyTorch and numba are divided among them.
    work : callable
        A module's function: the other processes import it. Its result in them is dropped.

    Raises
    ------
    WorkloadError
        Where this build of PyTorch cannot connect processes.
    """
    if size == 1:
        return work(Team(), *arguments)
    if not distributed.is_available():
        raise WorkloadError(f"--processes {size}: this PyTorch is built without torch.distributed")
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_posix()
        others = [
            context.Process(target=_member, args=(rank, size, meeting, work, arguments))
            for rank in range(1, size)
        ]
        for other in others:
            other.start()
        try:
            with _joined(0, size, meeting) as team:
                return work(team, *arguments)
        except RuntimeError as error:
            # PyTorch's own error when a connection breaks is a plain RuntimeError.
            for other in others:
                other.join(1)
            codes = [other.exitcode for other in others if other.exitcode]
            if not codes:
                raise
            raise WorkloadError(
                f"one of the {size} processes that train together ended (exit code {codes[0]});"
                " the same command goes on from the last checkpoint"
            ) from error
        finally:
            for other in others:
                # What ended the first, a Ctrl-C or an error, reaches the others through the group.
                other.join(30)
                other.kill()
