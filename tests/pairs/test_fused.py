"""Fused weights, survivor tables and the masked sum against direct, unfused computations."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.dataflow.mapper import divisors
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.pe.fused_kernel import AccumulatorUse, Lanes, accumulator_use, fused_output
from archonsim.pe.survivor_kernel import Survivors
from archonsim.trace.algebra import shuffle
from archonsim.trace.factored import factored_output
from archonsim.trace.fused_weight import NONE, FusedWeight, fuse_tensors
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import LayerTensors
from tests.examples import examples
from tests.strategies import (
    TileCase,
    make_block,
    masks_of,
    random_states,
    random_tensors,
    tile_cases,
    unpack_table,
)


@examples(40)
@given(
    case=tile_cases(), bits=st.integers(4, 12), width=st.integers(4, 14), adders=st.integers(1, 4)
)
def test_overflows_are_counted_sum_by_sum(
    case: TileCase, bits: int, width: int, adders: int
) -> None:
    """Against plain integer sums over pixels, groups and candidates."""
    block, fused, dw = case.block, case.fused, case.block.dw
    largest = np.abs(fused.value).max(initial=0)
    fixed = (
        np.rint(fused.value / (largest / (2 ** (bits - 1) - 1))).astype(int)
        if largest
        else np.zeros(0, int)
    )
    around = ((0, 0), (dw.padding[0], 9), (dw.padding[2], 9))
    late = block.order == "pw-pw-dw"
    padded, second = np.pad(case.keep1, around), np.pad(case.keep2, around) if late else case.keep2
    sums, by_lane, farthest = 0, [0] * adders, 0
    for p, q, group in itertools.product(range(dw.out_h), range(dw.out_w), range(fused.groups)):
        tap = int(fused.tap[group])
        r, s = divmod(max(tap, 0), dw.kernel_w)
        y, x = p * dw.stride_h + r, q * dw.stride_w + s
        totals, paths = [0] * adders, [list[int]() for _ in range(adders)]
        for i in range(fused.start[group], fused.start[group + 1]):
            m = fused.mid[i]
            if late:
                inside = (dw.padding[0] <= y < dw.padding[0] + dw.in_h) and (
                    dw.padding[2] <= x < dw.padding[2] + dw.in_w
                )
                keep2 = inside * second[fused.out[group], y, x]
                alone, keep1 = m < 0, padded[m, y, x]
            else:
                alone, keep1, keep2 = tap < 0, padded[m, y, x], second[m, p, q]
            wanted = case.wants[i]
            alive = keep2 == wanted if alone else keep2 == 1 and keep1 == wanted
            if alive:
                lane = i % adders  # dealt out round-robin over the whole stream
                totals[lane] += int(fixed[i])
                paths[lane].append(abs(totals[lane]))
        for lane, path in enumerate(paths):
            sums += bool(path)
            by_lane[lane] += bool(path) and max(path) > 2 ** (width - 1) - 1
            farthest = max([farthest, *path])
    found = accumulator_use(
        block,
        fused,
        case.keep1,
        case.keep2,
        value_bits=bits,
        accumulator_bits=width,
        lanes=Lanes(count=adders, width=2 * adders),
    )
    assert found == AccumulatorUse(sums, sum(by_lane), farthest.bit_length() + 1, tuple(by_lane))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("array", [(4, 5), (4, 31), (2, 63), (3, 64)])
@pytest.mark.parametrize("corner", [(0, 0), (1, 59), (2, 128)])
@pytest.mark.parametrize("late", [False, True])
def test_survivors_of_wide_maps_and_arrays_pass_from_word_to_word(
    stride: int, array: tuple[int, int], corner: tuple[int, int], late: bool
) -> None:
    rng = np.random.default_rng(array[1])
    block = make_block(
        channels=1, mid=2, out=1, size=(stride * 6, stride * 140), stride=stride, late=late
    )
    one, two, three = (random_tensors(rng, layer, 1.0) for layer in block.layers)
    fused = fuse_tensors(block, (one, two, three))
    keep1, keep2 = (random_states(rng, layer, 0.7, 0.0) for layer in block.layers[:2])
    check_survivors(block, fused, (keep1, keep2), array, corner)


@examples(80)
@given(case=tile_cases(), data=st.data())
def test_survivor_table_is_what_each_pe_sees(case: TileCase, data: st.DataObject) -> None:
    y0 = data.draw(st.integers(0, case.block.dw.out_h - 1))
    x0 = data.draw(st.integers(0, case.block.dw.out_w - 1))
    keeps, array = (case.keep1, case.keep2), (case.rows, case.cols)
    check_survivors(case.block, case.fused, keeps, array, (y0, x0))


def check_survivors(
    block: Block,
    fused: FusedWeight,
    keeps: tuple[np.ndarray, np.ndarray],
    array: tuple[int, int],
    corner: tuple[int, int],
) -> None:
    """Each candidate, by its group and mid channel alone, against the masks."""
    dw, (rows, cols), (y0, x0) = block.dw, array, corner
    table = Survivors(masks_of(block, *keeps), block, fused, array).table(corner)
    seen = unpack_table(table, rows * cols)[:, fused.row]
    group = np.repeat(np.arange(fused.groups), np.diff(fused.start))
    tap, mid, out = fused.tap[group], fused.mid, fused.out[group]
    late = block.order == "pw-pw-dw"
    margin = ((0, 0), (dw.padding[0], 99), (dw.padding[2], 99))
    padded1, padded2 = np.pad(keeps[0], margin), np.pad(keeps[1], margin)
    for row, col in itertools.product(range(rows), range(cols)):
        p, q = y0 + row, x0 + col
        if not (p < dw.out_h and q < dw.out_w):
            assert not seen[row * cols + col].any()
            continue
        at = (
            p * dw.stride_h + np.maximum(tap, 0) // dw.kernel_w,
            q * dw.stride_w + np.maximum(tap, 0) % dw.kernel_w,
        )
        second = padded2[(out, *at)] if late else keeps[1][mid, p, q]
        alone, wants = mid == NONE if late else tap == NONE, 1 + (fused.plane[group] > 0)
        both = (second == 1) & (padded1[(mid, *at)] == wants)
        assert (seen[row * cols + col] == np.where(alone, second == wants, both)).all()


@pytest.mark.parametrize("rotate", [True, False])
@pytest.mark.parametrize(("count", "width", "before"), [(2, 1, 3), (3, 4, 5), (4, 9, 0)])
def test_candidates_are_dealt_out_to_lanes(
    count: int, width: int, before: int, rotate: bool
) -> None:
    """Over the whole stream, or from the first lane on in each beat of up to `width`."""
    rng = np.random.default_rng(count)
    block = make_block(channels=2, mid=11, out=2)
    one, two, three = (random_tensors(rng, layer, 0.7) for layer in block.layers)
    fused = fuse_tensors(block, (one, two, three))
    found = Lanes(count=count, width=width, rotate=rotate).of_candidates(fused, before)
    expected = [
        (before + at if rotate else (at - int(first)) % width) % count
        for first, end in itertools.pairwise(fused.start)
        for at in range(int(first), int(end))
    ]
    assert len(expected) > 100
    assert found.tolist() == expected


#: Upper ends of the two ReLUs; 0 for none.
CLIPS = st.sampled_from([(0.0, 0.0), (6.0, 6.0), (6.0, 0.0), (0.0, 1.5)])


def _factors(one: LayerTensors) -> np.ndarray:
    return one.weight.reshape(len(one.weight), -1) * one.scale[:, None]


@examples(60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 4]), st.sampled_from([0.1, 0.4, 1.0]))
def test_fused_weights_are_the_products_of_the_three_layers(
    seed: int, groups: int, density: float
) -> None:
    rng = np.random.default_rng(seed)
    block = make_block(channels=2 * groups, mid=5 * groups, out=3 * groups, groups=groups)
    one, two, three = (random_tensors(rng, layer, density) for layer in block.layers)
    w1, wd, w2 = _factors(one), _factors(two), _factors(three)
    expected: dict[tuple[int, ...], float] = {}
    group_order: list[tuple[int, ...]] = []
    for c in [*range(2), NONE]:
        for o, k in itertools.product(range(3 * groups), range(9)):
            channel = NONE if c == NONE else o // 3 * 2 + c
            group_order.append((channel, o, k))
            for j in range(5):
                m = o // 3 * 5 + j
                value = w2[o, j] * wd[m, k] * (one.shift[m] if c == NONE else w1[m, c])
                if value != 0:
                    expected[channel, o, k, m] = value
    for o, j in itertools.product(range(3 * groups), range(5)):
        m = o // 3 * 5 + j
        if w2[o, j] * two.shift[m] != 0:
            expected[NONE, o, NONE, m] = w2[o, j] * two.shift[m]
    _agree(
        fuse_tensors(block, (one, two, three)),
        expected,
        [key for key in group_order if key[0] != NONE],
    )


@examples(60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([0.1, 0.4, 1.0]),
    st.data(),
)
def test_fused_weights_with_the_depthwise_layer_last(
    seed: int, groups: int, density: float, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    shuffled = data.draw(st.sampled_from([0, *divisors(4 * groups)]))
    block = make_block(
        channels=2 * groups,
        mid=4 * groups,
        out=3 * groups,
        groups=groups,
        late=True,
        shuffle=shuffled,
    )
    one, two, three = (random_tensors(rng, layer, density) for layer in block.layers)
    w1, w2, wd = _factors(one), _factors(two), _factors(three)
    # Number the mid channels, shuffle the numbers as the network shuffles the map.
    reads = (
        shuffle(np.arange(4 * groups, dtype=np.float32).reshape(-1, 1, 1), shuffled)
        .astype(int)
        .flatten()
    )
    expected: dict[tuple[int, ...], float] = {}
    group_order: list[tuple[int, ...]] = []
    for c in [*range(2 * groups), NONE]:
        for o in range(3 * groups):
            mids = reads[o // 3 * 4 : o // 3 * 4 + 4]
            reachable = c == NONE or c // 2 in mids // 4
            for k in range(9):
                if reachable:
                    group_order.append((c, o, k))
                for j, m in enumerate(mids):
                    before = one.shift[m] if c == NONE else w1[m, c % 2] * (c // 2 == m // 4)
                    if wd[o, k] * w2[o, j] * before != 0:
                        expected[c, o, k, m] = wd[o, k] * w2[o, j] * before
                if c == NONE and wd[o, k] * two.shift[o] != 0:
                    expected[c, o, k, NONE] = wd[o, k] * two.shift[o]
    macs = [key for key in group_order if key[0] != NONE]
    _agree(fuse_tensors(block, (one, two, three)), expected, macs)
    assert block.fused_macs == len(macs) * block.dw.out_h * block.dw.out_w


def _agree(
    fused: FusedWeight, expected: dict[tuple[int, ...], float], macs: list[tuple[int, ...]]
) -> None:
    found: dict[tuple[int, ...], float] = {}
    for i in range(fused.groups):
        for at in range(fused.start[i], fused.start[i + 1]):
            found[fused.channel[i], fused.out[i], fused.tap[i], fused.mid[at]] = fused.value[at]
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(
        np.array([found[key] for key in expected]), np.array([*expected.values()]), rtol=1e-5
    )
    groups_sent = list(
        zip(fused.channel.tolist(), fused.out.tolist(), fused.tap.tolist(), strict=True)
    )
    assert groups_sent[: len(macs)] == macs, (
        "every (c, o, k) has its MAC slot, c outermost, then o, then the taps"
    )


def test_a_shuffle_between_the_pointwise_layers_makes_every_output_depend_on_every_input() -> None:
    plain, mixed = (
        make_block(channels=6, mid=9, out=3, groups=3, late=True, shuffle=shuffled)
        for shuffled in (0, 3)
    )
    assert (plain.fused_inputs, mixed.fused_inputs) == (6 // 3 * 3, 6 * 3)
    assert mixed.pw2_reads == (0, 3, 6, 1, 4, 7, 2, 5, 8)


@examples(40)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 3, 5]),
    st.sampled_from([1, 2]),
    st.tuples(st.integers(3, 9), st.integers(3, 9)),
    CLIPS,
)
def test_masked_fused_sum_is_the_unfused_network(
    seed: int,
    groups: int,
    kernel: int,
    stride: int,
    size: tuple[int, int],
    clips: tuple[float, float],
) -> None:
    """The masks stand in the ReLUs' place; what they pass passes, be it negative.

    Padding contributes nothing.
    """
    rng = np.random.default_rng(seed)
    block = make_block(
        channels=2 * groups,
        mid=6 * groups,
        out=2 * groups,
        groups=groups,
        kernel=kernel,
        stride=stride,
        size=size,
    )
    one, two, three = (random_tensors(rng, layer, 0.5) for layer in block.layers)
    x = rng.normal(size=(2 * groups, *size)).astype(np.float32)
    block = dataclasses.replace(block, clips=clips)
    keep1, keep2 = (
        random_states(rng, layer, 0.5, 0.3 if end else 0.0)
        for layer, end in zip(block.layers, clips, strict=False)
    )
    h = _kept(_pointwise(one, x, groups), keep1, clips[0])
    y = _pointwise(three, _kept(_depthwise(block.dw, two, h), keep2, clips[1]), groups)
    found = fused_output(block, fuse_tensors(block, (one, two, three)), x, keep1, keep2)
    np.testing.assert_allclose(found, y, atol=1e-4)
    masks = (Mask.of(keep1, clips=clips[0] > 0), Mask.of(keep2, clips=clips[1] > 0))
    np.testing.assert_allclose(factored_output(block, (one, two, three), x, masks), y, atol=1e-4)


def _kept(pre: np.ndarray, states: np.ndarray, end: float) -> np.ndarray:
    return np.choose(states, [0 * pre, pre, 0 * pre + end])


@examples(40)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 3, 5]),
    st.sampled_from([1, 2]),
    st.tuples(st.integers(3, 9), st.integers(3, 9)),
    st.sampled_from([0, *divisors(12)]),
    CLIPS,
)
def test_masked_fused_sum_with_the_depthwise_layer_last(
    seed: int,
    groups: int,
    kernel: int,
    stride: int,
    size: tuple[int, int],
    shuffled: int,
    clips: tuple[float, float],
) -> None:
    rng = np.random.default_rng(seed)
    block = make_block(
        channels=2 * groups,
        mid=12,
        out=2 * groups,
        groups=groups,
        kernel=kernel,
        stride=stride,
        size=size,
        late=True,
        shuffle=shuffled,
    )
    one, two, three = (random_tensors(rng, layer, 0.5) for layer in block.layers)
    x = rng.normal(size=(2 * groups, *size)).astype(np.float32)
    block = dataclasses.replace(block, clips=clips)
    keep1, keep2 = (
        random_states(rng, layer, 0.5, 0.3 if end else 0.0)
        for layer, end in zip(block.layers, clips, strict=False)
    )
    hidden = _kept(_pointwise(one, x, groups), keep1, clips[0]).astype(np.float32)
    second = _pointwise(two, shuffle(hidden, shuffled), groups)
    y = _depthwise(block.dw, three, _kept(second, keep2, clips[1]))
    np.testing.assert_allclose(
        fused_output(block, fuse_tensors(block, (one, two, three)), x, keep1, keep2), y, atol=1e-4
    )


def _pointwise(one: LayerTensors, x: np.ndarray, groups: int) -> np.ndarray:
    """Written for reading: every output is a weighted sum of its group's maps."""
    each, depth = len(one.weight) // groups, one.weight.shape[1]
    maps = [
        np.tensordot(row[:, 0, 0], x[o // each * depth : o // each * depth + depth], 1)
        for o, row in enumerate(one.weight)
    ]
    return np.stack(maps) * one.scale[:, None, None] + one.shift[:, None, None]


def _depthwise(layer: Layer, one: LayerTensors, x: np.ndarray) -> np.ndarray:
    """Likewise: every output pixel is the sum over its window."""
    padded, stride, kernel = (
        np.pad(x, ((0, 0), layer.padding[:2], layer.padding[2:])),
        layer.stride_h,
        layer.kernel_h,
    )
    y = np.zeros((len(x), layer.out_h, layer.out_w))
    for p, q in itertools.product(range(layer.out_h), range(layer.out_w)):
        window = padded[:, p * stride : p * stride + kernel, q * stride : q * stride + kernel]
        y[:, p, q] = (window * one.weight[:, 0]).sum((1, 2)) * one.scale + one.shift
    return y
