"""Which feature maps stay on chip.

A map stays in the GLB when it fits there together with the map that its producer reads, and with
the map that its consumer makes; otherwise it goes through DRAM (own decision: all or nothing, no
partial maps). The image comes from DRAM, the result goes there.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload


@dataclass(frozen=True, slots=True)
class Step:
    """Something that takes time: a layer, or a block with predictors.

    Attributes
    ----------
    item : Layer or Block
    block : int or None
        Number of the block that a layer belongs to.
    in_words, out_words : int
        16-bit words of the maps that it reads and makes.
    input_on_chip, output_on_chip : bool
    """

    item: Layer | Block
    block: int | None
    in_words: int
    out_words: int
    input_on_chip: bool
    output_on_chip: bool

    def free_words(self, glb_words: int) -> int:
        """GLB words that neither map takes."""
        return glb_words - self.in_words * self.input_on_chip - self.out_words * self.output_on_chip


def _timed_items(workload: Workload) -> list[tuple[Layer | Block, int | None]]:
    items: list[tuple[Layer | Block, int | None]] = []
    for item in workload.items:
        if isinstance(item, Layer):
            if item.is_compute:
                items.append((item, None))
        elif item.predicted:
            items.append((item, item.index))
        else:
            items += [(layer, item.index) for layer in item.layers]
    return items


def steps(workload: Workload, glb_words: int) -> list[Step]:
    """List what a workload runs on ARCHON, with the place of every map."""
    items = _timed_items(workload)
    sizes: list[tuple[int, int]] = []
    for item, _ in items:
        first, last = (item.layers[0], item.layers[-1]) if isinstance(item, Block) else (item, item)
        sizes.append(
            (
                first.in_channels * first.in_h * first.in_w,
                last.out_channels * last.out_h * last.out_w,
            )
        )
    fits = [before + after <= glb_words for before, after in sizes]
    between = [False, *(a and b for a, b in itertools.pairwise(fits)), False]
    return [
        Step(item, block, before, after, between[i], between[i + 1])
        for i, ((item, block), (before, after)) in enumerate(zip(items, sizes, strict=True))
    ]
