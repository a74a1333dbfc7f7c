"""Tiles and spatial mappings against brute force."""

from __future__ import annotations

import itertools
from math import prod

from hypothesis import given
from hypothesis import strategies as st

from archonsim.dataflow.spatial import RunningSums, map_layer
from archonsim.dataflow.tile import _span, output_tiles
from archonsim.machines.archon.rounds import _cuts
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from tests.examples import examples
from tests.strategies import make_block

BLOCKS = st.builds(
    make_block,
    channels=st.sampled_from([2, 6]),
    mid=st.sampled_from([4, 10, 30]),
    out=st.sampled_from([2, 8]),
    groups=st.sampled_from([1, 2]),
    size=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2, 3]),
)


@examples(60)
@given(block=BLOCKS, rows=st.integers(1, 9), cols=st.integers(1, 9))
def test_tiles_cover_each_pixel_once_and_touch_what_their_windows_touch(
    block: Block, rows: int, cols: int
) -> None:
    dw = block.dw
    seen: set[tuple[int, int]] = set()
    for tile in output_tiles(dw, rows, cols):
        pixels = set(
            itertools.product(
                range(tile.y, tile.y + tile.height), range(tile.x, tile.x + tile.width)
            )
        )
        assert not pixels & seen
        assert tile.pixels == len(pixels)
        seen |= pixels
        # The bounding rectangle of what the windows read, clipped to the map (strides beyond the
        # kernel skip pixels in it).
        ys = [p * dw.stride_h - dw.padding[0] + r for p, _ in pixels for r in range(dw.kernel_h)]
        xs = [q * dw.stride_w - dw.padding[2] + s for _, q in pixels for s in range(dw.kernel_w)]
        tall = len([y for y in range(min(ys), max(ys) + 1) if 0 <= y < dw.in_h])
        wide = len([x for x in range(min(xs), max(xs) + 1) if 0 <= x < dw.in_w])
        assert tile.halo == tall * wide
    assert seen == set(itertools.product(range(dw.out_h), range(dw.out_w)))


def test_windows_beside_the_map_touch_nothing() -> None:
    """Pixels -3 and -2, then -1 to 1, of a map of five."""
    assert _span(0, 1, 1, 3, 2, 5) == 0
    assert _span(2, 1, 1, 3, 3, 5) == 2


def brute_force(layer: Layer, rows: int, cols: int, adders: int) -> int:
    """Fewest cycles over all choices, written the long way."""
    if layer.kind == "depthwise":
        sizes, groups = (1, layer.out_channels, layer.out_h, layer.out_w), 1
    else:
        sizes = (
            layer.in_channels // layer.groups,
            layer.out_channels // layer.groups,
            layer.out_h,
            layer.out_w,
        )
        groups = layer.groups
    best = None
    for x, y in itertools.product(range(4), repeat=2):
        for share in itertools.product(range(1, adders + 1), repeat=4):
            if share[0] * share[1] * share[2] * share[3] > adders:
                continue
            cycles = groups * layer.kernel_h * layer.kernel_w
            for loop, size in enumerate(sizes):
                extent = share[loop] * (rows if loop == x else 1) * (cols if loop == y else 1)
                cycles *= -(-size // extent)
            best = cycles if best is None else min(best, cycles)
    assert best is not None
    return best


@examples(25)
@given(block=BLOCKS, rows=st.integers(1, 5), cols=st.integers(1, 5), adders=st.integers(1, 6))
def test_mapping_is_the_optimum_and_covers_every_channel(
    block: Block, rows: int, cols: int, adders: int
) -> None:
    for layer in block.layers:
        mapping = map_layer(layer, rows, cols, adders)
        assert mapping.cycles == brute_force(layer, rows, cols, adders)
        assert mapping.cycles * rows * cols * adders >= layer.macs
        per_group = (
            layer.out_channels if layer.kind == "depthwise" else layer.out_channels // layer.groups
        )
        cuts = list(_cuts(mapping, per_group))
        assert sum(units for _, units, _ in cuts) == mapping.units
        assert sum(channels for _, _, channels in cuts) == layer.out_channels


@examples(25)
@given(
    block=BLOCKS,
    rows=st.integers(1, 4),
    cols=st.integers(1, 4),
    adders=st.integers(1, 6),
    registers=st.integers(0, 60),
    finish=st.integers(0, 4),
    each=st.integers(0, 2),
)
def test_running_sums_are_mapped_for_the_fewest_cycles(
    block: Block, rows: int, cols: int, adders: int, registers: int, finish: int, each: int
) -> None:
    """Against a loop over all choices; free sums are the limit of many registers."""
    sums = RunningSums(8, registers, 2, finish, each)
    for layer in block.layers:
        mapping = map_layer(layer, rows, cols, adders, sums)
        assert mapping.cycles == brute_force_with_sums(layer, rows, cols, adders, sums)
        assert prod(mapping.array(rows, cols, adders)) <= rows * cols
        free = map_layer(layer, rows, cols, adders, RunningSums(8, 8 * adders, 2))
        assert free.cycles == map_layer(layer, rows, cols, adders).cycles <= mapping.cycles


def brute_force_with_sums(
    layer: Layer, rows: int, cols: int, adders: int, sums: RunningSums
) -> int:
    sizes = [layer.in_channels, layer.out_channels, layer.out_h, layer.out_w]
    groups = layer.groups
    if layer.kind == "depthwise":
        sizes[0], groups = 1, 1
    else:
        sizes[:2] = [size // groups for size in sizes[:2]]
    found = []
    for x, y in itertools.product(range(4), repeat=2):
        for share in itertools.product(range(1, adders + 1), repeat=4):
            if prod(share) > adders:
                continue
            rounds = [
                -(-size // (part * (rows if loop == x else 1) * (cols if loop == y else 1)))
                for loop, (size, part) in enumerate(zip(sizes, share, strict=True))
            ]
            at_once = prod(share[1:])
            fits = at_once * sums.bits <= sums.register_bits
            step = 1 if fits else max(1, -(-at_once // sums.ports))
            taps = layer.kernel_h * layer.kernel_w
            one = rounds[0] * taps * step + sums.finish + sums.finish_each * at_once
            found.append(groups * prod(rounds[1:]) * one)
    return min(found)
