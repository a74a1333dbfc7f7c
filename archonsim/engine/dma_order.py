"""The DMA's list: in which order one phase's data move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from archonsim.engine.contract import Phase

#: The first tile's loads are cut into pieces of about this many words, so that DRAM and on-chip
#: ports overlap.
FIRST_PIECE_WORDS = 512


@dataclass(frozen=True, slots=True)
class Request:
    """One entry of the DMA's list: a chunk of a stream, or a piece of loads or stores."""

    what: Literal["chunk", "load", "store"]
    tile: int
    piece: int
    of: int

    @property
    def is_first(self) -> bool:
        """Whether this is the first piece."""
        return self.piece == 0

    @property
    def is_last(self) -> bool:
        """Whether this is the last piece."""
        return self.piece + 1 == self.of

    def share(self, words: int, grain: int = 1) -> int:
        """Words of this piece when `words` are cut evenly.

        All pieces but the last are multiples of `grain`.
        """

        def before(piece: int) -> int:
            return words if piece == self.of else words * piece // self.of // grain * grain

        return before(self.piece + 1) - before(self.piece)


def dma_order(phase: Phase, stream_chunks: int, lag: int = 1) -> Iterator[Request]:
    """Yield the DMA's requests of a phase in their fixed order.

    Pieces of loads and stores wait for earlier tiles to end; the first `stream_chunks` chunks of a
    tile, which need not, go ahead of them. A tile's stores come while the tile `lag` behind it
    runs, what is left after the last tile. The longer the lag, the further may loads run ahead; it
    takes one buffer more than the lag.
    """
    last = len(phase.tiles) - 1
    first_pieces = max(1, sum(load.words for load in phase.tiles[0].loads) // FIRST_PIECE_WORDS)
    for piece in range(first_pieces):
        yield Request("load", 0, piece, first_pieces)
    for index, tile in enumerate(phase.tiles):
        count = len(tile.chunks)
        lead = min(stream_chunks, count)
        pieces = count - lead + 1
        for chunk in range(count):
            yield Request("chunk", index, chunk, count)
            piece = chunk - lead + 1
            if piece >= 0 and index >= lag:
                yield Request("store", index - lag, piece, pieces)
            if piece >= 0 and index < last:
                yield Request("load", index + 1, piece, pieces)
    for index in range(max(0, last - lag + 1), last + 1):
        yield Request("store", index, 0, 1)
