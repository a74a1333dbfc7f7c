"""Kernels as plain Python, where NUMBA_DISABLE_JIT is set (``make coverage``)."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def words_wrap() -> Iterator[None]:
    """Let words of 64 bits wrap in plain Python as they do in compiled kernels, without a warning."""
    with np.errstate(over="ignore" if numba.config.DISABLE_JIT else "warn"):
        yield
