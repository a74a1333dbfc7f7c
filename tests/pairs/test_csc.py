"""Compressed columns: the kernel against PEs that are stepped cycle by cycle."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from archonsim.pe.csc_kernel import CscPlan, csc_run, filter_tiles
from archonsim.pe.csc_reference import deliveries, step_counts, step_layer
from archonsim.pe.taps_kernel import pairs, row_taps, tap_counts
from tests.examples import examples

Case = tuple[CscPlan, NDArray[np.bool_], NDArray[np.uint8], int, tuple[int, int, int, int]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A small layer, its bits, and any way to lay it on an array."""

    def small(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    groups, channels, filters = small(1, 2), small(1, 4), small(1, 5)
    kernel_h, kernel_w = small(1, 3), small(1, 3)
    stride_h, stride_w = small(1, 2), small(1, 2)
    padding = small(0, 1), small(0, 1), small(0, 1), small(0, 1)
    height, width = small(kernel_h, 5), small(kernel_w, 5)
    out_h = (height + padding[0] + padding[1] - kernel_h) // stride_h + 1
    out_w = (width + padding[2] + padding[3] - kernel_w) // stride_w + 1
    across_outputs = small(1, out_h)
    plan = CscPlan(
        out_h=out_h,
        out_w=out_w,
        stride_h=stride_h,
        kernel_h=kernel_h,
        channels=channels,
        chunk=small(1, channels),
        filters=filters,
        tile=small(1, filters),
        groups=groups,
        across_filters=small(1, 4),
        across_rows=small(1, 4),
        across_outputs=across_outputs,
        strips=small(1, -(-out_h // across_outputs)),
        cluster=small(1, 6),
        input_rate=small(1, 4),
        weight_rate=small(1, 4),
        psum_rate=small(1, 4),
    )
    rng = np.random.default_rng(small(0, 2**16))
    density = draw(st.sampled_from([0.0, 0.4, 1.0]))
    nonzero = rng.random((groups * filters, channels, kernel_h, kernel_w)) < density
    alive = rng.random((groups * channels, height, width)) < draw(st.sampled_from([0.3, 1.0]))
    return plan, nonzero, alive.astype(np.uint8), stride_w, padding


@examples(150)
@given(case=cases(), lanes=st.integers(1, 3))
def test_passes_agree(case: Case, lanes: int) -> None:
    plan, nonzero, alive, stride_w, padding = case
    taps = row_taps(alive, nonzero.shape[3], stride_w, padding, plan.out_w)
    top, bottom, left, right = padding
    padded = np.pad(alive, ((0, 0), (top, bottom), (left, right)))
    rows = padded.sum(axis=2, dtype=np.int64)
    found = csc_run(taps, rows, filter_tiles(nonzero, plan.groups, plan.tile), lanes, plan)
    passes, products = step_layer(nonzero, padded, stride_w, lanes, plan)
    assert found.busiest.tolist() == passes
    assert found.totals["products"] == products
    assert found.network.tolist() == deliveries(nonzero, padded, plan)
    busy = found.totals.pop("beats")
    assert busy >= -(-products // lanes)
    if plan.across_filters * plan.across_rows * plan.across_outputs == 1:
        assert busy == sum(passes)
    del found.totals["products"]
    assert found.totals == step_counts(nonzero, padded, stride_w, plan)
    counts = tap_counts(taps, plan.kernel_h, plan.stride_h, plan.out_h)
    assert pairs(counts, nonzero, plan.groups) == products
