"""Signs channel by channel, against the definition that computes whole maps one layer at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archonsim.network.block import Block
from archonsim.trace.algebra import convolve, preactivations, predict, quantise, real_signs
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import LayerTensors, PredictorTensors
from tests.workload.conftest import conv


def _block(size: int, kernel: int, stride: int, clips: tuple[float, float]) -> Block:
    """Two groups of three input and four mid channels each."""
    return Block(
        index=1,
        pw1=conv("b1.pw1", (6, 8), size, groups=2, activation="relu"),
        dw=conv("b1.dw", (8, 8), size, kernel=kernel, stride=stride, groups=8, activation="relu"),
        pw2=conv("b1.pw2", (8, 4), -(-size // stride), groups=2),
        clips=clips,
    )


def _layer(shape: tuple[int, ...], rng: np.random.Generator, loud: np.float32) -> LayerTensors:
    weight = rng.standard_normal(shape) * (rng.random(shape) < 0.6)
    scale, shift = rng.standard_normal((2, shape[0])).astype(np.float32)
    return LayerTensors(weight=weight.astype(np.float32) * loud, scale=scale, shift=shift)


def _predictor(shape: tuple[int, ...], rng: np.random.Generator) -> PredictorTensors:
    scale, shift = rng.standard_normal((2, shape[0])).astype(np.float32)
    return PredictorTensors(
        ternary=rng.integers(-1, 2, shape, np.int8),
        scale=scale,
        shift=shift,
        step=float(rng.choice([0.25, 0.3, 1.0])),
        low=int(rng.integers(-8, 0)),
        high=int(rng.integers(0, 8)),
    )


drawn = {
    "seed": st.integers(0, 2**32),
    "size": st.integers(1, 7),
    "kernel": st.sampled_from([2, 3, 5]),
    "stride": st.sampled_from([1, 2]),
    "clips": st.sampled_from([(0.0, 0.0), (0.5, 1.0), (0.0, 2.0)]),
}


def _states(pre: np.ndarray, end: float) -> np.ndarray:
    return (pre > 0).astype(np.uint8) + (pre > np.float32(end or np.inf))


@given(**drawn)
def test_predicted_signs(
    seed: int, size: int, kernel: int, stride: int, clips: tuple[float, float]
) -> None:
    rng, block = np.random.default_rng(seed), _block(size, kernel, stride, clips)
    first, second, _ = block.layers
    one, two = _predictor(first.weight_shape, rng), _predictor(second.weight_shape, rng)
    x = rng.standard_normal((6, size, size)).astype(np.float32)
    hidden = convolve(first, one, quantise(x, one))
    relu = np.minimum(np.maximum(hidden, 0), np.float32(clips[0] or np.inf))
    behind = convolve(second, two, quantise(relu, two))
    for mask, pre, end in zip(predict(block, (one, two), x), (hidden, behind), clips, strict=True):
        assert np.array_equal(mask.states(), _states(pre, end))
        assert (mask.clip is not None) == (end > 0)


@given(**drawn, loud=st.sampled_from([1.0, 1e37]))
def test_real_signs(
    seed: int, size: int, kernel: int, stride: int, clips: tuple[float, float], loud: float
) -> None:
    """Also where sums overflow, and what is added up is infinite or no number."""
    rng, block = np.random.default_rng(seed), _block(size, kernel, stride, clips)
    tensors = tuple(_layer(one.weight_shape, rng, np.float32(loud)) for one in block.layers)
    x = rng.standard_normal((6, size, size)).astype(np.float32)
    states = rng.integers(0, 3 if clips[0] else 2, (8, size, size), np.uint8)
    keep = Mask.of(states, clips=clips[0] > 0)
    with np.errstate(all="ignore"):
        wanted = preactivations(block, tensors, keep, x)  # type: ignore[arg-type]
        found = real_signs(block, tensors, keep, x)  # type: ignore[arg-type]
    for one, two, end in zip(wanted, found, clips, strict=True):
        assert np.array_equal(two.states(), _states(one, end))
