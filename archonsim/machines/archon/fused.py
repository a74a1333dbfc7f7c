"""ARCHON's main phase: the fused convolution, tile by tile, its weights streaming in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.dataflow.even import shares
from archonsim.dataflow.tile import Tile, output_tiles
from archonsim.engine.contract import FedTile, Phase
from archonsim.engine.contract import Tile as EngineTile
from archonsim.engine.program import OperandSource, Program, TileCounts, TileProgram
from archonsim.machines.archon.actions import (
    accumulate_actions,
    buffer_writes,
    merge_actions,
    multiply_actions,
)
from archonsim.machines.archon.bounds import main_bounds
from archonsim.machines.archon.predicting import PAD_PORTS
from archonsim.machines.archon.prediction_buffer import refetched_words, tile_mask_bits
from archonsim.machines.archon.residency import Step, buffered_words, check_capacity
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.archon.traffic import masks_on_chip, moved, words
from archonsim.machines.archon.windows import in_window_order, window_passes
from archonsim.network.block import Block
from archonsim.pe.accumulate_kernel import Accumulator, survivors
from archonsim.pe.beats import BeatStream, cut
from archonsim.pe.survivor_kernel import Survivors
from archonsim.stats.counts import PhaseStats, Transfer
from archonsim.trace.fused_weight import FusedWeight
from archonsim.trace.mask import Mask

#: Stall of a beat that waits for its stream, by where the last of it comes from; else ``glb``.
CAUSES: Mapping[str, str] = {"dram": "dram", "prediction_glb": "masks"}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FusedBlock:
    """What all tiles of a block share, whatever the image.

    Attributes
    ----------
    block : Block
    spec : ArchonSpec
    fused : FusedWeight
    stream : BeatStream
    first : (n + 1,) int32
        Beats of stream chunk i are ``first[i]:first[i + 1]``.
    chunk_words : (n,) int64
    times : (R,) int64
        How many candidates read each row of a tile's survivors.
    clip_beats : int
        Beats of a tile's clip terms.
    """

    block: Block
    spec: ArchonSpec
    fused: FusedWeight
    stream: BeatStream
    first: NDArray[np.int32]
    chunk_words: tuple[int, ...]
    times: NDArray[np.int64]
    clip_beats: int = 0

    @property
    def bytes(self) -> int:
        """Bytes of what is held, most of them the stream's."""
        return self.stream.bytes + self.fused.group_bytes + 40 * len(self.chunk_words)

    def adds(self, table: NDArray[np.uint64]) -> tuple[int, int]:
        """Count a tile's survivors, and those of them that stand for a clipped activation."""
        first = len(self.fused.known.row_first)
        return survivors(table, self.times), survivors(table[first:], self.times[first:])


#: What a tile loads, and what it stores.
Moves = tuple[Sequence[Transfer], Sequence[Transfer]]


class MainTile:
    """One tile of output pixels, one per PE."""

    def __init__(self, shared: FusedBlock, tile: Tile, survivors: Survivors, moves: Moves) -> None:
        self.shared, self.tile, self._survivors = shared, tile, survivors
        self.loads, self.stores = (tuple(some) for some in moves)
        self.chunks = shared.chunk_words

    def table(self) -> NDArray[np.uint64]:
        """Return its survivors, (rows, words)."""
        return self._survivors.table((self.tile.y, self.tile.x))


class FusedTile(MainTile):
    """A tile in the published order."""

    def __init__(self, shared: FusedBlock, tile: Tile, survivors: Survivors, moves: Moves) -> None:
        super().__init__(shared, tile, survivors, moves)
        self.refetched = refetched_words(shared.block, tile, shared.spec)
        self.along: Sequence[Sequence[Transfer]] = ()
        if shared.spec.mask_fetch == "charged" and self.refetched:
            parts = shares(self.refetched, len(self.chunks)).tolist()
            self.along = [(Transfer("prediction_glb", "read", "mask", one),) for one in parts]

    def begin(self, start: int) -> _RunningFusedTile:
        """Start the tile in cycle `start`."""
        return _RunningFusedTile(self, start)

    def count_operands(self, stats: PhaseStats) -> None:
        """Count what scratchpads take in while the tile runs."""
        pixels, block, spec = self.tile.pixels, self.shared.block, self.shared.spec
        spilled = _spilled_psums(block, spec, pixels)
        for direction in ("read", "write"):
            stats.move(Transfer("glb", direction, "psum", spilled))
            stats.act("psum_spad", direction, "psum", spilled)
        stats.activity["prediction_buffer.refetched_words"] += self.refetched
        # The window of one input channel, or those of its rows that fit, stays in its pad.
        stats.act("ifmap_spad", "write", "input", pixels * block.in_channels * block.taps)
        buffer_writes(stats, block, spec, pixels)


def _spilled_psums(block: Block, spec: ArchonSpec, pixels: int) -> int:
    """Words of partial sums that leave the psum pads for the GLB and return.

    They do so once for each pass but one.

    A pass is one input channel, or some rows of its window's taps. The ports' spare rate covers
    them (7 of 32 words a cycle for K = 3), so they take no time of their own.
    """
    if block.out_channels <= spec.pe.psum_words:
        return 0
    inputs = block.fused_inputs * window_passes(block, spec.pe.main_ifmap_words)
    return pixels * (inputs - block.out_channels)


class RunningArray:
    """A tile of output pixels in the array: what all orders of the groups have in common."""

    def __init__(self, tile: MainTile, start: int) -> None:
        self._shared, self._tile = tile.shared, tile.tile
        self._waits: Counter[str] = Counter()
        shared = tile.shared
        self._array = Accumulator(shared.stream, tile.table(), shared.spec.pe.fifo_depth, start)

    def run(self, chunk: int, arrival: int, source: str) -> int:
        """Send a chunk's beats; see :class:`~archonsim.engine.contract.RunningTile`."""
        first, before = self._shared.first, self._array.weight_wait
        end = self._array.run(int(first[chunk]), int(first[chunk + 1]), arrival) + 1
        cause = CAUSES.get(source, "glb")
        self._waits[cause] += self._array.weight_wait - before
        return end

    @property
    def queued(self) -> int:
        """Survivors that wait for their adders."""
        return self._array.queued

    def finish(self, stats: PhaseStats) -> int:
        """Count what the tile did; return the cycle after its last."""
        array, shared = self._array, self._shared
        end = array.last_retire + 1 + hand_over(shared)
        counts = TileCounts(
            end, array.last_push, array.broadcast_stall, self._waits, array.macs, array.sums
        )
        count_tile(shared, self._tile, counts, shared.adds(array.table), stats)
        self._count_operands(stats)
        return end

    def _count_operands(self, stats: PhaseStats) -> None:
        """Count what scratchpads take in while the tile runs."""


class _RunningFusedTile(RunningArray):
    """A tile in the published order: channel, output, tap; all masks and inputs once a tile."""

    def __init__(self, whole: FusedTile, start: int) -> None:
        super().__init__(whole, start)
        self._whole = whole

    def _count_operands(self, stats: PhaseStats) -> None:
        self._whole.count_operands(stats)


def hand_over(shared: FusedBlock) -> int:
    """Cycles until a single psum pad is read out for the next tile."""
    pe = shared.spec.pe
    if pe.psum_pads == "double":
        return 0
    return -(-min(shared.block.out_channels, pe.psum_words) // PAD_PORTS)


def count_tile(
    shared: FusedBlock, tile: Tile, counts: TileCounts, found: tuple[int, int], stats: PhaseStats
) -> None:
    """Count a tile's cycles and what its PEs did; `found` are its survivors, as `adds` counts."""
    stream, pixels = shared.stream, tile.pixels
    adds, clips = found
    if shared.fused.clipped is not None:
        stats.activity["clip_terms.adds"] += clips
    stats.compute += stream.beats
    stats.wait("broadcast", counts.broadcast_stall)
    for cause, cycles in counts.waits.items():
        stats.wait(cause, cycles)
    stats.wait("drain", counts.end - counts.last_push - 1)
    stats.macs += counts.macs
    stats.adds += adds
    candidates = len(stream.column)
    stats.adds_possible += candidates * pixels
    accumulate_actions(stats, decoded=candidates, looked_up=candidates * pixels, adds=adds)
    merge_actions(stats, lanes=stream.lanes, adds=adds, sums=counts.sums)
    multiply_actions(stats, shared.block, pixels=pixels, macs=counts.macs, sums=counts.sums)


class MainProgram:
    """What :class:`archonsim.engine.program.Program` asks and both orders of the groups share."""

    operands: Sequence[OperandSource | None] = ()
    spill = Transfer("glb", "write", "psum", 0)
    causes: Mapping[str, str] = CAUSES

    def __init__(self, shared: FusedBlock) -> None:
        self.shared, self.stream, self.first = shared, shared.stream, shared.first
        self.depth, self.hand_over = shared.spec.pe.fifo_depth, hand_over(shared)
        self.stops = np.zeros((0, 6), np.int64)
        self._adds = 0, 0

    def table(self, tile: MainTile) -> NDArray[np.uint64]:
        """Return a tile's survivors, and keep their number."""
        table = tile.table()
        self._adds = self.shared.adds(table)
        return table

    def count(self, tile: MainTile, counts: TileCounts, stats: PhaseStats) -> None:
        """Count the tile whose survivors are the latest."""
        count_tile(self.shared, tile.tile, counts, self._adds, stats)


class FusedProgram(MainProgram):
    """All tiles of a phase in the published order: nothing is fetched while one runs."""

    def __init__(self, shared: FusedBlock, tiles: Sequence[FusedTile]) -> None:
        super().__init__(shared)
        self._tiles = tiles

    def begin(self, tile: int, start: int) -> TileProgram:
        """Make a tile ready that starts in a cycle."""
        return TileProgram(self.table(self._tiles[tile]), (), np.zeros(0, np.uint8), start)

    def finish(self, tile: int, counts: TileCounts, stats: PhaseStats) -> None:
        """Add what a tile did to the phase's counts."""
        self.count(self._tiles[tile], counts, stats)
        self._tiles[tile].count_operands(stats)


def published_block(block: Block, spec: ArchonSpec, fused: FusedWeight) -> FusedBlock:
    """Cut a block's weights in the published order."""
    return share(block, spec, in_window_order(fused, block, spec.pe.main_ifmap_words))


def main_phase(step: Step, shared: FusedBlock, masks: tuple[Mask, Mask]) -> Phase:
    """Run a fused convolution under the given masks, in the published order."""
    block, spec = shared.block, shared.spec
    pe, survivors = spec.pe, survivors_of(shared, masks)
    mask_stays = masks_on_chip(block, spec)
    tiles: list[FusedTile] = []
    for tile in output_tiles(block.dw, pe.rows, pe.cols):
        mask_words = words(tile_mask_bits(block, tile))
        loads = [
            *moved("read", "input", tile.halo * block.in_channels, on_chip=step.input_on_chip),
            *moved("read", "mask", mask_words, on_chip=mask_stays, buffer="prediction_glb"),
        ]
        stores = moved(
            "write", "output", tile.pixels * block.out_channels, on_chip=step.output_on_chip
        )
        tiles.append(FusedTile(shared, tile, survivors, (loads, stores)))
    return phase_of(tiles, shared, step, FusedProgram(shared, tiles))


def survivors_of(shared: FusedBlock, masks: tuple[Mask, Mask]) -> Survivors:
    """Make an image's masks ready to be cut into tiles."""
    pe = shared.spec.pe
    return Survivors(masks, shared.block, shared.fused, (pe.rows, pe.cols))


def share(block: Block, spec: ArchonSpec, fused: FusedWeight) -> FusedBlock:
    """Cut the groups, in the order in which they are streamed, into beats and chunks."""
    stream = cut(
        fused,
        lanes=spec.pe.adders,
        per_lane=spec.pe.candidates_per_adder,
        lane_order=spec.lane_order,
        skip_empty=spec.skip_empty_groups,
        bias=spec.bias_terms == "timed",
        width=spec.pe.beat_width,
    )
    first, sizes = stream.chunks(
        spec.index_bits + spec.value_bits, spec.dma.chunk_words, spec.group_count_bits
    )
    return FusedBlock(
        block=block,
        spec=spec,
        fused=fused,
        stream=stream,
        first=first,
        chunk_words=tuple(sizes.tolist()),
        times=stream.readers(len(fused.row_first)),
        clip_beats=clip_beats(fused, spec),
    )


def clip_beats(fused: FusedWeight, spec: ArchonSpec) -> int:
    """Beats of clip terms."""
    if fused.clipped is None or spec.bias_terms != "timed":
        return 0
    sizes = np.diff(fused.start)[fused.plane > 0]
    return int((-(-sizes // spec.pe.beat_width)).sum())


def phase_of(
    tiles: Sequence[EngineTile | FedTile], shared: FusedBlock, step: Step, program: Program
) -> Phase:
    """Put a main phase together: where its stream comes from, and whether its tiles fit the GLB.

    Raises
    ------
    SpecError
        They do not.
    """
    spec, dw = shared.spec, shared.block.dw
    left = step.free_words(spec.glb.words) - buffered_words(tiles, spec)
    cached = spec.weights == "cache" and sum(shared.chunk_words) <= left
    again: str = "glb" if cached else "dram"
    phase = Phase(
        name="main",
        tiles=tiles,
        stream_from=["dram", *[again] * (len(tiles) - 1)],
        bounds=main_bounds(
            shared.stream, spec.pe, len(tiles), dw.out_h * dw.out_w, shared.clip_beats
        ),
        program=program,
    )
    check_capacity(phase, step, spec)
    return phase
