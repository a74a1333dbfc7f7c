"""Kernels that numba takes over when they are first called.

Importing numba takes longer than all that a command without kernels does. A kernel's file therefore
imports :func:`njit` from here; numba itself is imported by the first call of any kernel.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import update_wrapper
from pathlib import Path
from types import FunctionType
from typing import Any

#: Called as soon as numba is imported.
_hooks: list[Callable[[], None]] = []
_lock = threading.RLock()


class Kernel:
    """A function that becomes a numba dispatcher when it is first called.

    Parameters
    ----------
    function : function
        May call kernels of its file, and of files that its file imports them from.
    options : dict
        Options of ``numba.njit``.
    """

    def __init__(self, function: FunctionType, options: dict[str, Any]) -> None:
        self._function, self._options = function, options
        self._dispatcher: Any = None
        update_wrapper(self, function)

    @property
    def dispatcher(self) -> Any:
        """What numba made of the function: it knows which types have been compiled."""
        if self._dispatcher is None:
            _take_over(self._function.__globals__)
        return self._dispatcher

    def __call__(self, *arguments: Any) -> Any:
        """Run the kernel, compiled for the types of these arguments."""
        return (self._dispatcher or self.dispatcher)(*arguments)


def njit(**options: Any) -> Callable[[Any], Any]:
    """Make a kernel of a function: ``numba.njit``, as soon as the kernel is called.

    Where ``NUMBA_DISABLE_JIT`` is set the function stays what it is, as numba would leave it.
    """

    def make(function: FunctionType) -> Any:
        plain = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
        return function if plain else Kernel(function, options)

    return make


class _Stored:
    """numba's cache of a kernel's compiled code on disk, read without what only compiling needs.

    Before numba reads from it, it imports its implementations of all of Python and numpy: half as
    much again as importing numba takes, and nothing that is compiled already calls any of it, for
    kernels call arithmetic only. When something is compiled, numba imports them all the same.
    """

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Return what was compiled for a signature, or None."""
        load = getattr(self._cache, "_load_overload", None)
        guard = getattr(self._cache, "_guard_against_spurious_io_errors", None)
        if load is None or guard is None:  # a numba with other names, or without a cache
            return self._cache.load_overload(signature, context)
        from numba.core.runtime.nrt import rtsys

        rtsys.initialize(context)
        with guard():
            return load(signature, context)

    def stand_on(self, files: Iterable[str]) -> None:
        """Hold what is compiled to be old when any of some other files changes, too.

        numba itself compares the kernel's own file alone.
        """
        store = getattr(self._cache, "_cache_file", None)
        if store is not None and hasattr(store, "_source_stamp"):
            found = [Path(file).stat() for file in files if Path(file).exists()]
            stamps = tuple((one.st_mtime, one.st_size) for one in found)
            store._source_stamp = (store._source_stamp, *stamps)


def _take_over(names: dict[str, Any]) -> set[str]:
    """Put dispatchers in the place of all kernels of a file, where they find each other.

    Returns the other files whose kernels they call.
    """
    with _lock:
        import numba

        while _hooks:
            _hooks.pop()()
        kernels = {name: one for name, one in names.items() if isinstance(one, Kernel)}
        others: set[str] = set()
        for one in kernels.values():
            home = one._function.__globals__
            if home is not names:
                others |= {str(home.get("__file__")), *_take_over(home)}
        for name, one in kernels.items():
            if one._dispatcher is None:
                made = numba.njit(**one._options)(one._function)
                made._cache = stored = _Stored(made._cache)
                if others:
                    stored.stand_on(sorted(others))
                one._dispatcher = made
            names[name] = one._dispatcher
        return others


def _install(function: Callable[[], None], stack: ExitStack) -> None:
    """Have numba call a function when a compilation begins, until the stack is left."""
    from numba.core import event

    class Once(event.Listener):
        """Calls the function, once."""

        done = False

        def on_start(self, event: object) -> None:
            """Numba announces a compilation only where its disk cache has no answer."""
            if not self.done:
                self.done = True
                function()

        def on_end(self, event: object) -> None:
            """Ignore ends."""

    stack.enter_context(event.install_listener("numba:compile", Once()))


@contextmanager
def on_first_compilation(function: Callable[[], None]) -> Iterator[None]:
    """Call a function when a kernel is compiled inside the ``with``, at most once."""
    with ExitStack() as stack:

        def install() -> None:
            _install(function, stack)

        if "numba" in sys.modules:
            install()
        else:
            _hooks.append(install)
        try:
            yield
        finally:
            if install in _hooks:
                _hooks.remove(install)
