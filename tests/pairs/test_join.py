"""Bit-mask joins: the kernel against clusters that are stepped cycle by cycle."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archonsim.pe.join_kernel import JoinPlan, join_run
from archonsim.pe.join_reference import step_layer
from tests.examples import examples


@examples(150)
@given(data=st.data(), depthwise=st.booleans())
def test_clusters_agree(data: st.DataObject, depthwise: bool) -> None:
    def small(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    groups = small(2, 6) if depthwise else small(1, 2)
    channels, filters = (1, 1) if depthwise else (small(1, 80), small(2, 5))
    kernel_h, kernel_w = small(1, 3), small(1, 3)
    plan = JoinPlan(
        out_h=small(1, 3),
        out_w=small(1, 3),
        stride_h=small(1, 2),
        stride_w=small(1, 2),
        groups=groups,
        clusters=small(1, 4),
        chunk=small(1, 130),
    )
    shape = (
        (plan.out_h - 1) * plan.stride_h + kernel_h,
        (plan.out_w - 1) * plan.stride_w + kernel_w,
    )
    rng = np.random.default_rng(small(0, 2**16))
    nonzero = rng.random((groups * filters, channels, kernel_h, kernel_w)) < small(0, 10) / 10
    alive = (rng.random((groups * channels, *shape)) < small(0, 10) / 10).astype(np.uint8)
    units = small(1, 4)
    if depthwise:
        order = [
            [(m, m - first) for m in range(first, min(first + units, groups))]
            for first in range(0, groups, units)
        ]
    else:
        order = []
        for group in range(groups):
            own = rng.permutation(filters) + group * filters
            order += [
                [(int(m), at % units) for at, m in enumerate(own[first : first + 2 * units])]
                for first in range(0, filters, 2 * units)
            ]
    found = join_run(nonzero, alive, order, plan)
    cycles, products = step_layer(nonzero, alive, order, plan)
    assert found.cycles.tolist() == cycles
    assert found.products == products
    joined = 1 if depthwise else kernel_h * -(-kernel_w * channels // plan.chunk)
    assert found.chunks == plan.out_h * plan.out_w * len(order) * joined
