"""The mapping of a block's main phase: searched once and kept in memory and on disk, or given."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import numpy as np

from archonsim import cache as disk
from archonsim.dataflow.tile import output_tiles
from archonsim.errors import SpecError
from archonsim.machines.archon.main_book import check_fits, open_main_book, parse_mapping
from archonsim.machines.archon.main_mapping import GroupPlaces, Ints, MainMapping, Nest
from archonsim.machines.archon.main_profile import Shares, expected_survivors
from archonsim.machines.archon.main_search import MainCost, MainSearch, TilePixels
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.network.block import Block
from archonsim.trace.fused_weight import FusedWeight
from archonsim.trace.kept import KEPT

TOPIC = "main-mappings"

#: Raised whenever the search or its cost may choose differently.
VERSION = 2


def group_beats(fused: FusedWeight, spec: ArchonSpec) -> Ints:
    """Return the beats of each group, (N,) int64; 0 for a group that is not sent."""
    sizes = np.diff(fused.start).astype(np.int64)
    least = 0 if spec.skip_empty_groups else 1
    beats: Ints = np.maximum(-(-sizes // spec.pe.beat_width), least)
    if spec.bias_terms != "timed":
        beats = beats * ~fused.is_bias
    return beats


def _key(places: GroupPlaces, beats: Ints, spec: ArchonSpec, pixels: TilePixels) -> dict[str, Any]:
    """Return all that the search looks at."""
    digest = hashlib.sha256()
    for column in (places.g, places.o, places.k, places.c, beats):
        digest.update(np.ascontiguousarray(column, np.int32).tobytes())
    extents, pe = places.extents, spec.pe
    return {
        "version": VERSION,
        "groups": digest.hexdigest(),
        "extents": [
            extents.groups,
            extents.outs,
            extents.taps,
            extents.channels,
            extents.mids,
            extents.late,
        ],
        "pixels": [pixels.own, pixels.halo, pixels.tiles],
        "pads": [pe.prediction_buffer_words, pe.main_ifmap_words, pe.psum_words, pe.mask_links],
        "ports": [spec.prediction_glb.read_words_per_cycle, spec.glb.read_words_per_cycle],
    }


def _kept(key: dict[str, Any], places: GroupPlaces, spec: ArchonSpec) -> MainMapping | None:
    """Return what an earlier search found; None if there is none, or a file that someone edited."""
    table = disk.load(TOPIC, key)
    if not isinstance(table, dict):
        return None
    try:
        mapping = parse_mapping(table, "cached mapping")
        check_fits(mapping, places.extents, spec, "cached mapping")
    except SpecError:
        return None
    return mapping


class Choice:
    """A block's groups, and the mapping that they are streamed in.

    Attributes
    ----------
    places : GroupPlaces
    beats : (N,) int64
        Beats of each group.
    mapping : MainMapping
    """

    def __init__(self, block: Block, fused: FusedWeight, spec: ArchonSpec) -> None:
        self.places = GroupPlaces(block, fused)
        self.beats = group_beats(fused, spec)
        tiles = list(output_tiles(block.dw, spec.pe.rows, spec.pe.cols))
        pixels = TilePixels(
            max(tile.pixels for tile in tiles), max(tile.halo for tile in tiles), len(tiles)
        )
        self._spec, self._pixels, self._block, self._fused = spec, pixels, block, fused
        if spec.mapping != "search":
            book = open_main_book(spec.mapping)
            self.mapping = book.find(block.name, self.places.extents, spec)
            return
        key = _key(self.places, self.beats, spec, pixels)
        kept = _kept(key, self.places, spec)
        if kept is None:
            kept, _ = self.search().best()
            disk.store(TOPIC, key, kept.to_dict())
        self.mapping = kept

    @property
    def bytes(self) -> int:
        """Bytes of what is held of the groups: places, beats, sizes, and the order of a nest."""
        return 8 * self.beats.nbytes

    @cached_property
    def nest(self) -> Nest:
        """The groups in the order in which they are streamed, and its steps.

        Without a profile; balanced by size where the order asks for one.
        """
        return self.places.nest(self.mapping, balanced=self._spec.group_order != "published")

    def profiled(self, shares: tuple[Shares, Shares] | None) -> Nest:
        """Return `nest`, balanced by the survivors that a profile makes expect if there is one."""
        if shares is None:
            return self.nest
        loads = expected_survivors(self._fused, self._block, shares)
        return self.places.nest(self.mapping, balanced=True, loads=loads)

    def search(self) -> MainSearch:
        """Return what searches for the mapping, and knows the cost of any."""
        return MainSearch(self.places, self.beats, self._spec, self._pixels)

    @property
    def cost(self) -> MainCost:
        """What the mapping costs, as the search counts it."""
        return self.search().cost(self.mapping)


def choose(block: Block, fused: FusedWeight, spec: ArchonSpec) -> Choice:
    """Return a block's mapping: the given one, or the one that takes the fewest cycles.

    Raises
    ------
    SpecError
        The mapping file has none for the block, or one that does not fit the machine.
    """
    found: Choice = KEPT.get(
        ("choose", block, fused, spec), lambda: Choice(block, fused, spec), lambda one: one.bytes
    )
    return found
