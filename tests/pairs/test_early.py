"""Sums that stop early: the kernel against lanes that are stepped cycle by cycle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.pe import early_kernel
from archonsim.pe.early_kernel import LanePlan, Windows, early_stops, lane_run
from archonsim.pe.early_order import ordered, with_thresholds
from archonsim.pe.early_reference import step_layer
from archonsim.trace.tensors import LayerTensors
from tests.examples import examples


@examples(150)
@given(data=st.data(), mode=st.sampled_from(["exact", "predictive"]))
def test_lanes_agree(data: st.DataObject, mode: str) -> None:
    def small(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    groups, filters, channels = small(1, 3), small(1, 4), small(1, 12)
    windows = Windows(
        out_h=small(1, 4),
        out_w=small(1, 4),
        kernel_h=small(1, 3),
        kernel_w=small(1, 3),
        stride_h=small(1, 2),
        stride_w=small(1, 2),
        groups=groups,
    )
    rng = np.random.default_rng(small(0, 2**16))
    shape = (groups * filters, channels, windows.kernel_h, windows.kernel_w)
    # Few values, so that sums of exactly 0, and equal weights, are common.
    weight = rng.integers(-2, 3, shape) / 4
    tensors = LayerTensors(
        weight=np.where(rng.random(shape) < small(1, 10) / 10, weight, 0).astype(np.float32),
        scale=rng.choice(np.array([0.5, 1, -1, 0], np.float32), shape[0]),
        shift=(rng.integers(-2, 3, shape[0]) / 4).astype(np.float32),
    )
    height = (windows.out_h - 1) * windows.stride_h + windows.kernel_h
    width = (windows.out_w - 1) * windows.stride_w + windows.kernel_w
    x = np.maximum(rng.integers(-4, 5, (groups * channels, height, width)), 0).astype(np.float32)
    order = ordered(
        tensors,
        largest_first=data.draw(st.booleans()),
        keep_zeros=data.draw(st.booleans()),
        prefix_share=small(0, 10) / 10 if mode == "predictive" else 0.0,
    )
    _, sums, partial = early_stops(order, x, windows)
    order = with_thresholds(order, sums, partial, small(0, 10) / 10)
    positions = windows.out_h * windows.out_w
    plan = LanePlan(
        parts=small(1, positions),
        filters=small(1, 5),
        lanes=small(1, 5),
        meet=data.draw(st.booleans()),
    )
    stops, sums, partial = early_stops(order, x, windows)
    run = lane_run(stops, plan)
    passes, steps, met, totals = step_layer(order, x, windows, plan)
    assert stops.tolist() == met
    assert (run.passes.tolist(), run.steps.tolist()) == (passes, steps)
    # What speculation does not cut leaves the ReLU as if nothing had stopped.
    whole = (order.prefix[:, None] == 0) | (partial >= order.threshold[:, None])
    ends = np.maximum(np.array(totals, np.float32), 0)
    assert np.array_equal(ends[whole], np.maximum(sums, 0)[whole])
    assert mode == "predictive" or whole.all()


@pytest.mark.parametrize("stride", [1, 2])
def test_large_maps_are_run_some_positions_at_a_time(
    stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = Windows(
        out_h=7, out_w=9, kernel_h=2, kernel_w=3, stride_h=stride, stride_w=stride, groups=2
    )
    rng = np.random.default_rng(stride)
    tensors = LayerTensors(
        weight=rng.normal(size=(4, 3, 2, 3)).astype(np.float32),
        scale=np.ones(4, np.float32),
        shift=np.zeros(4, np.float32),
    )
    x = np.maximum(rng.normal(size=(6, 6 * stride + 2, 8 * stride + 3)), 0).astype(np.float32)
    order = ordered(tensors, largest_first=True, keep_zeros=False, prefix_share=0.5)
    whole = early_stops(order, x, windows)
    monkeypatch.setattr(early_kernel, "_VALUES", 1)  # 32 positions, then the other 31
    for one, other in zip(whole, early_stops(order, x, windows), strict=True):
        assert np.array_equal(one, other)
