"""Cartesian products: the kernel against PEs that are stepped with their queues."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from archonsim.pe.cartesian_kernel import CartesianPlan, cartesian_run
from archonsim.pe.cartesian_reference import step_layer
from archonsim.pe.taps_kernel import pairs, row_taps, tap_counts
from tests.examples import examples


@examples(150)
@given(data=st.data())
def test_rounds_agree(data: st.DataObject) -> None:
    def small(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    groups, channels, filters = small(1, 3), small(1, 3), small(1, 4)
    kernel_h, kernel_w, stride_h, stride_w = small(1, 3), small(1, 3), small(1, 2), small(1, 2)
    top, left = small(0, 1), small(0, 1)
    height, width = small(kernel_h, 6), small(kernel_w, 6)
    out_h = (height + top - kernel_h) // stride_h + 1
    out_w = (width + left - kernel_w) // stride_w + 1
    plan = CartesianPlan(
        out_h=out_h,
        out_w=out_w,
        stride_h=stride_h,
        stride_w=stride_w,
        top=top,
        left=left,
        channels=channels,
        filters=filters,
        groups=groups,
        together=small(1, groups * filters),
        tile_h=small(1, height),
        tile_w=small(1, width),
        rows=small(1, 2),
        cols=small(1, 3),
        inputs=small(1, 4),
        weights=small(1, 4),
        banks=data.draw(st.sampled_from([0, 1, 2, 5, 32])),
        queue=small(0, 4),
    )
    rng = np.random.default_rng(small(0, 2**16))
    nonzero = rng.random((groups * filters, channels, kernel_h, kernel_w)) < small(0, 10) / 10
    alive = (rng.random((groups * channels, height, width)) < small(1, 10) / 10).astype(np.uint8)
    found = cartesian_run(nonzero, alive, plan)
    steps, ends, useful = step_layer(nonzero, alive, plan)
    assert found.steps.T.tolist() == steps
    assert found.ends.T.tolist() == ends
    taps = row_taps(alive, kernel_w, stride_w, (top, 0, left, 0), out_w)
    counts = tap_counts(taps, kernel_h, stride_h, out_h)
    assert found.useful == useful == pairs(counts, nonzero, groups) <= found.products
    assert [found.products, found.weight_reads, found.input_reads] == reads(nonzero, alive, plan)


@pytest.mark.parametrize("banks", [3, 5, 7])
def test_sums_of_strided_layers_wait_for_their_banks(banks: int) -> None:
    """Vectors of few sums for a bank, whatever the stride: which bank is whose makes the time."""
    plan = CartesianPlan(
        **dict.fromkeys(("out_h", "out_w"), 4),
        **dict.fromkeys(("stride_h", "stride_w"), 2),
        **dict.fromkeys(("top", "left"), 1),
        channels=3,
        filters=4,
        groups=1,
        together=3,
        tile_h=8,
        tile_w=8,
        rows=1,
        cols=1,
        inputs=2,
        weights=3,
        banks=banks,
        queue=0,
    )
    rng = np.random.default_rng(banks)
    nonzero = rng.random((4, 3, 3, 3)) < 0.7
    alive = (rng.random((3, 8, 8)) < 0.7).astype(np.uint8)
    steps, ends, useful = step_layer(nonzero, alive, plan)
    found = cartesian_run(nonzero, alive, plan)
    assert (found.steps.T.tolist(), found.ends.T.tolist()) == (steps, ends)
    assert found.useful == useful


def reads(nonzero: NDArray[np.bool_], alive: NDArray[np.uint8], plan: CartesianPlan) -> list[int]:
    """Products, and reads of weights and inputs, of all PEs: each PE's own, round by round."""
    high, wide = plan.tile_h, plan.tile_w
    tiles = itertools.product(
        range(0, alive.shape[1], high), range(0, alive.shape[2], wide), range(plan.channels)
    )
    made = [0, 0, 0]
    for y, x, c in tiles:
        for first in range(0, len(nonzero), plan.together):
            run = range(len(nonzero))[first : first + plan.together]
            for group in {m // plan.filters for m in run}:
                inputs = int(
                    alive[group * plan.channels + c, y : y + high, x : x + wide].astype(int).sum()
                )
                weights = sum(int(nonzero[m, c].sum()) for m in run if m // plan.filters == group)
                if weights:
                    made[0] += inputs * weights
                    made[1] += -(-inputs // plan.inputs) * weights
                    made[2] += inputs
    return made
