"""Kernels are compiled by numba from their first call on, and not before."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from archonsim import kernels

compiled = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="kernels are plain Python"
)


def _file(*, calls: str = "helper(x) + 1") -> dict[str, object]:
    """Make what a kernel's file defines: a helper, and a kernel that calls it."""
    names: dict[str, object] = {"njit": kernels.njit}
    exec(
        "@njit()\ndef helper(x):\n    return 2 * x\n"
        f"@njit()\ndef kernel(x):\n    '''Doc.'''\n    return {calls}\n",
        names,
    )
    return names


@compiled
def test_a_kernel_calls_kernels_of_its_file() -> None:
    names = _file()
    kernel = names["kernel"]
    assert isinstance(kernel, kernels.Kernel)
    assert getattr(kernel, "__name__", "") == "kernel"
    assert kernel.__doc__ == "Doc."
    assert kernel(20) == 41
    assert kernel(np.float64(0.25)) == 1.5
    assert len(kernel.dispatcher.signatures) == 2
    assert names["helper"] is not None
    assert names["helper"](4) == 8  # type: ignore[operator]


@compiled
def test_threads_may_call_it_first_at_once() -> None:
    names = _file()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(names["kernel"], range(64))) == [2 * x + 1 for x in range(64)]  # type: ignore[arg-type]


@compiled
def test_the_first_compilation_is_announced_once() -> None:
    said: list[str] = []
    names = _file()
    with kernels.on_first_compilation(lambda: said.append("compiling")):
        names["kernel"](1)  # type: ignore[operator]
        names["kernel"](1.5)  # type: ignore[operator]
    names["kernel"](1j)  # type: ignore[operator]
    assert said == ["compiling"]


def test_numba_is_imported_by_the_first_call() -> None:
    code = (
        "import sys\n"
        "from archonsim import kernels\n"
        "from archonsim.dataflow import nest_kernel\n"
        "from archonsim.pe import accumulate_kernel, fused_kernel\n"
        "said = []\n"
        "with kernels.on_first_compilation(lambda: said.append(1)):\n"
        "    assert 'numba' not in sys.modules\n"
        "    kernel = kernels.njit()(lambda x: x + 1)\n"
        "    assert kernel(1) == 2 and 'numba' in sys.modules\n"
        "assert said == [1]\n"
        "with kernels.on_first_compilation(lambda: said.append(2)):\n"
        "    pass\n"
        "assert said == [1] and not kernels._hooks"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "0"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_where_nothing_is_to_be_compiled_a_kernel_is_a_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert kernels.njit(cache=True)(len) is len
