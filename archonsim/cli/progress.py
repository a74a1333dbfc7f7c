"""Progress on stderr: only when a command takes longer than a second, and never into a pipe."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from archonsim.cli.console import PlainConsole

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

DELAY_SECONDS = 1.0

#: For messages that are not the result.
stderr = PlainConsole(stderr=True, soft_wrap=True)


def say_compiling() -> None:
    """Say why this run takes longer."""
    stderr.print(
        "compiling kernels: the first run takes some 10 seconds longer, later ones do not",
        style="dim",
    )


def _bar() -> Progress:
    """Make a bar; what draws it is imported here, for most commands end before one is shown."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}", markup=False),
    )
    return Progress(*columns, console=stderr, transient=True)


class StepProgress:
    """A bar over a known number of steps that appears after a second.

    Parameters
    ----------
    what : str
        Shown before the bar.
    steps : int
    """

    def __init__(self, what: str, steps: int) -> None:
        self._what, self._steps, self._done = what, steps, 0
        self._since = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> StepProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, name: str) -> None:
        """Count one step as done."""
        self.reach(self._done + 1, name)

    def reach(self, done: int, name: str = "") -> None:
        """Say how many steps are done in all."""
        self._done = done
        if (
            self._bar is None
            and time.monotonic() - self._since > DELAY_SECONDS
            and sys.stderr.isatty()
        ):
            self._bar = _bar()
            self._task = self._bar.add_task(self._what, total=self._steps, name="")
            self._bar.start()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, name=name)
