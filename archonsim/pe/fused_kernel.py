"""Numba kernel: the numbers that ARCHON computes, through the masked fused sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archonsim.kernels import njit
from archonsim.network.block import Block
from archonsim.trace.fused_weight import FusedWeight


@njit(cache=True)
def _fused(  # type: ignore[no-untyped-def]
    x,
    keep1,
    keep2,
    start,
    mid,
    value,
    wants,
    lane,
    out,
    channel,
    tap,
    window,
    late,
    output,
    limit,
    sums,
):
    """Compute `output`: survivors' weights of each pixel and group, then one multiplication.

    Each lane of a PE adds its own survivors of a group up; the lanes' sums are added when the group
    is through. A group's candidates survive where their activations are passed, one of them clipped
    instead where it `wants` 2. `sums` counts, for each lane, sums with survivors, those that leave
    the range of +-`limit` on the way, and keeps the farthest that any goes.
    """
    lanes = len(sums)
    part, farthest = np.zeros(lanes), np.zeros(lanes)
    survivors = np.zeros(lanes, np.int64)
    height, width = x.shape[1:]
    top, left, stride_h, stride_w, kernel_w = window
    for p in range(output.shape[1]):
        for q in range(output.shape[2]):
            for g in range(len(out)):
                k = tap[g]
                y, z = p * stride_h - top, q * stride_w - left
                if k >= 0:
                    y, z = y + k // kernel_w, z + k % kernel_w
                    if not (0 <= y < height and 0 <= z < width):
                        continue
                o = out[g]
                part[:], farthest[:], survivors[:] = 0.0, 0.0, 0
                if late:
                    second = keep2[o, y, z]
                    if not second:
                        continue
                    for i in range(start[g], start[g + 1]):
                        if (
                            second == wants[g]
                            if mid[i] < 0
                            else second == 1 and keep1[mid[i], y, z] == wants[g]
                        ):
                            n = lane[i]
                            part[n] += value[i]
                            survivors[n], farthest[n] = 1, max(farthest[n], abs(part[n]))
                else:
                    for i in range(start[g], start[g + 1]):
                        m = mid[i]
                        second = keep2[m, p, q]
                        if (
                            second == wants[g]
                            if k < 0
                            else second == 1 and keep1[m, y, z] == wants[g]
                        ):
                            n = lane[i]
                            part[n] += value[i]
                            survivors[n], farthest[n] = 1, max(farthest[n], abs(part[n]))
                total = 0.0
                for n in range(lanes):
                    total += part[n]
                    sums[n, 0] += survivors[n]
                    sums[n, 1] += farthest[n] > limit
                    sums[n, 2] = max(sums[n, 2], farthest[n])
                if channel[g] >= 0:
                    total *= x[channel[g], y, z]
                output[o, p, q] += total


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """Which adder of a PE takes which candidate.

    Attributes
    ----------
    count : int
        Adders of a PE.
    width : int
        Most candidates of a beat.
    rotate : bool
        Whether a beat starts at the adder after the last one used; else at the first one.
    """

    count: int = 1
    width: int = 1
    rotate: bool = True

    def of_candidates(self, part: FusedWeight, before: int) -> NDArray[np.int32]:
        """Return the adder of each candidate of some groups, behind so many others."""
        place = np.arange(part.candidates, dtype=np.int32)
        if self.rotate:
            return (place + before % self.count) % self.count
        place -= np.repeat(part.start[:-1], np.diff(part.start))
        return place % self.width % self.count


#: One adder takes all.
ONE_ADDER = Lanes()


def fused_output(
    block: Block,
    fused: FusedWeight,
    x: NDArray[np.float32],
    keep1: NDArray[np.uint8],
    keep2: NDArray[np.uint8],
    lanes: Lanes = ONE_ADDER,
    value: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Compute a block's convolution branch, before residual and a shuffle of its output.

    Parameters
    ----------
    block : Block
    fused : FusedWeight
        Bias terms included.
    x : (C, H, W) float32
    keep1, keep2 : (M, H, W), (M, P, Q) uint8
        What the masks do, as :meth:`archonsim.trace.mask.Mask.states` says; keep2 is (O, H, W)
        where DW comes last.
    lanes : Lanes
        One adder that takes all, by default.
    value : (n,) float64 or None
        In place of the fused weights' own values, such as these in fixed point.

    Returns
    -------
    y : (O, P, Q) float64
        ``sum_c sum_k x[c, p s + k] * sum_m keep1 keep2 F + bias and clip terms``; no ReLU anywhere:
        what the masks pass passes, be it negative.
    """
    output, _ = _run(block, fused, value, x, (keep1, keep2), np.inf, lanes)
    return output


@dataclass(frozen=True, slots=True)
class AccumulatorUse:
    """What accumulators of limited width meet.

    Attributes
    ----------
    sums : int
        Sums of at least one survivor: of a group, in a PE and an adder of it.
    overflows : int
        Those that leave its range on the way.
    bits : int
        Width, sign included, that would hold all of them.
    by_lane : tuple of int
        Overflows of each adder.
    """

    sums: int
    overflows: int
    bits: int
    by_lane: tuple[int, ...]


def accumulator_use(
    block: Block,
    fused: FusedWeight,
    keep1: NDArray[np.uint8],
    keep2: NDArray[np.uint8],
    *,
    value_bits: int,
    accumulator_bits: int,
    lanes: Lanes = ONE_ADDER,
) -> AccumulatorUse:
    """Add the survivors up in fixed point, in streaming order, and record the sums' range.

    Parameters
    ----------
    block, fused, keep1, keep2
        As in `fused_output`.
    value_bits : int
        Width of a fused weight (16, ICS'21); the block's largest one takes all of it (own
        decision).
    accumulator_bits : int
        Width of an adder (20, ICS'21). Both are two's complement.
    lanes : Lanes
        One adder that takes all, by default.
    """
    largest = max(
        (float(np.abs(part.value).max(initial=0)) for _, part in fused.parts()), default=0
    )
    unit = largest / (2 ** (value_bits - 1) - 1)
    nothing = np.zeros((block.in_channels, block.pw1.in_h, block.pw1.in_w), np.float32)
    limit = 2 ** (accumulator_bits - 1) - 1
    _, sums = _run(block, fused, unit, nothing, (keep1, keep2), limit, lanes)
    return AccumulatorUse(
        sums=int(sums[:, 0].sum()),
        overflows=int(sums[:, 1].sum()),
        bits=int(sums[:, 2].max()).bit_length() + 1,
        by_lane=tuple(int(one) for one in sums[:, 1]),
    )


def _run(
    block: Block,
    fused: FusedWeight,
    value: NDArray[np.float64] | float | None,
    x: NDArray[np.float32],
    keeps: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    limit: float,
    lanes: Lanes,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Run the kernel over parts of the groups: all fused weights of a block may take gigabytes.

    `value` is that of all candidates, or a unit that the fused weights' own are rounded to
    multiples of.
    """
    dw, before = block.dw, 0
    output = np.empty((block.out_channels, dw.out_h, dw.out_w))
    sums = np.zeros((lanes.count, 3))
    output[:] = fused.constant[:, None, None]
    window = (dw.padding[0], dw.padding[2], dw.stride_h, dw.stride_w, dw.kernel_w)
    wide = x.astype(np.float64)
    for _, part in fused.parts():
        if isinstance(value, np.ndarray):
            own = value[before : before + part.candidates]
        else:
            own = np.rint(part.value / value) if value else part.value
        _fused(
            wide,
            *keeps,
            part.start,
            part.mid,
            own,
            1 + (part.plane > 0),
            lanes.of_candidates(part, before),
            part.out,
            part.channel,
            part.tap,
            window,
            block.order == "pw-pw-dw",
            output,
            float(limit),
            sums,
        )
        before += part.candidates
    return output, sums
