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
from dataclasses import dataclass, replace

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
    units, window = extents.tile_units(operand, mapping)
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
            tuple[tuple[tuple[Dimension, ...], int, int], tuple[Ints, Ints, Ints, Ints]] | None
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
        found: tuple[MainMapping, MainCost] | None = None
        for nest in itertools.product(orders(), outs, channels):
            one = self._nest(*nest, None if found is None else found[1])
            if one is not None and (found is None or one[1] < found[1]):
                found = one
        assert found is not None  # nothing limits the first nest
        return found

    def cost(self, mapping: MainMapping) -> MainCost:
        """Return what a mapping costs."""
        total = MainCost(self._total, 0)
        for at, operand in enumerate(OPERANDS):
            (one,) = self._costs(mapping, operand, [mapping.ahead[at]])
            total += one
        return total

    def _nest(
        self,
        order: tuple[Dimension, ...],
        out_block: int,
        channel_block: int,
        limit: MainCost | None,
    ) -> tuple[MainMapping, MainCost] | None:
        """Return the best way to hold operands in a nest; None if that is not below a limit."""
        base = MainMapping(
            order=order,
            out_block=out_block,
            channel_block=channel_block,
            levels=(4, 4, 4, 4),
            ahead=(0, 0, 0, 0),
        )
        chosen, cost = self._masks(base)
        total = MainCost(self._total, 0) + cost
        for operand in ("input", "psum"):
            if limit is not None and total >= limit:
                return None
            chosen, cost = self._alone(chosen, operand)
            total += cost
        return chosen, total

    def _alone(self, mapping: MainMapping, operand: Operand) -> tuple[MainMapping, MainCost]:
        """Settle an operand in a scratchpad of its own: how large a tile, the rest ahead."""
        room = scratchpad_units(self._spec, operand)
        found: list[tuple[MainCost, MainMapping]] = []
        for level, units in self._levels(mapping, operand):
            if units <= room:
                one = _at(mapping, operand, level, min(units, room - units))
                found.append((self._costs(one, operand, [one.ahead_of(operand)])[0], one))
        cost, one = min(found, key=lambda one: one[0])
        return one, cost

    def _masks(self, mapping: MainMapping) -> tuple[MainMapping, MainCost]:
        """Settle keep1 and keep2: what the prediction buffer has left goes to one, then the other.

        Masks of a single step that are larger than the buffer are streamed: every step fetches
        them, and a step is then a pair of an output and an input channel.
        """
        room = scratchpad_units(self._spec, "keep1")
        ways: list[tuple[tuple[int, int], tuple[int, int]]] = []  # (level, ahead) of both masks
        for (level1, units1), (level2, units2) in itertools.product(
            self._levels(mapping, "keep1"), self._levels(mapping, "keep2")
        ):
            left = room - units1 - units2
            if left >= 0:
                ahead1, ahead2 = min(units1, left), min(units2, left)
                ways.append(((level1, ahead1), (level2, min(units2, left - ahead1))))
                ways.append(((level1, min(units1, left - ahead2)), (level2, ahead2)))
        if not ways:
            streamed = replace(
                mapping, out_block=1, channel_block=1, streamed=(True, True, False, False)
            )
            first, second = (self._costs(streamed, name, [0])[0] for name in ("keep1", "keep2"))
            return streamed, first + second
        firsts = self._ways(mapping, "keep1", [way[0] for way in ways])
        seconds = self._ways(mapping, "keep2", [way[1] for way in ways])
        cost, (one, two) = min(
            ((firsts[way[0]] + seconds[way[1]], way) for way in ways), key=lambda found: found[0]
        )
        return _at(_at(mapping, "keep1", *one), "keep2", *two), cost

    def _ways(
        self, mapping: MainMapping, operand: Operand, ways: Sequence[tuple[int, int]]
    ) -> dict[tuple[int, int], MainCost]:
        """Return what an operand costs at some levels with so much of its next tile ahead."""
        by_level: dict[int, list[int]] = {}
        for level, ahead in dict.fromkeys(ways):
            by_level.setdefault(level, []).append(ahead)
        return {
            (level, ahead): cost
            for level, aheads in by_level.items()
            for ahead, cost in zip(
                aheads,
                self._costs(_at(mapping, operand, level, 0), operand, aheads),
                strict=True,
            )
        }

    def _levels(self, mapping: MainMapping, operand: Operand) -> list[tuple[int, int]]:
        """Return an operand's levels and the units of its tile there; equal tiles once."""
        found: dict[tuple[int, bool], int] = {}
        for level in range(4, -1, -1):
            one = _at(mapping, operand, level, 0)
            found.setdefault(self._extents.tile_units(operand, one), level)
        return [(level, units) for (units, _), level in found.items()]

    def _costs(
        self, mapping: MainMapping, operand: Operand, aheads: Sequence[int]
    ) -> list[MainCost]:
        """Return what an operand's fetches cost, for several amounts that are held ahead."""
        extents, spec = self._extents, self._spec
        words = fetch_words(extents, mapping, operand, self._pixels, links=spec.pe.mask_links)
        buffer = spec.prediction_glb if operand in ("keep1", "keep2") else spec.glb
        # Whatever its model: a what-if whose port takes no time keeps the machine's mapping.
        whole = -(-words // buffer.read_words_per_cycle)
        units = extents.tile_units(operand, mapping)[0]
        hidden = [whole * ahead // units for ahead in aheads]
        outer = mapping.order[: mapping.levels[OPERANDS.index(operand)]]
        moving = [name in outer and name in extents.relevant(operand) for name in DIMENSIONS]
        exposed, count = operand_cost(
            *self._walk(mapping.order, mapping.out_block, mapping.channel_block),
            OPERANDS.index(operand),
            np.array(moving),
            np.array(
                [
                    mapping.streamed[OPERANDS.index(operand)],
                    extents.groups if extents.late else 0,
                    self._pixels.tiles,
                    HEAD_CYCLES,
                ]
            ),
            np.array([(ahead, whole - ahead) for ahead in hidden], np.int64),
        )
        return [MainCost(int(cycles), int(count) * words) for cycles in exposed]

    def _walk(
        self, order: tuple[Dimension, ...], out_block: int, channel_block: int
    ) -> tuple[Ints, Ints, Ints, Ints]:
        """Return a nest's steps in the order of its loops; those of the last nest are kept."""
        key = (order, out_block, channel_block)
        if self._walked is None or self._walked[0] != key:
            beats, sends = self._blocks(out_block, channel_block)
            loops = np.array([DIMENSIONS.index(name) for name in order])
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


def _at(mapping: MainMapping, operand: Operand, level: int, ahead: int) -> MainMapping:
    """Return a mapping with another level for an operand's tile, and so much of the next ahead."""
    at = OPERANDS.index(operand)
    levels, units = list(mapping.levels), list(mapping.ahead)
    levels[at], units[at] = level, ahead
    return replace(mapping, levels=tuple(levels), ahead=tuple(units))  # type: ignore[arg-type]
