"""What must fit the GLB.

Maps that stay on chip, and the buffers of tiles whose maps pass through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from archonsim.engine.contract import FixedTile, Phase, Tile
from archonsim.errors import SpecError
from archonsim.machines.archon.residency import Step
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.stats.counts import Transfer

#: Data that pass through the GLB on their way from and to DRAM; weights bypass it, masks have the
#: prediction GLB.
THROUGH_GLB = ("input", "output", "map", "psum")


def _words(transfers: Iterable[Transfer]) -> int:
    return sum(
        one.words for one in transfers if one.component == "dram" and one.kind in THROUGH_GLB
    )


def buffered_words(tiles: Sequence[Tile], spec: ArchonSpec) -> int:
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
    """Whether the tiles' buffers fit beside the maps that stay."""
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
