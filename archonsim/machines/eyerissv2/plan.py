"""How a layer is laid on Eyeriss v2's array: the quickest of all ways for a dense layer.

Rows stay whole in a PE, as in any row-stationary array. A PE takes some input channels of one
filter row, as many as its input scratchpad has room for, and some output channels. What is left of
the layer is spread over PEs along three axes: filter tiles; pieces of a sum, whose PEs add up from
neighbour to neighbour; and output rows. A mapping does not depend on where zeros are (own
decision), so that it is the same for every image.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from archonsim.machines.eyerissv2.spec import EyerissV2Spec
from archonsim.network.layer import Layer
from archonsim.pe.csc_kernel import CscPlan
from archonsim.spec.parts import WORD_BITS


def _tiles(filters: int, most: int) -> list[int]:
    """Sizes of filter tiles that are tried: those of which no smaller one needs as few tiles."""
    most = min(filters, most)
    return sorted({-(-filters // -(-filters // size)) for size in range(1, most + 1)})


def _cost(plan: CscPlan, lanes: int, kernel_w: int, psum_rate: int) -> int:
    """Cycles of a dense layer: of its PEs, or of all clusters' routers of sums if those take more.

    Inputs and weights pass routers, too, but the sums of steps that follow each other are what a
    mapping has in its hands.
    """
    beats = -(-plan.tile // lanes)
    moved = plan.groups * plan.filters * plan.out_h * plan.out_w * (2 * plan.row_steps - 1)
    return max(plan.passes * plan.out_w * plan.chunk * kernel_w * beats, -(-moved // psum_rate))


def _across(plan: CscPlan, pes: int) -> CscPlan:
    """Spread a layer over PEs in the fewest passes; of ties, with the fewest steps of its sums."""
    tiles, items = plan.filter_tiles, plan.row_items
    along_a = np.arange(1, min(tiles, pes) + 1)
    steps_a = -(-tiles // along_a)
    best = (plan.filter_tiles * plan.row_items * plan.out_h + 1, 0, 0)
    chosen = plan
    # Of several widths that need as many steps, the narrowest leaves most PEs to the other axes.
    for a in along_a[np.unique(steps_a, return_index=True)[1]].tolist():
        along_b = np.arange(1, min(items, pes // a) + 1)
        steps_b = -(-items // along_b)
        for b in along_b[np.unique(steps_b, return_index=True)[1]].tolist():
            one = replace(
                plan,
                across_filters=a,
                across_rows=b,
                across_outputs=min(plan.out_h, pes // (a * b)),
            )
            rank = (one.passes, one.row_steps, -a)
            if rank < best:
                best, chosen = rank, one
    return chosen


def _strips(plan: CscPlan, spec: EyerissV2Spec) -> int:
    """Runs of output rows whose partial sums fit the GLB while later pieces are added to them."""
    if plan.row_steps == 1:
        return 1
    channels = min(plan.across_filters * plan.tile, plan.groups * plan.filters)
    bits = channels * plan.out_h * plan.out_w * spec.psum_bits
    room = max(1, spec.glb.words - spec.input_words) * WORD_BITS
    return min(plan.output_steps, -(-bits // room))


@lru_cache(maxsize=4096)
def _best(
    shape: tuple[int, int, int, int, int, int, int, int], pe: tuple[int, int, int, int, int, int]
) -> CscPlan:
    out_h, out_w, stride_h, kernel_h, kernel_w, channels, filters, groups = shape
    pes, lanes, input_values, weight_values, psum_values, psum_rate = pe
    found = []
    for tile in _tiles(filters, psum_values):
        room = min(input_values // kernel_w, weight_values // (kernel_w * tile))
        most = min(channels, max(1, room))
        if tile > 1 and room < 1:
            continue
        plan = CscPlan(
            out_h=out_h,
            out_w=out_w,
            stride_h=stride_h,
            kernel_h=kernel_h,
            channels=channels,
            chunk=-(-channels // -(-channels // most)),
            filters=filters,
            tile=tile,
            groups=groups,
            across_filters=1,
            across_rows=1,
            across_outputs=1,
            strips=1,
            cluster=1,
            input_rate=1,
            weight_rate=1,
            psum_rate=1,
        )
        found.append(_across(plan, pes))
    return min(
        found, key=lambda one: (_cost(one, lanes, kernel_w, psum_rate), one.row_steps, -one.tile)
    )


def plan_layer(layer: Layer, spec: EyerissV2Spec) -> CscPlan:
    """Lay a layer on the array.

    Parameters
    ----------
    layer : Layer
    spec : EyerissV2Spec
    """
    pe, cluster = spec.pe, spec.cluster
    best = _best(
        (
            *(layer.out_h, layer.out_w, layer.stride_h, layer.kernel_h, layer.kernel_w),
            *(layer.in_channels // layer.groups, layer.out_channels // layer.groups),
            layer.groups,
        ),
        (
            *(pe.count, pe.products_per_cycle, pe.input_values, pe.weight_values, pe.psum_values),
            cluster.psum_values_per_cycle * -(-pe.count // cluster.count),
        ),
    )
    return replace(
        best,
        strips=_strips(best, spec),
        cluster=cluster.count,
        input_rate=cluster.input_values_per_cycle,
        weight_rate=cluster.weight_values_per_cycle,
        psum_rate=cluster.psum_values_per_cycle,
    )
