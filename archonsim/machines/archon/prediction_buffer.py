"""Masks that a PE's prediction buffer cannot keep.

A PE looks a candidate's two keep bits up in its prediction buffer: keep1 of the K x K pixels of its
window and keep2 of its own pixel, for the mid channels of one group, M/G bits a pixel. In
FusioNet's first block that is 10 times 592 bits, where the buffer has 2048. The weights come in the
order input channel, output channel, tap, so a pixel's mask that was not kept is needed again for
each output channel of each input channel (own decision: a pixel stays or does not, the same ones
all the time; the mask of a pixel of the input map is read once for all PEs whose windows hold it).
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from archonsim.dataflow.tile import Tile
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.network.block import Block
from archonsim.spec.parts import WORD_BITS


def mask_bits(block: Block) -> tuple[int, int]:
    """Mask bits of all groups for a pixel of the window, and for the output pixel alone.

    One bit an activation: a PE has those that say passed, or those that say clipped in their place.
    """
    return _bits(block, (1, 1))


def _bits(block: Block, planes: tuple[int, int]) -> tuple[int, int]:
    first, second = (
        layer.out_channels * bits for layer, bits in zip(block.layers, planes, strict=False)
    )
    # Where DW comes last, both masks lie before it.
    return (first + second, 0) if block.order == "pw-pw-dw" else (first, second)


def tile_mask_bits(block: Block, tile: Tile) -> int:
    """Bits of both masks that a tile's PEs need, each once: two of what may be clipped."""
    window, own = _bits(block, block.planes)
    return tile.halo * window + tile.pixels * own


def clip_bits(block: Block, window_pixels: int, pixels: int) -> tuple[int, int]:
    """Return bits that clip terms need: those that say clipped, and others that come once more.

    Parameters
    ----------
    block : Block
    window_pixels, pixels : int
        Pixels whose bits of the window are meant, and output pixels.
    """
    first, second = (end > 0 for end in block.clips)
    window, own = _bits(block, (first, second))
    again, beside = _bits(block, (0, first))  # those of the first ReLU need the second one's passed
    return window * window_pixels + own * pixels, again * window_pixels + beside * pixels


def kept_pixels(block: Block, buffer_words: int) -> int:
    """How many pixels of its window a PE keeps masks of, a group at a time.

    The output pixel's is kept, too.
    """
    window, own = mask_bits(block)
    return max(0, min(block.taps, (buffer_words * WORD_BITS * block.groups - own) // window))


def refetched_words(block: Block, tile: Tile, spec: ArchonSpec) -> int:
    """16-bit words of masks that the prediction GLB sends again in one tile, beyond each word once.

    With all groups of a pixel in the buffer there are none. With the masks of one group at a time,
    each group comes again for each input channel; what the window has over the buffer also for each
    output channel. Clip terms come like the groups of one more input channel.
    """
    window, own = mask_bits(block)
    clips = clip_bits(block, block.taps, 1)[0]
    if block.taps * window + own + clips <= spec.pe.prediction_buffer_words * WORD_BITS:
        return 0
    channels, outs = block.in_channels // block.groups, block.out_channels // block.groups
    kept = kept_pixels(block, spec.pe.prediction_buffer_words)
    # Of the window, `kept` of K x K pixels come once, the others once an output channel.
    passes = Fraction(kept + (block.taps - kept) * outs, block.taps)
    again = tile.halo * window * (channels * passes - 1) + tile.pixels * own * (channels - 1)
    if block.clips[0]:
        again += tile.halo * block.mid_channels * (passes - 1)
    return ceil((again + clip_bits(block, tile.halo, tile.pixels)[1]) / WORD_BITS)
