"""The main phase in the order of a mapping: operands reach PEs step by step, beats wait.

Masks of a block that fit the prediction GLB stay there. Otherwise DRAM sends those of a channel
group when the stream comes to it, if the prediction GLB holds a tile's masks of one group, and for
each fetch if it does not (own decision).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from archonsim.dataflow.tile import Tile, output_tiles
from archonsim.engine.contract import Phase
from archonsim.engine.feed import Feed
from archonsim.machines.archon.fused import FusedBlock, RunningArray, phase_of, share
from archonsim.machines.archon.main_mapping import (
    OPERANDS,
    Dimension,
    Extents,
    GroupPlaces,
    Ints,
    MainMapping,
    Nest,
    Operand,
    tile_changes,
)
from archonsim.machines.archon.main_search import MainCost, MainSearch, TilePixels, fetch_words
from archonsim.machines.archon.residency import Step
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.archon.traffic import masks_on_chip, moved, words
from archonsim.network.block import Block
from archonsim.stats.counts import PhaseStats, Transfer
from archonsim.trace.fused_weight import FusedWeight
from archonsim.trace.mask import Mask
from archonsim.vocabulary.kinds import DataKind

#: Where an operand comes from, and what kind of data it is.
SOURCES: Mapping[Operand, tuple[str, DataKind]] = {
    "keep1": ("prediction_glb", "mask"),
    "keep2": ("prediction_glb", "mask"),
    "input": ("glb", "input"),
    "psum": ("glb", "psum"),
}
#: Mappings that are kept (own decision): those of the largest networks' blocks.
KEPT_MAPPINGS = 64


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Schedule:
    """A block's steps, the same for all its tiles.

    Attributes
    ----------
    extents : Extents
    mapping : MainMapping
    first_beat : (S,) int64
        First beat of each step.
    fetches : dict of operand to dict of step to int
        How many of its tiles an operand fetches at a step.
    spills : dict of step to int
        Whether a tile of partial sums leaves its pad before a step, to come back later.
    stops : tuple of int
        Steps at which anything is fetched or spilled, in order.
    new_group : frozenset of int
        Steps at which the stream comes to another channel group.
    mask_stays, input_stays : bool
        Whether masks and inputs are on chip before the phase starts.
    """

    extents: Extents
    mapping: MainMapping
    first_beat: Ints
    fetches: Mapping[Operand, Mapping[int, int]]
    spills: frozenset[int]
    stops: tuple[int, ...]
    new_group: frozenset[int]
    mask_stays: bool
    input_stays: bool


@lru_cache(maxsize=KEPT_MAPPINGS)
def best_mapping(
    block: Block, fused: FusedWeight, spec: ArchonSpec
) -> tuple[GroupPlaces, MainMapping, MainCost]:
    """Return where a block's groups stand, and the best mapping on a machine with its cost."""
    places = GroupPlaces(block, fused)
    tiles = list(output_tiles(block.dw, spec.pe.rows, spec.pe.cols))
    pixels = TilePixels(max(tile.pixels for tile in tiles), max(tile.halo for tile in tiles))
    search = MainSearch(places, group_beats(fused, spec), spec, pixels)
    return places, *search.best()


def group_beats(fused: FusedWeight, spec: ArchonSpec) -> Ints:
    """Return the beats of each group, (N,) int64; 0 for a group that is not sent."""
    sizes = np.diff(fused.start).astype(np.int64)
    least = 0 if spec.skip_empty_groups else 1
    beats: Ints = np.maximum(-(-sizes // spec.pe.beat_candidates), least)
    if spec.bias_terms != "timed":
        beats = beats * ~fused.is_bias
    return beats


def _revisits(nest: Nest, mapping: MainMapping, steps: Ints) -> tuple[Ints, frozenset[int]]:
    """Return the steps at which sums come back, and those before which sums leave to come back."""
    both: tuple[Dimension, ...] = ("g", "o")
    outer = [name for name in both if not mapping.spans("psum", name)]
    tiles = np.stack([nest.loops[name][steps] for name in outer] or [np.zeros(len(steps), int)], 1)
    _, first, number = np.unique(tiles, axis=0, return_index=True, return_inverse=True)
    again = np.ones(len(steps), bool)
    again[first] = False
    last = np.zeros(len(first), np.int64)
    np.maximum.at(last, number.ravel(), np.arange(len(steps)))
    leaves = np.arange(len(steps)) < last[number.ravel()]
    return steps[again], frozenset(steps[1:][leaves[:-1]].tolist())


def schedule(
    places: GroupPlaces, nest: Nest, mapping: MainMapping, beats: Ints, stays: tuple[bool, bool]
) -> Schedule:
    """Work out when each operand is fetched.

    Parameters
    ----------
    places, nest, mapping : of the block
    beats : (N,) int64
        Beats of each group, in the block's own order.
    stays : (bool, bool)
        Whether masks and inputs are on chip before the phase starts.
    """
    extents = places.extents
    of_step = np.add.reduceat(beats[nest.groups], nest.step_first[:-1])
    sent = of_step > 0
    loops = {name: column[sent] for name, column in nest.loops.items()}
    kept = Nest(nest.groups, np.append(0, np.cumsum(of_step[sent])), loops)
    fetches: dict[Operand, dict[int, int]] = {}
    spills: frozenset[int] = frozenset()
    for operand in OPERANDS:
        steps = tile_changes(loops, extents, mapping, operand)
        if operand == "psum":
            steps, spills = _revisits(kept, mapping, steps)
        fetches[operand] = dict.fromkeys(steps.tolist(), 1)
    if extents.late:
        for at in fetches["keep1"]:
            if loops["g"][at] == extents.groups:
                fetches["keep1"][at] = extents.groups
    moved_on = np.append(True, loops["g"][1:] != loops["g"][:-1])
    stops = sorted(set().union(*fetches.values(), spills, np.flatnonzero(moved_on).tolist()))
    return Schedule(
        extents=extents,
        mapping=mapping,
        first_beat=kept.step_first[:-1],
        fetches=fetches,
        spills=spills,
        stops=tuple(stops),
        new_group=frozenset(np.flatnonzero(moved_on).tolist()),
        mask_stays=stays[0],
        input_stays=stays[1],
    )


class MappedTile:
    """One tile of output pixels whose groups come in the order of a mapping."""

    def __init__(
        self,
        shared: FusedBlock,
        plan: Schedule,
        tile: Tile,
        loads: Sequence[Transfer],
        stores: Sequence[Transfer],
    ) -> None:
        self.shared, self.plan, self.tile = shared, plan, tile
        self.loads, self.stores = tuple(loads), tuple(stores)
        self.chunks = shared.chunk_words

    @cached_property
    def words(self) -> dict[Operand, int]:
        """16-bit words of one tile of each operand."""
        pixels, links = TilePixels(self.tile.pixels, self.tile.halo), self.shared.spec.pe.mask_links
        return {
            name: fetch_words(self.plan.extents, self.plan.mapping, name, pixels, links=links)
            for name in OPERANDS
        }

    @cached_property
    def from_dram(self) -> dict[int, int]:
        """16-bit words of masks that DRAM sends for each step."""
        plan, spec = self.plan, self.shared.spec
        if plan.mask_stays or spec.mask_fetch == "once":
            return {}
        extents, room = plan.extents, spec.prediction_glb.words
        first = words(self.tile.halo * extents.mids)
        second = (
            words(self.tile.halo * extents.outs)
            if extents.late
            else words(self.tile.pixels * extents.mids)
        )
        found: dict[int, int] = {}
        masks: tuple[tuple[Operand, int], ...] = (("keep1", first), ("keep2", second))
        for name, whole in masks:
            if whole <= room:  # the rest of the prediction GLB is the next operand's
                room -= whole
                for step in plan.new_group:
                    found[step] = found.get(step, 0) + whole
            else:
                for step, times in plan.fetches[name].items():
                    found[step] = found.get(step, 0) + times * self.words[name]
        return found

    @cached_property
    def along(self) -> Sequence[Sequence[Transfer]]:
        """Masks from DRAM, with the chunk of the stream in which their step begins."""
        if not self.from_dram:
            return ()
        steps = np.array(sorted(self.from_dram))
        chunk = np.searchsorted(self.shared.first, self.plan.first_beat[steps], "right") - 1
        found: list[list[Transfer]] = [[] for _ in self.chunks]
        for step, at in zip(steps.tolist(), chunk.tolist(), strict=True):
            found[at].append(Transfer("dram", "read", "mask", self.from_dram[step]))
        return found

    def begin(self, start: int) -> RunningArray:
        """Not used: the tile reads through a feed."""
        raise NotImplementedError("a mapped tile needs a feed")

    def begin_fed(self, start: int, feed: Feed) -> RunningArray:
        """Start the tile in cycle `start`."""
        return _RunningMappedTile(self, start, feed)


class _RunningMappedTile(RunningArray):
    def __init__(self, whole: MappedTile, start: int, feed: Feed) -> None:
        super().__init__(whole.shared, whole.tile, start)
        self._whole, self._plan, self._feed, self._start = whole, whole.plan, feed, start
        self._next = 0
        self._masks_there = 0 if whole.plan.mask_stays else start
        self._taken: dict[Operand, int] = dict.fromkeys(OPERANDS, 0)

    def run(self, chunk: int, arrival: int, source: str) -> int:
        first, last = (int(self._shared.first[at]) for at in (chunk, chunk + 1))
        plan, ready = self._plan, (0, "")
        while self._next < len(plan.stops):
            step = plan.stops[self._next]
            begin = int(plan.first_beat[step])
            if begin >= last:
                break
            if begin > first:
                self._send(first, begin, (arrival, source), ready)
                first, ready = begin, (0, "")
            ready = max(ready, self._begin_step(step, arrival))
            self._next += 1
        self._send(first, last, (arrival, source), ready)
        return self._array.last_push + 1

    def _send(
        self, first: int, last: int, stream: tuple[int, str], operand: tuple[int, str]
    ) -> None:
        """Send beats once their weights and their operands are there; charge who came last."""
        array, before = self._array, self._array.weight_wait
        for_stream = max(0, stream[0] - array.last_push - 1)
        array.run(first, last, max(stream[0], operand[0]))
        waited = array.weight_wait - before
        self._waits["dram" if stream[1] == "dram" else "glb"] += min(for_stream, waited)
        self._waits[operand[1] or "glb"] += waited - min(for_stream, waited)

    def _begin_step(self, step: int, arrival: int) -> tuple[int, str]:
        """Fetch what a step needs; return when the last of it is there, and which stall that is."""
        plan, free = self._plan, self._array.last_push + 1
        if step in self._whole.from_dram:
            self._masks_there = max(self._masks_there, arrival)
        ready = (0, "")
        for operand in OPERANDS:
            times = plan.fetches[operand].get(step, 0)
            if operand == "psum" and step in plan.spills:
                self._feed.store(Transfer("glb", "write", "psum", self._whole.words["psum"]), free)
                self._taken["psum"] += 1
            is_mask = operand in ("keep1", "keep2")
            if not times or (is_mask and self._shared.spec.mask_fetch == "once"):
                continue
            ready = max(ready, (self._fetch(operand, times, free), "masks" if is_mask else "glb"))
        return ready

    def _fetch(self, operand: Operand, times: int, free: int) -> int:
        plan, whole = self._plan, self._whole
        component, kind = SOURCES[operand]
        count = times * whole.words[operand]
        units = plan.extents.tile_units(operand, plan.mapping)[0]
        ahead = count * plan.mapping.ahead_of(operand) // units
        there = self._masks_there if component == "prediction_glb" else 0
        if operand == "input" and not plan.input_stays:
            there = self._start
        self._feed.used(operand, free)
        self._taken[operand] += times
        return self._feed.fetch(operand, Transfer(component, "read", kind, count), ahead, there)

    def _count_operands(self, stats: PhaseStats) -> None:
        plan, pixels = self._plan, self._tile.pixels
        units = {name: plan.extents.tile_units(name, plan.mapping)[0] for name in OPERANDS}
        bits = pixels * sum(self._taken[name] * units[name] for name in ("keep1", "keep2"))
        if self._shared.spec.mask_fetch == "once":
            block = self._shared.block
            bits = pixels * block.mid_channels * (block.taps + 1)
        stats.act("prediction_buffer", "write", "mask", words(bits))
        stats.act("ifmap_spad", "write", "input", pixels * self._taken["input"] * units["input"])
        for direction in ("read", "write"):
            stats.act("psum_spad", direction, "psum", pixels * len(plan.spills) * units["psum"])


def mapped_phase(
    step: Step, block: Block, spec: ArchonSpec, fused: FusedWeight, masks: tuple[Mask, Mask]
) -> Phase:
    """Run the fused convolution of `block` under given masks, in the order of its best mapping."""
    places, mapping, _ = best_mapping(block, fused, spec)
    nest = places.nest(mapping, balanced=spec.group_order == "balanced")
    shared = share(block, spec, fused.in_order(nest.groups.astype(np.int32)), *masks)
    stays = masks_on_chip(block, spec)
    plan = schedule(places, nest, mapping, group_beats(fused, spec), (stays, step.input_on_chip))
    tiles: list[MappedTile] = []
    for tile in output_tiles(block.dw, spec.pe.rows, spec.pe.cols):
        loads: list[Transfer] = []
        if not step.input_on_chip:
            loads.append(Transfer("dram", "read", "input", tile.halo * block.in_channels))
        if spec.mask_fetch == "once":
            second = block.layers[1].out_channels * (
                tile.halo if block.order == "pw-pw-dw" else tile.pixels
            )
            loads += moved(
                "read",
                "mask",
                words(tile.halo * block.mid_channels + second),
                on_chip=stays,
                buffer="prediction_glb",
            )
        stores = moved(
            "write", "output", tile.pixels * block.out_channels, on_chip=step.output_on_chip
        )
        tiles.append(MappedTile(shared, plan, tile, loads, stores))
    return phase_of(tiles, shared, step)
