"""Settings of the whole suite."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

from tests.examples import FEWER

# Machines are slow at times, so no example has a deadline. CI tries the same examples each time: a
# red build is then the change's fault; everybody else's runs go on exploring.
EXAMPLES = max(10, 100 // int(os.environ.get(FEWER, "1")))
settings.register_profile("explore", deadline=None, max_examples=EXAMPLES)
settings.register_profile("ci", deadline=None, max_examples=EXAMPLES, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "explore")

# A shell starts background jobs with Ctrl-C ignored, and Python leaves it so; tests of Ctrl-C must
# work there, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: Folders and files whose tests one process runs, one after the other, and which start first: their
#: first tests compile the same kernels for a minute or longer, and so would each process.
TOGETHER = ("tests/zoo/", "tests/pairs/test_accumulate", "tests/sweeps/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests together on one process (``--dist loadgroup``).

    Its fixtures are made once then.
    """

    def group(item: pytest.Item) -> str:
        file = item.nodeid.split("::")[0]
        return next((one for one in TOGETHER if file.startswith(one)), file)

    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: group(item) not in TOGETHER)
