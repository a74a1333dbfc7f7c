"""When numba compiles a kernel, instead of finding it compiled on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba.core import event


class _Once(event.Listener):
    """Calls a function when the first compilation begins."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function: Callable[[], None] | None = function

    def on_start(self, event: object) -> None:
        """Call it, once; numba announces a compilation only where its disk cache has no answer."""
        if self._function is not None:
            function, self._function = self._function, None
            function()

    def on_end(self, event: object) -> None:
        """Ignore ends."""


@contextmanager
def on_first_compilation(function: Callable[[], None]) -> Iterator[None]:
    """Call a function when a kernel is compiled inside the ``with``, at most once."""
    with event.install_listener("numba:compile", _Once(function)):
        yield
