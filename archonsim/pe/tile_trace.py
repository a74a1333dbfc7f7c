"""One tile of ARCHON's main phase, written down for who builds the array and compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.network.block import Block
from archonsim.pe.beats import BeatStream
from archonsim.pe.record_kernel import add_up, record
from archonsim.trace.fused_weight import NONE, FusedWeight
from archonsim.trace.mask import CLIPPED, PASSED

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TileTrace:
    """What enters the PE array during one tile, and all that happens inside.

    P PEs (row by row), L lanes, N groups and n candidates in the order of the stream, B beats; K *
    K taps of the window, M channels between the pointwise layers, C inputs, O outputs. Cycles count
    from 0, the tile's first.

    Attributes
    ----------
    block : str
        Name of the block.
    tile : (int, int)
        Output pixel (y, x) of PE 0.
    array : (int, int)
        Rows and columns of PEs.
    lanes, per_lane, depth : int
        Adders of a PE, candidates that each takes from one beat, entries of its FIFO.
    out : (N,) int32
        Output channel of each group.
    channel : (N,) int32
        Its input channel; -1 for bias groups, whose sum is added without a multiplication.
    tap : (N,) int32
        Its tap ``k = r * K + s``; -1 for b2's own groups.
    group_start : (N + 1,) int32
        Candidates of group i are ``group_start[i]:group_start[i + 1]``, in the order of rising m.
    mid : (n,) int32
        Channel m of each candidate; -1 where b2 stands without one.
    clip : (n,) bool
        Which candidates are clip terms: they survive where an activation is clipped.
    weight : (n,) int64
        Fixed-point fused weights, 16 bits (as `value_bits` of the machine); times `unit`: the
        weights.
    unit : float
        The block's largest weight takes all bits (own decision).
    beat_start : (B + 1,) int32
        Candidates of beat b are ``beat_start[b]:beat_start[b + 1]``.
    beat_lane, beat_group : (B,) int32
        Lane of the beat's first candidate (the others follow round-robin), and its group.
    keep1 : (P, M, K * K) bool
        Keep bits of the first ReLU in the window of each PE; False outside the map, and in PEs
        without a pixel.
    keep2 : (P, M) bool
        Those of the second at the PE's own pixel; (P, O, K * K) where DW comes last.
    clip1, clip2 : as keep1 and keep2
        Which of the kept activations are clipped; all False where the block's masks know none.
    survives : (n, P) bool
        Both bits of each candidate: passed, or, of clip terms, clipped and passed.
    input : (P, C, K * K) int64
        Fixed-point inputs, 16 bits, in the window of each PE; 0 outside the map.
    fraction : int
        Binary digits of `input` behind the point: as many as the map's largest magnitude allows
        (own decision). A bias group's input is ``2 ** fraction``.
    arrival : (B,) int64
        Cycle from which on each beat may be sent.
    beat_cycle : (B,) int64
        Cycle in which it is pushed.
    beat_wait, beat_stall : (B,) int64
        Cycles that it waited to be allowed, and then for room in the FIFOs.
    levels : (B, P, L) int32
        Entries in each FIFO after the beat's push. Each following cycle takes one, before a push.
    retire : (P, N) int64
        Cycle in which each PE retires each group.
    sums : (P, N) int64
        What leaves the adders of each PE for each group: `weight` of its survivors, added up modulo
        2 ** 20.
    has_sum : (P, N) bool
        Whether there was a survivor; without one, nothing is multiplied or added.
    overflows : int
        Of `sums`, those that the adders could not hold.
    psums : (P, O) int64
        Sum over the groups of ``sums * input``; times ``unit / 2 ** fraction``, plus `constant`:
        the block's output before residual and shuffle.
    constant : (O,) float64
        b3, which is no part of the stream.
    """

    block: str
    tile: tuple[int, int]
    array: tuple[int, int]
    lanes: int
    per_lane: int
    depth: int
    out: NDArray[np.int32]
    channel: NDArray[np.int32]
    tap: NDArray[np.int32]
    group_start: NDArray[np.int32]
    mid: NDArray[np.int32]
    clip: Bools
    weight: Ints
    unit: float
    beat_start: NDArray[np.int32]
    beat_lane: NDArray[np.int32]
    beat_group: NDArray[np.int32]
    keep1: Bools
    keep2: Bools
    clip1: Bools
    clip2: Bools
    survives: Bools
    input: Ints
    fraction: int
    arrival: Ints
    beat_cycle: Ints
    beat_wait: Ints
    beat_stall: Ints
    levels: NDArray[np.int32]
    retire: Ints
    sums: Ints
    has_sum: Bools
    overflows: int
    psums: Ints
    constant: NDArray[np.float64]

    @property
    def beats(self) -> int:
        """Number of beats."""
        return len(self.beat_group)

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self.out)

    @property
    def cycles(self) -> int:
        """Cycles of the tile: 1 + the last in which a group retires."""
        return 1 + int(self.retire.max(initial=-1))

    @property
    def drain(self) -> int:
        """Cycles behind the last beat."""
        return self.cycles - 1 - int(self.beat_cycle.max(initial=-1))

    @property
    def adds(self) -> int:
        """Survivors, over all PEs."""
        return int(np.count_nonzero(self.survives))

    @property
    def macs(self) -> int:
        """Multiplications: pairs of PE and group with a survivor, bias groups apart."""
        return int(np.count_nonzero(self.has_sum[:, self.channel != NONE]))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TileInputs:
    """What a tile's trace is worked out from.

    Attributes
    ----------
    block : Block
    fused : FusedWeight
        The groups that are sent, in the order of the stream.
    stream : BeatStream
        Cut from them.
    keep1, keep2 : (M, H, W), (M, P, Q) uint8
        0 dropped, 1 passed, 2 clipped; keep2 is (O, H, W) where DW comes last.
    x : (C, H, W) float32
        The block's input.
    """

    block: Block
    fused: FusedWeight
    stream: BeatStream
    keep1: NDArray[np.uint8]
    keep2: NDArray[np.uint8]
    x: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySizes:
    """The array's sizes that a tile depends on.

    Attributes
    ----------
    rows, cols : int
    per_lane : int
        Candidates that one lane takes from one beat.
    depth : int
        FIFO entries a lane, at least `per_lane`.
    value_bits : int
        Of a fused weight.
    input_bits : int
    adder_bits : int
        Of an adder (20, ICS'21).
    """

    rows: int
    cols: int
    per_lane: int
    depth: int
    value_bits: int = 16
    input_bits: int = 16
    adder_bits: int = 20


def windows(
    maps: NDArray[np.generic], block: Block, tile: tuple[int, int], array: tuple[int, int]
) -> NDArray[np.generic]:
    """Cut the windows of a tile's PEs out of a map.

    Parameters
    ----------
    maps : (channels, H, W)
    block : Block
        Its depthwise layer has the window.
    tile : (y, x)
        Output pixel of PE 0.
    array : (rows, cols)

    Returns
    -------
    found : (rows * cols, channels, K * K)
        0 outside the map, and in PEs without a pixel.
    """
    dw = block.dw
    y, x = (
        first + np.arange(count) for first, count in zip(tile, array, strict=True)
    )  # output pixels of rows and columns
    r, s = np.divmod(np.arange(block.taps), dw.kernel_w)
    rows = y[:, None, None] * dw.stride_h - dw.padding[0] + r
    cols = x[None, :, None] * dw.stride_w - dw.padding[2] + s
    there = (rows >= 0) & (rows < maps.shape[1]) & (cols >= 0) & (cols < maps.shape[2])
    there &= (y < dw.out_h)[:, None, None] & (x < dw.out_w)[None, :, None]
    rows, cols = np.where(there, rows, 0), np.where(there, cols, 0)
    found: NDArray[np.generic] = maps[:, rows, cols] * there.astype(maps.dtype)
    return found.reshape(len(maps), -1, block.taps).transpose(1, 0, 2)


def _own_pixels(
    keep: NDArray[np.uint8], tile: tuple[int, int], array: tuple[int, int]
) -> NDArray[np.uint8]:
    """Keep bits at each PE's output pixel, (P, M); 0 without one."""
    found = np.zeros((len(keep), *array), np.uint8)
    part = keep[:, tile[0] : tile[0] + array[0], tile[1] : tile[1] + array[1]]
    found[:, : part.shape[1], : part.shape[2]] = part
    return found.reshape(len(keep), -1).T


def _survivors(
    fused: FusedWeight, keep1: NDArray[np.uint8], keep2: NDArray[np.uint8], clip: Bools
) -> Bools:
    """Whether each candidate survives in each PE, (n, P)."""
    sizes = np.diff(fused.start)
    tap, out = np.repeat(fused.tap, sizes), np.repeat(fused.out, sizes)
    second = keep2[:, out, tap] if keep2.ndim == 3 else keep2[:, fused.mid]
    alone = np.equal(tap, NONE) | np.equal(fused.mid, NONE)  # b2: its keep bit alone matters
    wanted = np.where(clip, CLIPPED, PASSED)
    both = (second == PASSED) & (keep1[:, fused.mid, tap] == wanted)
    return np.ascontiguousarray(np.where(alone, second == wanted, both).T)


def fixed_weights(fused: FusedWeight, bits: int) -> tuple[Ints, float]:
    """Return fused weights in two's complement of `bits` bits, and what one unit is worth."""
    unit = float(np.abs(fused.value).max(initial=0)) / (2 ** (bits - 1) - 1)
    return np.rint(fused.value / (unit or 1.0)).astype(np.int64), unit


def fixed_inputs(x: NDArray[np.float32], bits: int) -> tuple[Ints, int]:
    """Return inputs in two's complement of `bits` bits, and their digits behind the point."""
    fraction = bits - 1
    most = float(np.abs(x).max(initial=0))
    while fraction and np.rint(most * 2.0**fraction) > 2 ** (bits - 1) - 1:
        fraction -= 1
    largest = 2 ** (bits - 1) - 1
    return np.clip(np.rint(x * 2.0**fraction), -largest, largest).astype(np.int64), fraction


def trace_tile(
    given: TileInputs, tile: tuple[int, int], array: ArraySizes, arrival: Sequence[int] | Ints
) -> TileTrace:
    """Step one tile and write everything down.

    Parameters
    ----------
    given : TileInputs
    tile : (y, x)
        Output pixel of PE 0.
    array : ArraySizes
    arrival : (B,) int
        Cycle from which on each beat may be sent.
    """
    block, fused, stream = given.block, given.fused, given.stream
    shape, pes = (array.rows, array.cols), array.rows * array.cols
    late = block.order == "pw-pw-dw"
    keep1 = windows(given.keep1, block, tile, shape).astype(np.uint8)
    keep2 = (
        windows(given.keep2, block, tile, shape) if late else _own_pixels(given.keep2, tile, shape)
    ).astype(np.uint8)
    clip = np.repeat(fused.plane > 0, np.diff(fused.start))
    survives = _survivors(fused, keep1, keep2, clip)
    weight, unit = fixed_weights(fused, array.value_bits)
    fixed, fraction = fixed_inputs(given.x, array.input_bits)
    inputs = windows(fixed, block, tile, shape).astype(np.int64)
    when = np.asarray(arrival, np.int64)
    levels = np.zeros((stream.beats, pes, stream.lanes), np.int32)
    retire = np.zeros((pes, stream.groups), np.int64)
    cycle, waited, stalled = record(
        survives, stream.start, stream.lane, stream.group, when, array.depth, levels, retire
    )
    sums, some = np.zeros(retire.shape, np.int64), np.zeros(retire.shape, bool)
    overflows = add_up(survives, weight, fused.start, array.adder_bits, sums, some)
    factor = np.where(fused.is_bias, 2**fraction, inputs[:, fused.channel, fused.tap])
    psums = np.zeros((pes, block.out_channels), np.int64)
    np.add.at(psums.T, fused.out, (sums * factor).T)
    return TileTrace(
        block=block.name,
        tile=tile,
        array=shape,
        lanes=stream.lanes,
        per_lane=array.per_lane,
        depth=array.depth,
        out=fused.out,
        channel=fused.channel,
        tap=fused.tap,
        group_start=fused.start,
        mid=fused.mid,
        clip=clip,
        weight=weight,
        unit=unit,
        beat_start=stream.start,
        beat_lane=stream.lane,
        beat_group=stream.group,
        keep1=keep1 > 0,
        keep2=keep2 > 0,
        clip1=keep1 == CLIPPED,
        clip2=keep2 == CLIPPED,
        survives=survives,
        input=inputs,
        fraction=fraction,
        arrival=when,
        beat_cycle=cycle,
        beat_wait=waited,
        beat_stall=stalled,
        levels=levels,
        retire=retire,
        sums=sums,
        has_sum=some,
        overflows=int(overflows),
        psums=psums,
        constant=fused.constant,
    )
