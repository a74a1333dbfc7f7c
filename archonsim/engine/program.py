"""What a compiled pass must know about tiles whose time depends on data: the accumulate stage's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from archonsim.pe.beats import BeatStream
from archonsim.stats.counts import PhaseStats, Transfer

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OperandSource:
    """Where the tiles of an operand come from, while beats are sent.

    Attributes
    ----------
    source : Transfer
        Its words make no difference.
    stall : {"glb", "masks"}
        Of a beat that waits for it.
    """

    source: Transfer
    stall: str


@dataclass(frozen=True, slots=True, eq=False)
class TileProgram:
    """One tile, ready to run.

    Attributes
    ----------
    table : (rows, words) uint64
        Its survivors.
    operands : sequence of (words, units, ahead, with masks, not before)
        For each operand: 16-bit words of a tile of it; units of such a tile, and those of them that
        its scratchpad holds ahead; whether it is there as soon as the masks are; or else, the cycle
        from which it is. Empty where nothing is fetched.
    masks : (S,) uint8
        Stops whose masks come from DRAM, along with the stream.
    masks_from : int
        Cycle from which masks are there that do not.
    """

    table: NDArray[np.uint64]
    operands: Sequence[tuple[int, int, int, bool, int]]
    masks: NDArray[np.uint8]
    masks_from: int


@dataclass(frozen=True, slots=True)
class TileCounts:
    """What a tile of the accumulate stage did.

    Attributes
    ----------
    end : int
        Cycle after its last.
    last_push : int
        Cycle in which its last beat was pushed.
    broadcast_stall : int
        Cycles in which a beat waited for room in a FIFO.
    waits : mapping of stall to cycles
        In which a beat waited for its weights, or for an operand.
    macs, sums : int
        As of :class:`archonsim.pe.accumulate_kernel.Accumulator`.
    """

    end: int
    last_push: int
    broadcast_stall: int
    waits: Mapping[str, int]
    macs: int
    sums: int


class Program(Protocol):
    """The tiles of a phase that all send the same beats.

    Attributes
    ----------
    stream : BeatStream
    first : (n + 1,) int32
        Beats of chunk i are ``first[i]:first[i + 1]``.
    depth : int
        FIFO entries of a lane.
    hand_over : int
        Cycles from a tile's last retirement until the next tile may follow.
    stops : (S, 6) int64
        Steps at which something moves: the first beat, whether partial sums leave for later, and
        how many tiles of each operand are fetched.
    operands : sequence of four Operand or None
        Masks of both layers, inputs, partial sums; None for what is not fetched.
    spill : Transfer
        Where partial sums leave for.
    causes : mapping of component to stall
        Of a beat that waits for the stream, whose last words came from there; else ``glb``.
    """

    @property
    def stream(self) -> BeatStream:
        """Beats."""

    @property
    def first(self) -> NDArray[np.int32]:
        """Beats of chunks."""

    @property
    def depth(self) -> int:
        """FIFO entries."""

    @property
    def hand_over(self) -> int:
        """Cycles between tiles."""

    @property
    def stops(self) -> Ints:
        """Steps at which something moves."""

    @property
    def operands(self) -> Sequence[OperandSource | None]:
        """Operands that are fetched."""

    @property
    def spill(self) -> Transfer:
        """Where partial sums leave for."""

    @property
    def causes(self) -> Mapping[str, str]:
        """Stalls by source."""

    def begin(self, tile: int, start: int) -> TileProgram:
        """Make a tile ready that starts in a cycle."""

    def finish(self, tile: int, counts: TileCounts, stats: PhaseStats) -> None:
        """Add what a tile did to the phase's counts."""
