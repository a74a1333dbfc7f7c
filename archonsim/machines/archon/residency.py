"""Maps that stay in the GLB, and buffers that must fit with them.

A map stays in the GLB when it fits there together with the map that its producer reads, and with
the map that its consumer makes; otherwise it goes through DRAM (own decision: all or nothing, no
partial maps). The image comes from DRAM, the result goes there. Maps that pass through take the
buffers of tiles.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from archonsim.engine.contract import FixedTile, Phase, TileData
from archonsim.errors import SpecError
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.stats.counts import Transfer

#: Data that pass through the GLB on their way from and to DRAM; weights bypass it, masks have the
#: prediction GLB.
THROUGH_GLB = ("input", "output", "map", "psum")


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
    both = [before + after <= glb_words for before, after in sizes]
    between = [False, *(a and b for a, b in itertools.pairwise(both)), False]
    return [
        Step(item, block, before, after, between[i], between[i + 1])
        for i, ((item, block), (before, after)) in enumerate(zip(items, sizes, strict=True))
    ]


def _words(transfers: Iterable[Transfer]) -> int:
    return sum(
        one.words for one in transfers if one.component == "dram" and one.kind in THROUGH_GLB
    )


def buffered_words(tiles: Sequence[TileData], spec: ArchonSpec) -> int:
    """GLB words that the buffers of a phase's tiles take.

    `dma.tile_buffers` times the largest tile's inputs and results.

    An unlimited DRAM gives and takes data in the cycle in which they are needed: nothing waits in
    buffers.
    """
    if spec.dram.model == "unlimited":
        return 0
    return spec.dma.tile_buffers * (
        max(_words(tile.loads) for tile in tiles) + max(_words(tile.stores) for tile in tiles)
    )


def fits(phase: Phase, step: Step, spec: ArchonSpec) -> bool:
    """Whether the tiles' buffers fit together with the resident maps."""
    return buffered_words(phase.tiles, spec) <= step.free_words(spec.glb.words)


def fitting(phase: Phase, step: Step, spec: ArchonSpec) -> Phase:
    """Split a phase's tiles, which take a fixed time, until their buffers fit the GLB.

    Raises
    ------
    SpecError
        Tiles of a single cycle do not fit, either.
    """
    tiles, parts = [tile for tile in phase.tiles if isinstance(tile, FixedTile)], 1
    longest = max(tile.cycles for tile in tiles)
    while not fits(phase, step, spec) and parts < longest:
        parts = min(2 * parts, longest)
        split = [piece for tile in tiles for piece in tile.split(parts)]
        phase = replace(phase, tiles=split, stream_from=[phase.stream_from[0]] * len(split))
    check_capacity(phase, step, spec)
    return phase


def check_capacity(phase: Phase, step: Step, spec: ArchonSpec) -> None:
    """Refuse a phase whose tiles do not fit.

    Raises
    ------
    SpecError
        With the numbers.
    """
    if not fits(phase, step, spec):
        need, free = buffered_words(phase.tiles, spec), step.free_words(spec.glb.words)
        raise SpecError(
            f"{step.item.name}, {phase.name}: {spec.dma.tile_buffers} buffers for a tile's inputs"
            f" and results take {need} words, and {free} of the GLB's {spec.glb.words} are free;"
            f" make glb.words at least {spec.glb.words - free + need}"
        )
