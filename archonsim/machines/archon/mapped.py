"""The main phase in the order of a mapping: operands reach PEs step by step, beats wait.

Masks of a block that fit the prediction GLB stay there. Otherwise DRAM sends those of a channel
group when the stream comes to it, if the prediction GLB holds a tile's masks of one group, and for
each fetch if it does not (own decision).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archonsim.dataflow.tile import Tile, output_tiles
from archonsim.engine.contract import Phase
from archonsim.engine.feed import Feed
from archonsim.engine.program import OperandSource, TileCounts, TileProgram
from archonsim.machines.archon.fused import (
    FusedBlock,
    MainProgram,
    MainTile,
    Moves,
    RunningArray,
    phase_of,
    share,
    survivors_of,
)
from archonsim.machines.archon.main_cache import choose
from archonsim.machines.archon.main_mapping import OPERANDS, Operand
from archonsim.machines.archon.main_profile import Shares
from archonsim.machines.archon.main_schedule import Schedule, Stop, schedule
from archonsim.machines.archon.main_search import TilePixels, fetch_words
from archonsim.machines.archon.prediction_buffer import tile_mask_bits
from archonsim.machines.archon.residency import Step
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.archon.traffic import masks_on_chip, moved, words
from archonsim.network.block import Block
from archonsim.pe.survivor_kernel import Survivors
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
#: Stall of a beat that waits for an operand.
STALLS: Mapping[Operand, str] = {"keep1": "masks", "keep2": "masks", "input": "glb", "psum": "glb"}


class _Way(NamedTuple):
    """How a tile of an operand comes: all of it, so many words of it ahead, from some cycle on."""

    transfer: Transfer
    ahead: int
    not_before: int


@dataclass(frozen=True, slots=True, eq=False)
class MappedStream:
    """What all tiles of a block share whose groups come in the order of a mapping.

    Attributes
    ----------
    shared : FusedBlock
    plan : Schedule
    stops : (S, 6) int64
        Those of `plan`, as :class:`archonsim.engine.program.Program` has them.
    """

    shared: FusedBlock
    plan: Schedule
    stops: NDArray[np.int64]

    @property
    def bytes(self) -> int:
        """Bytes of what is held, without the plan's few numbers a step."""
        return self.shared.bytes + self.stops.nbytes


class Fetched:
    """What a tile fetches while it runs; tiles of as many pixels share it.

    Parameters
    ----------
    stream : MappedStream
    pixels : TilePixels
        Of the tile.
    """

    def __init__(self, stream: MappedStream, pixels: TilePixels) -> None:
        self._stream, self._pixels = stream, pixels

    @cached_property
    def words(self) -> dict[Operand, int]:
        """16-bit words of one tile of each operand."""
        plan, links = self._stream.plan, self._stream.shared.spec.pe.mask_links
        return {
            name: fetch_words(plan.extents, plan.mapping, name, self._pixels, links=links)
            for name in OPERANDS
        }

    @cached_property
    def units(self) -> dict[Operand, int]:
        """Bits or words for each PE of one tile of each operand."""
        plan = self._stream.plan
        return {name: plan.extents.tile_units(name, plan.mapping)[0] for name in OPERANDS}

    @cached_property
    def from_dram(self) -> dict[int, int]:
        """16-bit words of masks that DRAM sends for each step."""
        plan, spec, pixels = self._stream.plan, self._stream.shared.spec, self._pixels
        if plan.mask_stays or spec.mask_fetch == "once":
            return {}
        extents, room = plan.extents, spec.prediction_glb.words
        first = words(pixels.halo * extents.mids)
        second = words(pixels.halo * extents.outs if extents.late else pixels.own * extents.mids)
        found: dict[int, int] = {}
        masks: tuple[tuple[Operand, int], ...] = (("keep1", first), ("keep2", second))
        for name, whole in masks:
            if whole <= room:  # the rest of the prediction GLB is the next operand's
                room -= whole
                for step, plane in plan.new_group.items():
                    if name == "keep2" or plane < 2:  # clip terms of the second ReLU need its bits
                        found[step] = found.get(step, 0) + whole
            else:
                for step, times in plan.fetches[name].items():
                    found[step] = found.get(step, 0) + times * self.words[name]
        return found

    @cached_property
    def mask_steps(self) -> NDArray[np.uint8]:
        """(S,), for each stop of the plan, whether DRAM sends masks for it."""
        sent = np.array(list(self.from_dram), np.int64)
        return np.isin(self._stream.plan.table[:, 0], sent).astype(np.uint8)

    @cached_property
    def along(self) -> Sequence[Sequence[Transfer]]:
        """Masks from DRAM, with the chunk of the stream in which their step begins."""
        if not self.from_dram:
            return ()
        steps = np.array(sorted(self.from_dram))
        begin = self._stream.plan.first_beat[steps]
        chunk = np.searchsorted(self._stream.shared.first, begin, "right") - 1
        found: list[list[Transfer]] = [[] for _ in self._stream.shared.chunk_words]
        for step, at in zip(steps.tolist(), chunk.tolist(), strict=True):
            found[at].append(Transfer("dram", "read", "mask", self.from_dram[step]))
        return found


class MappedTile(MainTile):
    """A tile whose groups come in the order of a mapping."""

    def __init__(
        self,
        stream: MappedStream,
        tile: Tile,
        survivors: Survivors,
        moves: Moves,
        fetched: Fetched,
    ) -> None:
        super().__init__(stream.shared, tile, survivors, moves)
        self.plan, self.fetched = stream.plan, fetched

    @property
    def along(self) -> Sequence[Sequence[Transfer]]:
        """Masks from DRAM, with the chunk of the stream in which their step begins."""
        return self.fetched.along

    def begin_fed(self, start: int, feed: Feed) -> RunningArray:
        """Start the tile in cycle `start`."""
        return _RunningMappedTile(self, start, feed)

    def count_operands(self, taken: Mapping[Operand, int], stats: PhaseStats) -> None:
        """Count what scratchpads take in while the tile runs, so many tiles of each operand."""
        plan, pixels = self.plan, self.tile.pixels
        units = self.fetched.units
        bits = pixels * sum(taken[name] * units[name] for name in ("keep1", "keep2"))
        if self.shared.spec.mask_fetch == "once":
            block = self.shared.block
            bits = pixels * block.mid_channels * (block.taps * block.planes[0] + block.planes[1])
        stats.act("prediction_buffer", "write", "mask", words(bits))
        stats.act("ifmap_spad", "write", "input", pixels * taken["input"] * units["input"])
        for direction in ("read", "write"):
            stats.act("psum_spad", direction, "psum", pixels * plan.spills * units["psum"])


class _RunningMappedTile(RunningArray):
    def __init__(self, whole: MappedTile, start: int, feed: Feed) -> None:
        super().__init__(whole, start)
        self._whole, self._plan, self._feed = whole, whole.plan, feed
        self._next = 0
        self._masks_there = 0 if whole.plan.mask_stays else start
        self._taken: dict[Operand, int] = dict.fromkeys(OPERANDS, 0)
        self._ways = {
            name: _Way(
                Transfer(component, "read", kind, whole.fetched.words[name]),
                self._plan.hidden(name, whole.fetched.words[name]),
                start if name == "input" and not whole.plan.input_stays else 0,
            )
            for name, (component, kind) in SOURCES.items()
            if component == "glb" or whole.shared.spec.mask_fetch == "charged"
        }

    def run(self, chunk: int, arrival: int, source: str) -> int:
        first, last = (int(self._shared.first[at]) for at in (chunk, chunk + 1))
        plan, ready = self._plan, (0, "")
        while self._next < len(plan.stops):
            stop = plan.stops[self._next]
            if stop.beat >= last:
                break
            if stop.beat > first:
                self._send(first, stop.beat, (arrival, source), ready)
                first, ready = stop.beat, (0, "")
            ready = max(ready, self._begin_step(stop, arrival))
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

    def _begin_step(self, stop: Stop, arrival: int) -> tuple[int, str]:
        """Fetch what a step needs; return when the last of it is there, and which stall that is."""
        free = self._array.last_push + 1
        if stop.step in self._whole.fetched.from_dram:
            self._masks_there = max(self._masks_there, arrival)
        if stop.spill:
            self._feed.store(
                Transfer("glb", "write", "psum", self._whole.fetched.words["psum"]), free
            )
            self._taken["psum"] += 1
        ready = (0, "")
        for operand, times in stop.fetches:
            if operand in self._ways:
                ready = max(ready, (self._fetch(operand, times, free), STALLS[operand]))
        return ready

    def _fetch(self, operand: Operand, times: int, free: int) -> int:
        way = self._ways[operand]
        transfer, ahead = way.transfer, way.ahead
        if times > 1:
            transfer = replace(transfer, words=times * transfer.words)
            ahead = self._plan.hidden(operand, transfer.words)
        there = self._masks_there if STALLS[operand] == "masks" else way.not_before
        self._feed.used(operand, free)
        self._taken[operand] += times
        return self._feed.fetch(operand, transfer, ahead, there)

    def _count_operands(self, stats: PhaseStats) -> None:
        self._whole.count_operands(self._taken, stats)


class MappedProgram(MainProgram):
    """All tiles of a phase in the order of a mapping, for a compiled pass."""

    def __init__(self, stream: MappedStream, tiles: Sequence[MappedTile]) -> None:
        super().__init__(stream.shared)
        self._plan, self._tiles = stream.plan, tiles
        self.stops = stream.stops
        charged = stream.shared.spec.mask_fetch == "charged"
        self.operands = [
            OperandSource(Transfer(component, "read", kind, 0), STALLS[name])
            if component == "glb" or charged
            else None
            for name, (component, kind) in SOURCES.items()
        ]
        fetched = self.stops[:, 2:].sum(axis=0).tolist()
        self._fetched = {
            name: times
            for name, times, operand in zip(OPERANDS, fetched, self.operands, strict=True)
            if operand is not None
        }

    def begin(self, tile: int, start: int) -> TileProgram:
        """Make a tile ready that starts in a cycle."""
        whole, plan = self._tiles[tile], self._plan
        operands = [
            (
                whole.fetched.words[name],
                whole.fetched.units[name],
                plan.mapping.ahead_of(name),
                STALLS[name] == "masks",
                start if name == "input" and not plan.input_stays else 0,
            )
            for name in OPERANDS
        ]
        masks, there = whole.fetched.mask_steps, 0 if plan.mask_stays else start
        return TileProgram(self.table(whole), operands, masks, there)

    def finish(self, tile: int, counts: TileCounts, stats: PhaseStats) -> None:
        """Add what a tile did to the phase's counts."""
        whole = self._tiles[tile]
        self.count(whole, counts, stats)
        taken = dict.fromkeys(OPERANDS, 0) | self._fetched
        for name, times in taken.items():
            component, kind = SOURCES[name]
            stats.move(Transfer(component, "read", kind, times * whole.fetched.words[name]))
        spills = self._plan.spills
        stats.move(Transfer("glb", "write", "psum", spills * whole.fetched.words["psum"]))
        taken["psum"] += spills
        whole.count_operands(taken, stats)


def mapped_stream(
    step: Step,
    block: Block,
    spec: ArchonSpec,
    fused: FusedWeight,
    shares: tuple[Shares, Shares] | None = None,
) -> MappedStream:
    """Cut a block's weights in the order of its mapping.

    `shares` are those of a profile, for ``group_order = "profiled"``.
    """
    chosen = choose(block, fused, spec)
    nest = chosen.profiled(shares)
    stays = masks_on_chip(block, spec), step.input_on_chip
    plan = schedule(chosen.places, nest, chosen.mapping, chosen.beats, stays)
    return MappedStream(
        share(block, spec, fused.in_order(nest.groups.astype(np.int32))),
        plan,
        np.ascontiguousarray(plan.table[:, 1:]),
    )


def mapped_phase(step: Step, stream: MappedStream, masks: tuple[Mask, Mask]) -> Phase:
    """Run a fused convolution under given masks, in the order of its mapping."""
    block, spec = stream.shared.block, stream.shared.spec
    survivors, stays = survivors_of(stream.shared, masks), stream.plan.mask_stays
    tiles: list[MappedTile] = []
    fetched: dict[tuple[int, int], Fetched] = {}
    for tile in output_tiles(block.dw, spec.pe.rows, spec.pe.cols):
        loads: list[Transfer] = []
        if not step.input_on_chip:
            loads.append(Transfer("dram", "read", "input", tile.halo * block.in_channels))
        if spec.mask_fetch == "once":
            loads += moved(
                "read",
                "mask",
                words(tile_mask_bits(block, tile)),
                on_chip=stays,
                buffer="prediction_glb",
            )
        stores = moved(
            "write", "output", tile.pixels * block.out_channels, on_chip=step.output_on_chip
        )
        size = tile.pixels, tile.halo
        if size not in fetched:
            fetched[size] = Fetched(stream, TilePixels(*size))
        tiles.append(MappedTile(stream, tile, survivors, (loads, stores), fetched[size]))
    return phase_of(tiles, stream.shared, step, MappedProgram(stream, tiles))
