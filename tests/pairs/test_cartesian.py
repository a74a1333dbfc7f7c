"""Cartesian products: the kernel against PEs that are stepped with their queues."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

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
