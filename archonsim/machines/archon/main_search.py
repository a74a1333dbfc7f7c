"""The mapping of a block's main phase that takes the fewest cycles, found by exhaustive search.

Cost of a mapping (own decision): the cycles of all tiles, as if in each all PEs had a pixel. A step
takes its beats; what it fetches passes its port, the prediction GLB's for masks, the GLB's for
inputs and partial sums, while the steps before it run where the scratchpad holds two tiles of the
operand, and after them where it holds one. What comes before the very first beat has the time in
which the first weights come from DRAM (`HEAD_CYCLES`, whatever the DRAM, so that a faster one never
asks for another mapping). Stalls on full FIFOs depend on masks and are not in it. Equal cycles:
fewest words, then the first in the order of the search.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.machines.archon.main_cost_kernel import (
    OF_INPUT,
    OF_TAP,
    OWN,
    following_steps,
    operand_cost,
)
from archonsim.machines.archon.main_mapping import (
    DIMENSIONS,
    OPERANDS,
    Dimension,
    Extents,
    GroupPlaces,
    Ints,
    MainMapping,
    Operand,
    orders,
)
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.spec.parts import WORD_BITS

#: An operand's level in a nest, and how much of its next tile is held ahead.
_Held = tuple[int, int]
#: Cycles and words, as in `MainCost`.
_Pair = tuple[int, int]

#: Cycles before a phase's first beat (own decision): 100 ns of latency at 500 MHz, and a chunk.
HEAD_CYCLES = 64


@dataclass(frozen=True, slots=True)
class TilePixels:
    """Pixels of the largest output tile, and how many tiles there are.

    Attributes
    ----------
    own, halo : int
        The tile's own pixels, and those of the input map that its windows touch.
    tiles : int
    """

    own: int
    halo: int
    tiles: int = 1


@dataclass(frozen=True, slots=True, order=True)
class MainCost:
    """What a mapping costs in all tiles of output pixels.

    Attributes
    ----------
    cycles : int
        Of the array's clock; FIFO stalls and DRAM apart.
    words : int
        16-bit words through the read ports of prediction GLB and GLB.
    """

    cycles: int
    words: int

    def __add__(self, other: MainCost) -> MainCost:
        return MainCost(self.cycles + other.cycles, self.words + other.words)


@dataclass(frozen=True, slots=True)
class _LoopNest:
    """The loops of a mapping, before it is settled which of them each operand's tile spans.

    Attributes
    ----------
    order : tuple of {"g", "o", "k", "c"}
    blocks : (int, int)
        Output and input channels of a step.
    streamed : bool
        Whether every step fetches its masks.
    """

    order: tuple[Dimension, ...]
    blocks: tuple[int, int]
    streamed: bool = False

    def mapping(self, held: Sequence[_Held]) -> MainMapping:
        """Return the mapping that holds keep1, keep2, input and psum like this."""
        first, second, third, fourth = held
        return MainMapping(
            order=self.order,
            out_block=self.blocks[0],
            channel_block=self.blocks[1],
            levels=(first[0], second[0], third[0], fourth[0]),
            ahead=(first[1], second[1], third[1], fourth[1]),
            streamed=(self.streamed, self.streamed, False, False),
        )


def fetch_words(
    extents: Extents, mapping: MainMapping, operand: Operand, pixels: TilePixels, *, links: bool
) -> int:
    """Return the 16-bit words that one tile of an operand takes from its buffer, for all PEs.

    Parameters
    ----------
    extents : Extents
    mapping : MainMapping
    operand : {"keep1", "keep2", "input", "psum"}
    pixels : TilePixels
    links : bool
        Whether PEs hand the masks of their windows on to their neighbours (``pe.mask_links``); a
        tap then brings the masks of one column of new pixels, about the square root of a tile.
    """
    tile = extents.tile_units(operand, mapping)
    return _words(extents, operand, tile, pixels, links=links)


def _words(
    extents: Extents, operand: Operand, tile: tuple[int, bool], pixels: TilePixels, *, links: bool
) -> int:
    """Return `fetch_words` of a tile of so many units, of a whole window or of one tap."""
    units, window = tile
    if window:  # neighbours share the pixels of the input map, which are read once
        count = units // extents.taps * pixels.halo
    elif links and operand in ("keep1", "keep2") and "k" in extents.relevant(operand):
        count = units * min(pixels.own, -(-pixels.halo // extents.taps))
    else:
        count = units * pixels.own
    return -(-count // WORD_BITS) if operand in ("keep1", "keep2") else count


def scratchpad_units(spec: ArchonSpec, operand: Operand) -> int:
    """Return what a scratchpad holds: bits of masks, 16-bit words of inputs and sums."""
    if operand in ("keep1", "keep2"):
        return spec.pe.prediction_buffer_words * WORD_BITS
    return spec.pe.main_ifmap_words if operand == "input" else spec.pe.psum_words


def block_sizes(count: int, pad_words: int) -> list[int]:
    """Return the block sizes that a search tries: as large as the pad, half of it, and one channel.

    A smaller block only fetches more often; half of the pad leaves room for the next tile, and one
    channel for all taps of its window.
    """
    limits = (pad_words, pad_words // 2, 1)
    counts = dict.fromkeys(-(-count // max(1, min(count, limit))) for limit in limits)
    return list(dict.fromkeys(-(-count // blocks) for blocks in counts))


class MainSearch:
    """The search for one block on one machine.

    Parameters
    ----------
    places : GroupPlaces
    beats : (N,) int64
        Beats of each group of the block; 0 for a group that is not sent.
    spec : ArchonSpec
    pixels : TilePixels
        Of a tile whose PEs all have a pixel.
    """

    def __init__(
        self, places: GroupPlaces, beats: Ints, spec: ArchonSpec, pixels: TilePixels
    ) -> None:
        self._extents, self._spec, self._pixels = places.extents, spec, pixels
        extents = places.extents
        # Bias groups stand behind the last tap and the last channel; b1's of late blocks in a group
        # of their own.
        shape = (
            extents.groups + extents.late,
            extents.outs,
            extents.taps + 1,
            extents.channels + 1,
        )
        if extents.late:
            shape = (shape[0], int(places.o.max(initial=0)) + 1, *shape[2:])
        at = (places.g, places.o, places.k, np.where(places.c < 0, extents.channels, places.c))
        self._beats = np.zeros(shape, np.int64)
        np.add.at(self._beats, at, beats)
        self._sends = np.zeros(shape, np.uint8)
        self._sends[tuple(axis[beats > 0] for axis in at)] = OF_INPUT
        self._sends[..., extents.channels] = np.minimum(self._sends[..., extents.channels], OF_TAP)
        self._sends[:, :, extents.taps] = np.minimum(self._sends[:, :, extents.taps], OWN)
        self._total = int(beats.sum()) * pixels.tiles
        self._reduced: dict[tuple[int, int], tuple[Ints, NDArray[np.uint8]]] = {}
        self._walked: (
            tuple[tuple[tuple[Dimension, ...], tuple[int, int]], tuple[Ints, Ints, Ints, Ints]]
            | None
        ) = None

    def best(self) -> tuple[MainMapping, MainCost]:
        """Return the mapping of the fewest cycles, then words, and its cost.

        All orders, block sizes, levels and shares of the prediction buffer are tried. What an
        operand's fetches expose does not depend on the other operands, so each is settled alone but
        for the two that share a buffer.
        """
        extents, spec = self._extents, self._spec
        outs = block_sizes(extents.outs, scratchpad_units(spec, "psum"))
        channels = block_sizes(extents.channels, scratchpad_units(spec, "input"))
        found: tuple[MainMapping, _Pair] | None = None
        for order, *blocks in itertools.product(orders(), outs, channels):
            nest = _LoopNest(order, (blocks[0], blocks[1]))
            one = self._nest(nest, None if found is None else found[1])
            if one is not None and (found is None or one[1] < found[1]):
                found = one
        assert found is not None  # nothing limits the first nest
        return found[0], MainCost(*found[1])

    def cost(self, mapping: MainMapping) -> MainCost:
        """Return what a mapping costs."""
        total = MainCost(self._total, 0)
        blocks = mapping.out_block, mapping.channel_block
        for at, operand in enumerate(OPERANDS):
            nest = _LoopNest(mapping.order, blocks, mapping.streamed[at])
            tile = self._extents.tile_units(operand, mapping)
            ((cycles, words),) = self._costs(
                nest, operand, mapping.levels[at], tile, [mapping.ahead[at]]
            )
            total += MainCost(cycles, words)
        return total

    def _nest(self, nest: _LoopNest, limit: _Pair | None) -> tuple[MainMapping, _Pair] | None:
        """Return the best way to hold operands in a nest; None if that is not below a limit."""
        nest, masks, (cycles, words) = self._masks(nest)
        cycles += self._total
        held = list(masks)
        for operand in ("input", "psum"):
            if limit is not None and (cycles, words) >= limit:
                return None
            one, cost = self._alone(nest, operand)
            held.append(one)
            cycles, words = cycles + cost[0], words + cost[1]
        return nest.mapping(held), (cycles, words)

    def _alone(self, nest: _LoopNest, operand: Operand) -> tuple[_Held, _Pair]:
        """Settle an operand in a scratchpad of its own: how large a tile, the rest ahead."""
        room = scratchpad_units(self._spec, operand)
        found: list[tuple[_Pair, _Held]] = []
        for level, tile in self._levels(nest, operand):
            units = tile[0]
            if units <= room:
                ahead = min(units, room - units)
                found.append((self._costs(nest, operand, level, tile, [ahead])[0], (level, ahead)))
        cost, one = min(found, key=lambda one: one[0])
        return one, cost

    def _masks(self, nest: _LoopNest) -> tuple[_LoopNest, tuple[_Held, _Held], _Pair]:
        """Settle keep1 and keep2: what the prediction buffer has left goes to one, then the other.

        Masks of a single step that are larger than the buffer are streamed: every step fetches
        them, and a step is then a pair of an output and an input channel.

        Returns
        -------
        nest : _LoopNest
            The one given, or the one of streamed masks.
        held : two of (level, ahead)
        cost : (cycles, words)
        """
        room = scratchpad_units(self._spec, "keep1")
        levels1, levels2 = self._levels(nest, "keep1"), self._levels(nest, "keep2")
        ways: list[tuple[_Held, _Held]] = []
        for (level1, (units1, _)), (level2, (units2, _)) in itertools.product(levels1, levels2):
            left = room - units1 - units2
            if left >= 0:
                ahead1, ahead2 = min(units1, left), min(units2, left)
                ways.append(((level1, ahead1), (level2, min(units2, left - ahead1))))
                ways.append(((level1, min(units1, left - ahead2)), (level2, ahead2)))
        if not ways:
            nest = _LoopNest(nest.order, (1, 1), streamed=True)
            cycles = words = 0
            for operand in ("keep1", "keep2"):
                level, tile = self._levels(nest, operand)[0]
                ((more, moved),) = self._costs(nest, operand, level, tile, [0])
                cycles, words = cycles + more, words + moved
            return nest, ((4, 0), (4, 0)), (cycles, words)
        firsts = self._ways(nest, "keep1", levels1, [way[0] for way in ways])
        seconds = self._ways(nest, "keep2", levels2, [way[1] for way in ways])

        def cost(way: tuple[_Held, _Held]) -> _Pair:
            first, second = firsts[way[0]], seconds[way[1]]
            return first[0] + second[0], first[1] + second[1]

        best = min(ways, key=cost)
        return nest, best, cost(best)

    def _ways(
        self,
        nest: _LoopNest,
        operand: Operand,
        levels: Sequence[tuple[int, tuple[int, bool]]],
        ways: Sequence[_Held],
    ) -> dict[_Held, _Pair]:
        """Return what an operand costs at some levels with so much of its next tile ahead."""
        by_level: dict[int, list[int]] = {}
        for level, ahead in dict.fromkeys(ways):
            by_level.setdefault(level, []).append(ahead)
        tiles = dict(levels)
        return {
            (level, ahead): cost
            for level, aheads in by_level.items()
            for ahead, cost in zip(
                aheads, self._costs(nest, operand, level, tiles[level], aheads), strict=True
            )
        }

    def _levels(self, nest: _LoopNest, operand: Operand) -> list[tuple[int, tuple[int, bool]]]:
        """Return an operand's levels and its tile there, innermost first; equal tiles once."""
        found: dict[tuple[int, bool], int] = {}
        for level in range(4, -1, -1):
            tile = self._extents.tile_at(operand, nest.order, level, nest.blocks)
            found.setdefault(tile, level)
        return [(level, tile) for tile, level in found.items()]

    def _costs(
        self,
        nest: _LoopNest,
        operand: Operand,
        level: int,
        tile: tuple[int, bool],
        aheads: Sequence[int],
    ) -> list[_Pair]:
        """Return what an operand's fetches cost, for several amounts that are held ahead."""
        extents, spec = self._extents, self._spec
        words = _words(extents, operand, tile, self._pixels, links=spec.pe.mask_links)
        buffer = spec.prediction_glb if operand in ("keep1", "keep2") else spec.glb
        # Whatever its model: a what-if whose port takes no time keeps the machine's mapping.
        whole = -(-words // buffer.read_words_per_cycle)
        hidden = [whole * ahead // tile[0] for ahead in aheads]
        outer, relevant = nest.order[:level], extents.relevant(operand)
        exposed, count = operand_cost(
            *self._walk(nest),
            OPERANDS.index(operand),
            np.array([name in outer and name in relevant for name in DIMENSIONS]),
            np.array(
                [
                    nest.streamed,
                    extents.groups if extents.late else 0,
                    self._pixels.tiles,
                    HEAD_CYCLES,
                ]
            ),
            np.array([(ahead, whole - ahead) for ahead in hidden], np.int64),
        )
        return [(cycles, count * words) for cycles in exposed.tolist()]

    def _walk(self, nest: _LoopNest) -> tuple[Ints, Ints, Ints, Ints]:
        """Return a nest's steps in the order of its loops; those of the last nest are kept."""
        key = nest.order, nest.blocks
        if self._walked is None or self._walked[0] != key:
            beats, sends = self._blocks(*nest.blocks)
            loops = np.array([DIMENSIONS.index(name) for name in nest.order])
            before = np.append(0, np.cumsum(beats.transpose(loops)))
            following = following_steps(sends.transpose(loops).ravel())
            self._walked = key, (before, following, np.array(beats.shape), loops)
        return self._walked[1]

    def _blocks(self, out_block: int, channel_block: int) -> tuple[Ints, NDArray[np.uint8]]:
        """Return beats, and what is sent, by (g, block of o, k, block of c)."""
        key = (out_block, channel_block)
        if key not in self._reduced:
            outs = np.arange(0, self._beats.shape[1], out_block)
            channels = np.append(
                np.arange(0, self._extents.channels, channel_block), self._extents.channels
            )
            beats = np.add.reduceat(np.add.reduceat(self._beats, outs, 1), channels, 3)
            sends = np.maximum.reduceat(np.maximum.reduceat(self._sends, outs, 1), channels, 3)
            self._reduced[key] = beats, sends
        return self._reduced[key]
