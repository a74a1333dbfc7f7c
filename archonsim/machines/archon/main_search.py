"""The mapping of a block's main phase that takes the fewest cycles, found by exhaustive search.

Cost of a mapping (own decision): the cycles of one tile whose PEs all have a pixel. A step takes
its beats; what it fetches passes its port, the prediction GLB's for masks, the GLB's for inputs and
partial sums, while the steps before it run where the scratchpad holds two tiles of the operand, and
after them where it holds one. Stalls on full FIFOs depend on masks and are not in it. Equal cycles:
fewest words, then the first in the order of the search.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from archonsim.machines.archon.main_cost_kernel import operand_cost
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


@dataclass(frozen=True, slots=True)
class TilePixels:
    """Pixels of an output tile: its own, and those of the input map that its windows touch."""

    own: int
    halo: int


@dataclass(frozen=True, slots=True, order=True)
class MainCost:
    """What a mapping costs in one tile of output pixels.

    Attributes
    ----------
    cycles : int
        Of the array's clock; FIFO stalls and DRAM apart.
    words : int
        16-bit words through the read ports of prediction GLB and GLB.
    """

    cycles: int
    words: int


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
        self._sent = np.zeros(shape, bool)
        self._sent[tuple(axis[beats > 0] for axis in at)] = True
        self._total = int(beats.sum())
        self._reduced: dict[tuple[int, int], tuple[Ints, NDArray[np.bool_]]] = {}

    def best(self) -> tuple[MainMapping, MainCost]:
        """Return the mapping of the fewest cycles, then words, and its cost.

        All orders, block sizes, levels and shares of the prediction buffer are tried. What an
        operand's fetches expose does not depend on the other operands, so each is settled alone but
        for the two that share a buffer.
        """
        extents, spec = self._extents, self._spec
        outs = block_sizes(extents.outs, scratchpad_units(spec, "psum"))
        channels = block_sizes(extents.channels, scratchpad_units(spec, "input"))
        nests = itertools.product(orders(), outs, channels)
        return min((self._nest(*one) for one in nests), key=lambda one: one[1])

    def cost(self, mapping: MainMapping) -> MainCost:
        """Return what a mapping costs in one tile."""
        total = MainCost(self._total, 0)
        for at, operand in enumerate(OPERANDS):
            (one,) = self._costs(mapping, operand, [mapping.ahead[at]])
            total = MainCost(total.cycles + one.cycles, total.words + one.words)
        return total

    def _nest(
        self, order: tuple[Dimension, ...], out_block: int, channel_block: int
    ) -> tuple[MainMapping, MainCost]:
        """Return the best way to hold the operands in one nest."""
        base = MainMapping(
            order=order,
            out_block=out_block,
            channel_block=channel_block,
            levels=(4, 4, 4, 4),
            ahead=(0, 0, 0, 0),
        )
        chosen = self._masks(base)
        for operand in ("input", "psum"):
            chosen = self._alone(chosen, operand)
        return chosen, self.cost(chosen)

    def _alone(self, mapping: MainMapping, operand: Operand) -> MainMapping:
        """Settle an operand in a scratchpad of its own: how large a tile, the rest ahead."""
        room = scratchpad_units(self._spec, operand)
        found: list[tuple[MainCost, MainMapping]] = []
        for level, units in self._levels(mapping, operand):
            if units <= room:
                one = _at(mapping, operand, level, min(units, room - units))
                found.append((self._costs(one, operand, [one.ahead_of(operand)])[0], one))
        return min(found, key=lambda one: one[0])[1]

    def _masks(self, mapping: MainMapping) -> MainMapping:
        """Settle keep1 and keep2: what the prediction buffer has left goes to one, then the other.

        Masks of a single step that are larger than the buffer are streamed: every step fetches
        them, and a step is then a pair of an output and an input channel.
        """
        room = scratchpad_units(self._spec, "keep1")
        best: tuple[MainCost, MainMapping] | None = None
        for (level1, units1), (level2, units2) in itertools.product(
            self._levels(mapping, "keep1"), self._levels(mapping, "keep2")
        ):
            left = room - units1 - units2
            if left < 0:
                continue
            ahead1, ahead2 = min(units1, left), min(units2, left)
            shares = [(ahead1, min(units2, left - ahead1)), (min(units1, left - ahead2), ahead2)]
            both = _at(_at(mapping, "keep1", level1, 0), "keep2", level2, 0)
            costs1 = self._costs(both, "keep1", [share[0] for share in shares])
            costs2 = self._costs(both, "keep2", [share[1] for share in shares])
            for share, one, two in zip(shares, costs1, costs2, strict=True):
                cost = MainCost(one.cycles + two.cycles, one.words + two.words)
                if best is None or cost < best[0]:
                    held = _at(_at(mapping, "keep1", level1, share[0]), "keep2", level2, share[1])
                    best = cost, held
        if best is None:
            return replace(
                mapping, out_block=1, channel_block=1, streamed=(True, True, False, False)
            )
        return best[1]

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
        beats, sent = self._blocks(mapping.out_block, mapping.channel_block)
        exposed, count = operand_cost(
            beats,
            sent,
            np.array([DIMENSIONS.index(name) for name in mapping.order]),
            OPERANDS.index(operand),
            np.array(
                [
                    name in extents.relevant(operand) and not mapping.spans(operand, name)
                    for name in DIMENSIONS
                ]
            ),
            mapping.streamed[OPERANDS.index(operand)],
            extents.groups if extents.late else 0,
            np.array([(ahead, whole - ahead) for ahead in hidden], np.int64),
        )
        return [MainCost(int(cycles), int(count) * words) for cycles in exposed]

    def _blocks(self, out_block: int, channel_block: int) -> tuple[Ints, NDArray[np.bool_]]:
        """Return beats, and whether any group is sent, by (g, block of o, k, block of c)."""
        key = (out_block, channel_block)
        if key not in self._reduced:
            outs = np.arange(0, self._beats.shape[1], out_block)
            channels = np.append(
                np.arange(0, self._extents.channels, channel_block), self._extents.channels
            )
            beats = np.add.reduceat(np.add.reduceat(self._beats, outs, 1), channels, 3)
            sent = np.logical_or.reduceat(np.logical_or.reduceat(self._sent, outs, 1), channels, 3)
            self._reduced[key] = beats, sent
        return self._reduced[key]


def _at(mapping: MainMapping, operand: Operand, level: int, ahead: int) -> MainMapping:
    """Return a mapping with another level for an operand's tile, and so much of the next ahead."""
    at = OPERANDS.index(operand)
    levels, units = list(mapping.levels), list(mapping.ahead)
    levels[at], units[at] = level, ahead
    return replace(mapping, levels=tuple(levels), ahead=tuple(units))  # type: ignore[arg-type]
