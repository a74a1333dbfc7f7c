"""Fused weights: a bottleneck block's three layers multiplied offline into one convolution.

``F[o, m, k, c] = a3[o] W2[o, m] * a2[m] Wd[m, k] * a1[m] W1[m, c]`` (ICS'21). Most products are
zero because the three layers are pruned. What survives is kept as **groups**: all candidates m of
one (o, c, k), in the order in which ARCHON streams them: c outermost, then o, then the taps k. The
batch-norm shifts are terms of the same kind whose input is the constant 1: b1 gives one group per
(o, k), b2 one per o, b3 a constant per o.

With DW behind both pointwise layers, ``F[o, m, k, c] = a3[o] Wd[o, k] * a2[o] W2[o, m] * a1[m]
W1[m, c]``: the taps belong to the output channel, so both masks are read at the tap's pixel, and
keep2 is one bit for a whole (o, k). Its b2 is multiplied by Wd[o, k], too, and joins the group of
b1's (o, k) as one more candidate, which needs keep2 alone (own decision).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from archonsim.network.block import Block
from archonsim.trace.fuse_kernel import list_candidates
from archonsim.trace.tensors import LayerTensors, Trace

Ints = NDArray[np.int32]

#: No such index: `channel` of bias groups, `tap` of b2's own groups, `mid` of a candidate without a
#: mid channel, `row_first` of a row that needs keep2 alone.
NONE = -1


#: Blocks whose fused weights are kept (own decision): those of the largest networks, 17 blocks, and
#: of one more.
KEPT_BLOCKS = 40


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FusedWeight:
    """The candidates of one block as CSR arrays.

    A candidate survives in a PE where two bits are set: one of keep1 and one of keep2. Candidates
    that share both bits share a **row**; W is the K * K of DW's window, and a window bit ``channel
    * W + k`` is that channel's bit at tap k of the PE's window.

    Attributes
    ----------
    start : (N + 1,) int32
        Candidates of group i are ``start[i]:start[i + 1]``.
    mid : (n,) int32
        Which mid channel m each candidate belongs to; -1 where b2 stands without one.
    row : (n,) int32
        Row of each candidate.
    value : (n,) float64
        F, or the bias term.
    out : (N,) int32
        Output channel o of each group, before any shuffle.
    channel : (N,) int32
        Input channel c; -1 for bias terms.
    tap : (N,) int32
        Tap k = r * K + s; -1 for b2's own groups.
    constant : (O,) float64
        b3.
    row_first : (R,) int32
        Window bit ``m * W + k`` of keep1; -1 where keep1 does not matter.
    row_second : (R,) int32
        Bit of keep2: ``m`` at the PE's own pixel, or window bit ``o * W + k`` where DW comes last.
    """

    start: Ints
    mid: Ints
    row: Ints
    value: NDArray[np.float64]
    out: Ints
    channel: Ints
    tap: Ints
    constant: NDArray[np.float64]
    row_first: Ints
    row_second: Ints

    @property
    def groups(self) -> int:
        """Number of groups, bias groups included."""
        return len(self.out)

    @property
    def is_bias(self) -> NDArray[np.bool_]:
        """(N,) bool: groups that need no multiplication."""
        return np.equal(self.channel, NONE)

    @property
    def candidates(self) -> int:
        """Number of non-zero fused weights and bias terms."""
        return len(self.mid)

    def in_order(self, groups: Ints) -> FusedWeight:
        """Return the same groups in another order, given as their (N,) numbers."""
        sizes = np.diff(self.start)[groups]
        start = np.append(0, np.cumsum(sizes)).astype(np.int32)
        at = np.repeat(self.start[groups] - start[:-1], sizes) + np.arange(start[-1])
        return replace(
            self,
            start=start,
            mid=self.mid[at],
            row=self.row[at],
            value=self.value[at],
            out=self.out[groups],
            channel=self.channel[groups],
            tap=self.tap[groups],
        )


@lru_cache(maxsize=KEPT_BLOCKS)
def fuse(block: Block, trace: Trace) -> FusedWeight:
    """Multiply the three layers of `block` into one.

    Kept for the next image, or the next machine of a sweep.

    A candidate is there where all three weights are non-zero; a bias term where the weights behind
    it and the shift are.
    """
    first, second, third = (trace.layer(layer.name) for layer in block.layers)
    return fuse_tensors(block, (first, second, third))


def _scaled(tensors: LayerTensors) -> NDArray[np.float64]:
    return (
        tensors.weight.reshape(len(tensors.weight), -1).astype(np.float64) * tensors.scale[:, None]
    )


def _live(tensors: LayerTensors) -> NDArray[np.bool_]:
    live: NDArray[np.bool_] = np.not_equal(tensors.weight.reshape(len(tensors.weight), -1), 0)
    return live


def fuse_tensors(
    block: Block, tensors: tuple[LayerTensors, LayerTensors, LayerTensors]
) -> FusedWeight:
    """Fuse the three layers of `block`, given in order of execution."""
    late = block.order == "pw-pw-dw"
    one, two, three = tensors
    dw, pw2 = (three, two) if late else (two, three)
    reads = np.array(block.pw2_reads, np.int32)
    start, mid, out, channel, tap = list_candidates(
        (_live(one), _live(dw), _live(pw2)),
        (one.shift != 0, two.shift != 0),
        reads,
        np.array(block.reach),
        late=late,
    )
    sizes = np.diff(start)
    o, c, k = (np.repeat(column, sizes) for column in (out, channel, tap))
    place = np.argsort(reads)[mid] % pw2.weight.shape[1]
    w1 = np.where(c == NONE, one.shift[mid], _scaled(one)[mid, c % one.weight.shape[1]])
    if late:
        value = _scaled(dw)[o, k] * np.where(mid == NONE, two.shift[o], w1 * _scaled(pw2)[o, place])
        row, row_first, row_second = _late_rows(mid, o, k, block.taps)
    else:
        # Every candidate has W2; the factors behind it depend on what it multiplies: x, the
        # constant b1, or b2.
        value = _scaled(pw2)[o, place] * np.where(
            k == NONE, two.shift[mid], _scaled(dw)[mid, k] * w1
        )
        row, row_first, row_second = _rows(mid, k, block)
    return FusedWeight(
        start=start,
        mid=mid,
        row=row,
        value=value,
        out=out,
        channel=channel,
        tap=tap,
        constant=three.shift.astype(np.float64),
        row_first=row_first,
        row_second=row_second,
    )


def _rows(mid: Ints, tap: Ints, block: Block) -> tuple[Ints, Ints, Ints]:
    """One row for each (m, k), then one for keep2 of m alone."""
    taps, mids = block.taps, block.mid_channels
    row = mid * (taps + 1) + np.where(tap == NONE, taps, tap)
    first = np.full((mids, taps + 1), NONE, np.int32)
    first[:, :taps] = np.arange(mids * taps).reshape(mids, taps)
    return (
        row.astype(np.int32),
        first.reshape(-1),
        np.repeat(np.arange(mids, dtype=np.int32), taps + 1),
    )


def _late_rows(mid: Ints, out: Ints, tap: Ints, taps: int) -> tuple[Ints, Ints, Ints]:
    """One row for each (m, o, k) that some candidate has; m = -1 stands for keep2 alone."""
    mids = int(mid.max(initial=0)) + 2
    keys, row = np.unique((out.astype(np.int64) * taps + tap) * mids + mid + 1, return_inverse=True)
    second, m = keys // mids, keys % mids - 1
    first = np.where(m == NONE, NONE, m * taps + second % taps)
    return row.astype(np.int32), first.astype(np.int32), second.astype(np.int32)
