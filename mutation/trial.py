"""Tests against one mutant, in a process that forks off one where everything else is imported.

Nothing is written: the mutant takes the module's place as it is imported.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

import pytest
from hypothesis import Phase, settings

from mutation.mutants import module_name

#: Most bytes of memory of a trial: some mutants only ever allocate.
BYTES = 8 << 30
#: Ours: what tests import anew in each trial.
OURS = ("archonsim", "tests", "workloads", "benchmarks", "docs", "fuzz", "rtl")


class Outcome(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMEOUT = "timeout"
    SURVIVED = "survived"


@dataclass(frozen=True)
class _Stand(MetaPathFinder):
    """Finds a module whose code is another's."""

    name: str
    path: Path
    source: str

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for the one module alone."""
        if fullname != self.name:
            return None
        loader = _Loader(fullname, str(self.path), self.source)
        return spec_from_file_location(fullname, self.path, loader=loader)


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, source: str) -> None:
        super().__init__(fullname, path)
        self._mutant = source

    def get_code(self, fullname: str) -> CodeType:
        """Compile the mutant, past the cache of compiled files."""
        return compile(self._mutant, self.path, "exec")


def warm_up(tests: Sequence[str]) -> None:
    """Import all that the tests import, but what is ours."""
    settings.register_profile(
        "mutation",
        deadline=None,
        derandomize=True,
        database=None,
        max_examples=max(5, 100 // int(os.environ["ARCHONSIM_FEWER_EXAMPLES"])),
        phases=[Phase.explicit, Phase.generate],  # no shrinking: one failing example is enough
    )
    with _silence():
        code = pytest.main([*_OPTIONS, "--collect-only", *tests])
    if code:
        raise ValueError(f"pytest does not find {' '.join(tests)}")
    for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
        del sys.modules[name]


def seconds_of(tests: Sequence[str]) -> float:
    """Run the tests as they are; CPU seconds that they take."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if _forked(None, tests, 3600) is not Outcome.SURVIVED:
        raise ValueError(f"without any mutant, these fail: pytest {' '.join(tests)}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def attempt(path: Path, source: str, tests: Sequence[str], seconds: float) -> Outcome:
    """Run the tests with a mutant in a module's place.

    Parameters
    ----------
    path : Path
        The module's file, from the root of the checkout.
    source : str
        The mutant.
    tests : sequence of str
        Arguments of pytest.
    seconds : float
        CPU seconds after which the mutant counts as killed.
    """
    return _forked(_Stand(module_name(path), path.resolve(), source), tests, seconds)


_OPTIONS = (
    *("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
    "--hypothesis-profile=mutation",
    # Words of 64 bits wrap in kernels.
    *("-W", "ignore:overflow encountered:RuntimeWarning"),
    *("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"),
)


class _silence:  # noqa: N801
    """Send stdout and stderr of this process nowhere."""

    def __enter__(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._kept = [os.dup(1), os.dup(2)]
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, kept in enumerate(self._kept, 1):
            os.dup2(kept, number)
            os.close(kept)


def _forked(stand: _Stand | None, tests: Sequence[str], seconds: float) -> Outcome:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with _silence():
                code = _run(stand, tests, seconds)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        slow = os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGKILL)
        return Outcome.TIMEOUT if slow else Outcome.KILLED
    return Outcome.KILLED if os.WEXITSTATUS(status) else Outcome.SURVIVED


def _run(stand: _Stand | None, tests: Sequence[str], seconds: float) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    whole = math.ceil(seconds)
    # A signal that is not handled ends the process, in a loop of C, too.
    resource.setrlimit(resource.RLIMIT_CPU, (whole + 60, whole + 60))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    if stand is not None:
        sys.meta_path.insert(0, stand)
    return int(pytest.main([*_OPTIONS, *tests]))
