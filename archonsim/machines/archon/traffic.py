"""What moves between ARCHON's array and its memories: words of packed data, and by which way."""

from __future__ import annotations

from archonsim.machines.archon.spec import ArchonSpec
from archonsim.network.block import Block
from archonsim.stats.counts import Direction, Transfer
from archonsim.vocabulary.kinds import DataKind


def words(bits: int) -> int:
    """16-bit words that hold `bits`."""
    return -(-bits // 16)


def moved(
    direction: Direction, kind: DataKind, count: int, *, on_chip: bool, buffer: str = "glb"
) -> list[Transfer]:
    """Transfers of `count` words between array and memory.

    Through an on-chip buffer, and DRAM when they do not stay.
    """
    through = [Transfer(buffer, direction, kind, count)]
    return through if on_chip else [Transfer("dram", direction, kind, count), *through]


def share(total: int, first: int, part: int, whole: int) -> int:
    """Part ``first : first + part`` of `total` cut into `whole`.

    The parts add up to `total` exactly.
    """
    return total * (first + part) // whole - total * first // whole


def masks_on_chip(block: Block, spec: ArchonSpec) -> bool:
    """Whether a block's two masks fit the prediction GLB together.

    Otherwise they go through DRAM.
    """
    bits = sum(
        planes * layer.out_channels * layer.out_h * layer.out_w
        for planes, layer in zip(block.planes, block.layers, strict=False)
    )
    return words(bits) <= spec.prediction_glb.words
