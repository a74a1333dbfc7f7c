"""Kernels as plain Python, where NUMBA_DISABLE_JIT is set (``make coverage``)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def words_wrap() -> Iterator[None]:
    """Let words of 64 bits wrap in plain Python, as in compiled kernels, without a warning."""
    with np.errstate(over="ignore" if os.environ.get("NUMBA_DISABLE_JIT") else "warn"):
        yield
