"""Settings of the whole suite."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest
from hypothesis import settings

from tests.examples import FEWER

# Machines are slow at times, so no example has a deadline. CI tries the same examples each time: a
# red build is then the change's fault; everybody else's runs go on exploring.
EXAMPLES = max(10, 100 // int(os.environ.get(FEWER, "1")))
settings.register_profile("explore", deadline=None, max_examples=EXAMPLES)
settings.register_profile("ci", deadline=None, max_examples=EXAMPLES, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "explore")

# Tests run side by side, one on each core; threads of PyTorch that wait for each other by spinning
# would take each other's cores. Before anything imports it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts background jobs with Ctrl-C ignored, and Python leaves it so; tests of Ctrl-C must
# work there, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: Set (``make test-full``): tests marked ``full`` run, too, and all cases of those marked
#: ``sampled``.
FULL = "ARCHONSIM_FULL_TESTS"

#: Files that start first: each compiles kernels of its own for a minute, or takes longest.
FIRST = (
    "tests/zoo/test_training.py",
    "tests/pairs/test_accumulate.py",
    "tests/sweeps/test_sweep.py",
    "tests/rtl/test_rtl.py",
    "tests/laws/test_keys.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the full suite tries; start with what takes longest."""
    # Whoever names a test wants it.
    if not os.environ.get(FULL) and not any("::" in one for one in config.args):
        _sample(config, items)
    _order(items)


def _sample(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests marked ``full`` or ``compiles``; of ``sampled(n)``, all but each n-th case."""
    compiled = os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"
    seen: Counter[str] = Counter()
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        mark = item.get_closest_marker("sampled")
        name = item.nodeid.split("[")[0]
        wanted = mark is None or seen[name] % mark.args[0] == 0
        seen[name] += 1
        if item.get_closest_marker("full"):
            wanted = False
        if item.get_closest_marker("compiles"):
            wanted = not compiled
        (kept if wanted else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def _order(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that no core waits for one at the end."""

    def place(item: pytest.Item) -> int:
        file = item.nodeid.split("::")[0]
        return FIRST.index(file) if file in FIRST else len(FIRST)

    items.sort(key=place)
