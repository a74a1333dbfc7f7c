from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.trace.algebra import (
    branch_output,
    convolve,
    preactivations,
    predict,
    quantise,
    shuffle,
)
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import BlockTrace, Floats, LayerTensors, MemoryTrace, PredictorTensors
from tests.examples import examples
from tests.workload.conftest import conv


def draw_tensors(shape: tuple[int, ...], rng: np.random.Generator) -> LayerTensors:
    weight = rng.standard_normal(shape) * (rng.random(shape) < 0.5)
    scale, shift = rng.standard_normal((2, shape[0]))
    return LayerTensors(
        weight=weight.astype(np.float32),
        scale=scale.astype(np.float32),
        shift=shift.astype(np.float32),
    )


def in_order(tensors: LayerTensors, terms: list[tuple[Floats, Floats]]) -> Floats:
    """Float32 arithmetic as the file format defines it.

    Products and sums rounded, terms in order, zero weights left out.
    """
    total = np.zeros(np.broadcast(*terms[0]).shape, np.float32)
    for weight, values in terms:
        total = np.where(weight != 0, total + weight * values, total).astype(np.float32)
    return (total * tensors.scale[:, None, None] + tensors.shift[:, None, None]).astype(np.float32)


@given(
    seed=st.integers(0, 2**32),
    groups=st.sampled_from([1, 2, 3]),
    depth=st.integers(1, 9),
    size=st.integers(1, 5),
)
@examples(40)
def test_pointwise_arithmetic_to_the_bit(seed: int, groups: int, depth: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    layer = conv("x", (groups * depth, groups * 4), size, groups=groups)
    tensors = draw_tensors(layer.weight_shape, rng)
    x = rng.standard_normal((groups * depth, size, size)).astype(np.float32)
    spread = np.repeat(x.reshape(groups, depth, size, size), 4, axis=0)
    terms = [(tensors.weight[:, c], spread[:, c]) for c in range(depth)]
    assert_array_equal(convolve(layer, tensors, x), in_order(tensors, terms))


@given(
    seed=st.integers(0, 2**32),
    kernel=st.sampled_from([2, 3, 5]),
    stride=st.sampled_from([1, 2]),
    size=st.integers(2, 7),
)
@examples(40)
def test_depthwise_arithmetic_to_the_bit(seed: int, kernel: int, stride: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    layer = conv("x", (6, 6), size, kernel=kernel, stride=stride, groups=6)
    tensors = draw_tensors(layer.weight_shape, rng)
    x = rng.standard_normal((6, size, size)).astype(np.float32)
    top, bottom, left, right = layer.padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))[
        :, ::stride, ::stride
    ]
    terms = [
        (tensors.weight[:, :, r, s, None], windows[..., r, s])
        for r in range(kernel)
        for s in range(kernel)
    ]
    terms = [(weight.reshape(6, 1, 1), values) for weight, values in terms]
    assert_array_equal(convolve(layer, tensors, x), in_order(tensors, terms))


def test_shuffle_interleaves_groups() -> None:
    x = np.arange(6, dtype=np.float32).reshape(6, 1, 1)
    assert shuffle(x, 2).ravel().tolist() == [0, 3, 1, 4, 2, 5]
    assert shuffle(x, 0) is x


def test_quantise_rounds_half_to_even_and_clips() -> None:
    predictor = PredictorTensors(
        ternary=np.zeros((1, 1, 1, 1), np.int8),
        scale=np.ones(1, np.float32),
        shift=np.zeros(1, np.float32),
        step=0.5,
    )
    x = np.array([0.25, 0.75, -0.25, 10, -10], np.float32)
    assert quantise(x, predictor).tolist() == [0, 2, 0, 7, -8]


def fused_sum(block: Block, tensors: dict[str, LayerTensors], trace: BlockTrace) -> Floats:
    """The masked fused sum of ICS'21 in float64, one term (o, m, k, c) after the other.

    An out-of-image tap has no b1.
    """
    pw1, dw, pw2 = (tensors[layer.name] for layer in (block.pw1, block.dw, block.pw2))
    keep1, keep2, x = trace.keep1.unpack(), trace.keep2.unpack(), trace.input.astype(np.float64)
    groups, (top, _, left, _) = block.groups, block.dw.padding
    deep, wide, out = (
        block.in_channels // groups,
        block.mid_channels // groups,
        block.out_channels // groups,
    )
    y = np.zeros((block.out_channels, block.dw.out_h, block.dw.out_w))
    for o, p, q in np.ndindex(y.shape):
        for m in range(o // out * wide, (o // out + 1) * wide):
            if not keep2[m, p, q]:
                continue
            inner: float = float(dw.shift[m])
            for r, s in np.ndindex(block.dw.kernel_h, block.dw.kernel_w):
                i, j = p * block.dw.stride_h + r - top, q * block.dw.stride_w + s - left
                if 0 <= i < x.shape[1] and 0 <= j < x.shape[2] and keep1[m, i, j]:
                    dot = float(
                        pw1.weight[m, :, 0, 0].astype(np.float64)
                        @ x[m // wide * deep :][:deep, i, j]
                    )
                    inner += (
                        float(dw.scale[m])
                        * float(dw.weight[m, 0, r, s])
                        * (float(pw1.scale[m]) * dot + float(pw1.shift[m]))
                    )
            y[o, p, q] += float(pw2.scale[o]) * float(pw2.weight[o, m % wide, 0, 0]) * inner
        y[o, p, q] += float(pw2.shift[o])
    made = shuffle(y.astype(np.float32), block.shuffle)
    return made + trace.input if block.residual == "add" else made


@pytest.mark.parametrize("name", ["b1", "b2", "b3"])
def test_synthetic_outputs_equal_the_masked_fused_sum(
    tiny: tuple[Workload, MemoryTrace], name: str
) -> None:
    workload, trace = tiny
    block = next(block for block in workload.blocks() if block.name == name)
    one = trace.block(name, 1)
    expected = fused_sum(block, trace.layers, one)
    assert_allclose(
        one.output, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max()
    )  # outputs are rounded to float16


def test_the_second_prediction_reads_the_first_one(tiny: tuple[Workload, MemoryTrace]) -> None:
    """A cascade: what the first predictor drops is 0 for the second one."""
    workload, trace = tiny
    block = next(iter(workload.blocks()))
    first, second = trace.predictors("b1")
    silent = PredictorTensors(
        ternary=first.ternary, scale=first.scale * 0, shift=first.shift * 0 - 1, step=first.step
    )
    keep1, keep2 = predict(block, (silent, second), trace.block("b1", 0).input)
    assert keep1.count() == 0
    expected = np.broadcast_to((second.shift > 0)[:, None, None], (12, 5, 5))
    assert_array_equal(keep2.unpack(), expected)


def test_a_kept_negative_value_passes(tiny: tuple[Workload, MemoryTrace]) -> None:
    """With everything kept no ReLU is left, so the block is affine in its input."""
    workload, trace = tiny
    block = next(iter(workload.blocks()))
    first, second, third = (trace.layers[layer.name] for layer in block.layers)
    x, every = trace.block("b1", 0).input, Mask.pack(np.ones((12, 5, 5), bool))
    assert (preactivations(block, (first, second, third), every, x)[0] < 0).any()
    at_0, at_1, at_2 = (
        branch_output(
            block, third, preactivations(block, (first, second, third), every, factor * x)[1], every
        )
        for factor in (np.float32(0), np.float32(1), np.float32(2))
    )
    assert_allclose(at_2 - at_1, at_1 - at_0, atol=1e-4)
