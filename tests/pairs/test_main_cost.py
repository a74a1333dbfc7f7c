"""Costs of main-phase mappings: the kernel walks a table of beats, this the groups one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from archonsim.machines.archon.main_cache import group_beats
from archonsim.machines.archon.main_mapping import (
    OPERANDS,
    GroupPlaces,
    MainMapping,
    Nest,
    tile_changes,
)
from archonsim.machines.archon.main_search import MainSearch, TilePixels, fetch_words
from archonsim.network.block import Block
from tests.laws.test_archon import BLOCKS, SETTINGS, workload_of
from tests.laws.test_main_mapping import NESTS, fused_of
from tests.strategies import archon


@SETTINGS
@given(block=BLOCKS, mapping=NESTS, seed=st.integers(0, 99))
def test_costs_count_the_fetches_of_a_walk_through_the_groups(
    block: Block, mapping: MainMapping, seed: int
) -> None:
    """The kernel walks a table of beats; here the sorted groups are walked, tile by tile."""
    block, fused = fused_of(workload_of(block, seed=seed))
    places, spec = GroupPlaces(block, fused), archon()
    beats, pixels = group_beats(fused, spec), TilePixels(64, 100)
    assume(beats.sum())
    search = MainSearch(places, beats, spec, pixels)
    nest, words = places.nest(mapping), 0
    for operand in OPERANDS:
        steps = tile_changes(nest, places.extents, mapping, operand)
        each = fetch_words(places.extents, mapping, operand, pixels, links=False)
        count = len(steps)
        if operand == "keep1" and places.extents.late:
            last = nest.loops["g"][steps] == places.extents.groups
            count += (places.extents.groups - 1) * int(last.sum())
        if operand == "psum":
            count -= len(_sums(nest, mapping, steps))
        words += count * each
    cost = search.cost(mapping)
    assert cost.words == words
    assert cost.cycles >= beats.sum()


def _sums(nest: Nest, mapping: MainMapping, steps: np.ndarray) -> set[tuple[int, ...]]:
    outer = [name for name in ("g", "o") if not mapping.spans("psum", name)]
    return {tuple(int(nest.loops[name][step]) for name in outer) for step in steps}  # type: ignore[index]
