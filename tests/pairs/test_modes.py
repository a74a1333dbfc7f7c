"""The second and third run of this folder do what they are for.

A run that numba compiled as always would pass the other tests just as well.
"""

from __future__ import annotations

import os
import types

import numpy as np
import pytest

from archonsim.pe import pass_kernel


@pytest.mark.skipif(not os.environ.get("NUMBA_DISABLE_JIT"), reason="NUMBA_DISABLE_JIT is not set")
def test_kernels_are_plain_python() -> None:
    assert isinstance(pass_kernel._finish, types.FunctionType)


@pytest.mark.skipif(not os.environ.get("NUMBA_BOUNDSCHECK"), reason="NUMBA_BOUNDSCHECK is not set")
def test_kernels_check_their_bounds() -> None:
    work, ends = np.ones((1, 3), np.int32), np.zeros(1, np.int64)
    with pytest.raises(IndexError):
        pass_kernel._finish(work, 0, ends)
