"""The fold formulas against an array that is stepped PE by PE."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.dataflow.systolic import Dataflow, Gemm, Timing, fold, layer_cycles
from archonsim.network.layer import Layer
from archonsim.pe.systolic_reference import Stepped, operand_stationary, output_stationary
from tests.examples import examples

SIZES = st.integers(1, 7)
ARRAY = st.integers(1, 5)


def step(flow: str, rows: int, cols: int, left: np.ndarray, right: np.ndarray) -> Stepped:
    """One fold: M x K inputs times K x N weights; two of the sizes fit the array."""
    if flow == "os":
        return output_stationary(rows, cols, left, right.T)
    if flow == "ws":
        return operand_stationary(rows, cols, right, left.T)
    return operand_stationary(rows, cols, left.T, right)


def padded(matrix: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.pad(matrix, ((0, height - matrix.shape[0]), (0, width - matrix.shape[1])))


def stepped_layer(
    flow: Dataflow,
    timing: Timing,
    rows: int,
    cols: int,
    a: np.ndarray,
    b: np.ndarray,
) -> tuple[np.ndarray, int]:
    """All folds of M x K times K x N on the stepped array.

    The product and the convention's cycles.
    """
    (m, k), n = a.shape, b.shape[1]
    m_step, k_step, n_step = {"os": (rows, k, cols), "ws": (m, rows, cols), "is": (cols, rows, n)}[
        flow
    ]
    product, cycles = np.zeros((m, n), np.int64), 0
    for i, at, j in itertools.product(
        range(0, m, m_step), range(0, k, k_step), range(0, n, n_step)
    ):
        left, right = a[i : i + m_step, at : at + k_step], b[at : at + k_step, j : j + n_step]
        height, width = left.shape[0], right.shape[1]
        if timing == "scalesim":
            left, right = padded(left, m_step, k_step), padded(right, k_step, n_step)
        done = step(flow, rows, cols, left, right)
        made = done.product.T if flow == "is" else done.product
        product[i : i + m_step, j : j + n_step] += made[:height, :width]
        cycles += {
            "scalesim": done.last_operand,
            "fuseconv": done.last_sum,
            "drained": done.last_out,
        }[timing]
    # SCALE-Sim reports the index of the last cycle, not how many there are.
    return product, cycles - (timing == "scalesim")


#: DATE'21's model knows output stationary arrays only.
Convention = tuple[Dataflow, Timing]
FLOWS: tuple[Dataflow, ...] = ("os", "ws", "is")
DRAWN: tuple[Timing, ...] = ("scalesim", "drained")
KNOWN: list[Convention] = [("os", "fuseconv"), *itertools.product(FLOWS, DRAWN)]
CONVENTIONS = st.sampled_from(KNOWN)


@examples(300)
@given(
    convention=CONVENTIONS,
    m=SIZES,
    n=SIZES,
    k=SIZES,
    rows=ARRAY,
    cols=ARRAY,
    seed=st.integers(0, 99),
)
def test_folds_take_the_cycles_that_a_stepped_array_takes_and_multiply_right(
    convention: Convention, m: int, n: int, k: int, rows: int, cols: int, seed: int
) -> None:
    flow, timing = convention
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-9, 10, (m, k)), rng.integers(-9, 10, (k, n))
    product, cycles = stepped_layer(flow, timing, rows, cols, a, b)
    assert np.array_equal(product, a @ b)
    assert fold(Gemm(m, n, k), rows, cols, flow, timing).cycles == cycles


@examples(60)
@given(
    groups=st.integers(1, 3),
    per_group=st.integers(1, 3),
    out=st.integers(1, 3),
    size=st.integers(2, 4),
    kernel=st.sampled_from([1, 3]),
    convention=CONVENTIONS,
)
def test_a_grouped_layer_is_its_groups_one_after_the_other(
    groups: int, per_group: int, out: int, size: int, kernel: int, convention: Convention
) -> None:
    flow, timing = convention
    pad = kernel // 2
    layer = Layer(
        name="g",
        kind="conv",
        role="conv",
        in_channels=groups * per_group,
        out_channels=groups * out,
        in_h=size,
        in_w=size,
        kernel_h=kernel,
        kernel_w=kernel,
        padding=(pad,) * 4,
        groups=groups,
    )
    ones = (
        np.ones((size * size, kernel * kernel * per_group), np.int64),
        np.ones((kernel * kernel * per_group, out), np.int64),
    )
    _, one_group = stepped_layer(flow, timing, 3, 4, *ones)
    assert layer_cycles(layer, 3, 4, flow, timing) == groups * one_group


@pytest.mark.parametrize("flow", ["os", "ws", "is"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (7, 5, 3), (8, 4, 9)])
def test_the_last_folds_use_what_is_left(flow: Dataflow, sizes: tuple[int, int, int]) -> None:
    folds = fold(Gemm(*sizes), 4, 2, flow)
    rows = [folds.used(at, 0)[0] for at in range(folds.row_folds)]
    cols = [folds.used(0, at)[1] for at in range(folds.col_folds)]
    assert (sum(rows), sum(cols)) == (folds.along_rows, folds.along_cols)
    assert all(one == 4 for one in rows[:-1])
    assert all(one == 2 for one in cols[:-1])
    assert folds.busy_cycles == len(rows) * len(cols) * folds.time
