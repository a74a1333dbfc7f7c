"""Fused weights, survivor tables and the masked sum against direct, unfused computations."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from archonsim.pe.fused_kernel import fused_output
from archonsim.workload.fused_weight import NONE, fuse_tensors
from tests.strategies import TileCase, make_block, random_tensors, tile_cases, unpack_table


@settings(max_examples=60, deadline=None)
@given(case=tile_cases(), data=st.data())
def test_survivor_table_is_what_each_pe_sees(case: TileCase, data: st.DataObject) -> None:
    dw, rows, cols = case.block.dw, case.rows, case.cols
    y0 = data.draw(st.integers(0, dw.out_h - 1))
    x0 = data.draw(st.integers(0, dw.out_w - 1))
    from archonsim.pe.survivor_kernel import survivor_table

    seen = unpack_table(survivor_table(case.keep1, case.keep2, dw, (y0, x0), rows, cols), rows * cols)
    taps = dw.kernel_h * dw.kernel_w
    padded = np.pad(case.keep1, ((0, 0), (dw.padding[0], 99), (dw.padding[2], 99)))
    for row, col in itertools.product(range(rows), range(cols)):
        p, q = y0 + row, x0 + col
        inside = p < dw.out_h and q < dw.out_w
        keep2 = case.keep2[:, p, q] if inside else np.zeros(len(case.keep2), np.uint8)
        mine = seen[row * cols + col].reshape(-1, taps + 1)
        assert (mine[:, taps] == keep2).all()
        for r, s in itertools.product(range(dw.kernel_h), range(dw.kernel_w)):
            keep1 = padded[:, p * dw.stride_h + r, q * dw.stride_w + s] if inside else 0
            assert (mine[:, r * dw.kernel_w + s] == (keep1 & keep2)).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 4]), st.sampled_from([0.1, 0.4, 1.0]))
def test_fused_weights_are_the_products_of_the_three_layers(seed: int, groups: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    block = make_block(channels=2 * groups, mid=5 * groups, out=3 * groups, groups=groups)
    one, two, three = (random_tensors(rng, layer, density) for layer in block.layers)
    fused = fuse_tensors(one, two, three, groups)
    w1 = one.weight[:, :, 0, 0] * one.scale[:, None]
    wd = two.weight.reshape(len(two.weight), -1) * two.scale[:, None]
    w2 = three.weight[:, :, 0, 0] * three.scale[:, None]
    expected, group_order = {}, []
    for c in [*range(2), NONE]:
        for o, k in itertools.product(range(3 * groups), range(9)):
            group_order.append((c, o, k))
            for j in range(5):
                m = o // 3 * 5 + j
                value = w2[o, j] * wd[m, k] * (one.shift[m] if c == NONE else w1[m, c])
                if value != 0:
                    expected[c, o, k, m] = value
    for o, j in itertools.product(range(3 * groups), range(5)):
        m = o // 3 * 5 + j
        if w2[o, j] * two.shift[m] != 0:
            expected[NONE, o, NONE, m] = w2[o, j] * two.shift[m]
    found = {}
    for i in range(fused.groups):
        for at in range(fused.start[i], fused.start[i + 1]):
            found[fused.channel[i], fused.out[i], fused.tap[i], fused.mid[at]] = fused.value[at]
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[key] for key in expected], list(expected.values()), rtol=1e-5)
    groups_sent = list(zip(fused.channel.tolist(), fused.out.tolist(), fused.tap.tolist(), strict=True))
    macs = [key for key in group_order if key[0] != NONE]
    assert groups_sent[: len(macs)] == macs, "every (c, o, k) has its MAC slot, c outermost, then o, then the taps"


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([1, 2]), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]),
    st.tuples(st.integers(3, 9), st.integers(3, 9)),
)  # fmt: skip
def test_masked_fused_sum_is_the_unfused_network(seed: int, groups: int, kernel: int, stride: int, size: tuple[int, int]) -> None:
    """The masks stand in the ReLUs' place; what they keep passes, be it negative; padding contributes nothing."""
    rng = np.random.default_rng(seed)
    block = make_block(channels=2 * groups, mid=6 * groups, out=2 * groups, groups=groups, kernel=kernel, stride=stride, size=size)
    one, two, three = (random_tensors(rng, layer, 0.5) for layer in block.layers)
    dw = block.dw
    x = rng.normal(size=(2 * groups, *size)).astype(np.float32)
    keep1 = rng.integers(0, 2, (6 * groups, *size)).astype(np.uint8)
    keep2 = rng.integers(0, 2, (6 * groups, dw.out_h, dw.out_w)).astype(np.uint8)
    h = np.zeros((6 * groups, *size))
    for m in range(6 * groups):
        h[m] = np.tensordot(one.weight[m, :, 0, 0], x[m // 6 * 2 : m // 6 * 2 + 2], 1) * one.scale[m] + one.shift[m]
    h = np.pad(h * keep1, ((0, 0), dw.padding[:2], dw.padding[2:]))
    z = np.zeros(keep2.shape)
    for p, q in itertools.product(range(dw.out_h), range(dw.out_w)):
        window = h[:, p * stride : p * stride + kernel, q * stride : q * stride + kernel]
        z[:, p, q] = (window * two.weight[:, 0]).sum((1, 2)) * two.scale + two.shift
    z *= keep2
    y = np.zeros((2 * groups, dw.out_h, dw.out_w))
    for o in range(2 * groups):
        y[o] = np.tensordot(three.weight[o, :, 0, 0], z[o // 2 * 6 : o // 2 * 6 + 6], 1) * three.scale[o] + three.shift[o]
    np.testing.assert_allclose(fused_output(block, fuse_tensors(one, two, three, groups), x, keep1, keep2), y, atol=1e-4)
