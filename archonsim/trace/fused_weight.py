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

A clipped activation is the constant at which its ReLU ends (6 of a ReLU6), so what it adds is one
more term whose input is the constant 1, as a shift is: of the first ReLU 6 W2 Wd for an (o, k), of
the second 6 W2 for an o (6 Wd for an (o, k) where DW comes last). These **clip terms** are groups
behind all others, those of the first ReLU before those of the second. They need the bit that says
clipped where a shift needs the one that says passed (own decision).

What is kept of a block are its groups and which mid channels stand behind them, as sets; the
candidates themselves, hundreds of millions in a block that is not pruned, are made when and as far
as they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import WorkloadError
from archonsim.network.block import Block
from archonsim.trace.candidates_kernel import Candidates, candidates
from archonsim.trace.clip_terms import clip_slots, clip_terms
from archonsim.trace.kept import KEPT
from archonsim.trace.tensors import LayerTensors, Trace

Ints = NDArray[np.int32]

#: No such index: `channel` of bias groups, `tap` of b2's own groups, `mid` of a candidate without a
#: mid channel, `row_first` of a row that needs keep2 alone.
NONE = -1

#: Most candidates of a block: they are numbered by 32 bits.
MOST_CANDIDATES = 2**31 - 1

#: Candidates that are made at a time where they are not all needed at once (own decision): some
#: 100 MB with all that is computed of them.
PART_CANDIDATES = 1 << 21


@dataclass(frozen=True, slots=True, eq=False)
class _Factors:
    """What fused weights are products of, scaled, float64."""

    first: NDArray[np.float64]
    dw: NDArray[np.float64]
    pw2: NDArray[np.float64]
    shifts: tuple[NDArray[np.float32], NDArray[np.float32]]
    clips: tuple[float, float]
    place: NDArray[np.int64]
    late: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class FusedWeight:
    """The candidates of one block in CSR form, group by group.

    A candidate survives in a PE where two bits are set: one of keep1 and one of keep2. Candidates
    that share both bits share a **row**; W is the K * K of DW's window, and a window bit ``channel
    * W + k`` is that channel's bit at tap k of the PE's window. Where a ReLU clips, bits that say
    passed stand for those of keep, and behind all of them follow those that say clipped.

    Attributes
    ----------
    start : (N + 1,) int32
        Candidates of group i are ``start[i]:start[i + 1]``.
    out : (N,) int32
        Output channel o of each group, before any shuffle.
    channel : (N,) int32
        Input channel c; -1 for bias terms.
    tap : (N,) int32
        Tap k = r * K + s; -1 for b2's own groups.
    plane : (N,) uint8
        Which of the two ReLUs a group's clip terms are of, 1 or 2; 0 for all other groups.
    constant : (O,) float64
        b3.
    known : Candidates
        Which mid channels stand behind each group.
    factors : _Factors
        What the values are made of.
    clipped : Candidates or None
        Of the clip terms, as of a block without inputs whose shifts are the ReLUs' upper ends; None
        where the block's masks know none.
    """

    start: Ints
    out: Ints
    channel: Ints
    tap: Ints
    plane: NDArray[np.uint8]
    constant: NDArray[np.float64]
    known: Candidates
    factors: _Factors
    clipped: Candidates | None = None

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
        """Number of non-zero fused weights, bias and clip terms."""
        return int(self.start[-1])

    @property
    def group_bytes(self) -> int:
        """Bytes of what is held of the groups."""
        rows = self.row_first.nbytes + self.row_second.nbytes
        groups = self.start.nbytes + self.out.nbytes + self.channel.nbytes + self.tap.nbytes
        return rows + groups + sum(one.nbytes for one in self.known.sets)

    @cached_property
    def row_first(self) -> Ints:
        """Window bit ``m * W + k`` of keep1 of each row, (R,) int32; -1 where none matters."""
        if self.clipped is None:
            return self.known.row_first
        return np.append(self.known.row_first, self.clipped.row_first)

    @cached_property
    def row_second(self) -> Ints:
        """Bit of keep2 of each row, (R,) int32.

        ``m`` at the PE's own pixel, or window bit ``o * W + k`` where DW comes last.
        """
        if self.clipped is None:
            return self.known.row_second
        return np.append(self.known.row_second, self.clipped.row_second)

    @cached_property
    def mid(self) -> Ints:
        """Which mid channel m each candidate belongs to, (n,) int32.

        -1 where b2 stands without one. Kept: ask a part of a large block.
        """
        found = np.empty(self.candidates, np.int32)
        for known, keys, starts in self._named():
            known.mids(keys, starts, found)
        return found

    @cached_property
    def row(self) -> Ints:
        """Row of each candidate, (n,) int32; kept as `mid` is."""
        return self.rows()

    @cached_property
    def value(self) -> NDArray[np.float64]:
        """F, or the bias or clip term, of each candidate, (n,) float64; kept as `mid` is."""
        known, mid, sizes = self.factors, self.mid, np.diff(self.start)
        o, c, k = (np.repeat(column, sizes) for column in (self.out, self.channel, self.tap))
        shift1, shift2 = known.shifts[0][mid], known.shifts[1][o if known.late else mid]
        if self.clipped is not None:
            clip = np.repeat(self.plane > 0, sizes)
            shift1 = np.where(clip, known.clips[0], shift1)
            shift2 = np.where(clip, known.clips[1], shift2)
        w1 = np.where(c == NONE, shift1, known.first[mid, c % known.first.shape[1]])
        w2 = known.pw2[o, known.place[mid]]
        if known.late:
            return known.dw[o, k] * np.where(mid == NONE, shift2, w1 * w2)
        # Every candidate has W2; the factors behind it depend on what it multiplies: x, the
        # constant b1, or b2.
        return w2 * np.where(k == NONE, shift2, known.dw[mid, k] * w1)

    def rows(self) -> Ints:
        """Return `row`, and keep nothing."""
        found = np.empty(self.candidates, np.int32)
        for known, keys, starts in self._named():
            known.rows(keys, starts, found)
        return found

    def in_order(self, groups: Ints) -> FusedWeight:
        """Return the same groups in another order, given as their (N,) numbers, or some of them."""
        sizes = np.diff(self.start)[groups]
        return replace(
            self,
            start=np.append(0, np.cumsum(sizes, dtype=np.int64)).astype(np.int32),
            out=self.out[groups],
            channel=self.channel[groups],
            tap=self.tap[groups],
            plane=self.plane[groups],
        )

    def parts(self, most: int = PART_CANDIDATES) -> Iterator[tuple[slice, FusedWeight]]:
        """Yield all groups in parts of at most `most` candidates, or of one group.

        Yields
        ------
        which : slice
            Of the groups.
        part : FusedWeight
        """
        first = 0
        while first < self.groups:
            limit = int(self.start[first]) + most
            last = max(first + 1, int(np.searchsorted(self.start, limit, "right")) - 1)
            which = slice(first, min(last, self.groups))
            yield (
                which,
                replace(
                    self,
                    start=self.start[first : which.stop + 1] - self.start[first],
                    out=self.out[which],
                    channel=self.channel[which],
                    tap=self.tap[which],
                    plane=self.plane[which],
                ),
            )
            first = which.stop

    def _named(self) -> Iterator[tuple[Candidates, tuple[Ints, Ints, Ints], Ints]]:
        """Yield who names the candidates of groups, these groups, and where each begins."""
        if self.clipped is None:
            yield self.known, _keys(self.out, self.channel, self.tap, self.known), self.start[:-1]
            return
        for known, which in ((self.known, self.plane == 0), (self.clipped, self.plane > 0)):
            columns = self.out[which], self.channel[which], self.tap[which]
            keys = _keys(*columns, known, self.plane[which])
            yield known, keys, self.start[:-1][which]


def _keys(
    out: Ints,
    channel: Ints,
    tap: Ints,
    known: Candidates,
    plane: NDArray[np.uint8] | int = 0,
) -> tuple[Ints, Ints, Ints]:
    """Return groups as `Candidates` numbers them; `plane` tells clip terms apart."""
    bias = np.equal(channel, NONE)
    second = np.where(plane, np.equal(plane, 2), bias & np.equal(tap, NONE))
    source = np.where(bias, known.channels + second, channel)
    taps = known.row_base.shape[1] - 1
    return source.astype(np.int32), out, np.where(tap == NONE, taps, tap).astype(np.int32)


def fuse(block: Block, trace: Trace) -> FusedWeight:
    """Multiply the three layers of `block` into one.

    Kept for the next image, or the next machine of a sweep, where there is room.

    A candidate is there where all three weights are non-zero; a bias term where the weights behind
    it and the shift are; a clip term likewise, for every channel that may be clipped.

    Raises
    ------
    WorkloadError
        There are more than :data:`MOST_CANDIDATES`.
    """

    def make() -> FusedWeight:
        first, second, third = (trace.layer(layer.name) for layer in block.layers)
        return fuse_tensors(block, (first, second, third))

    found: FusedWeight = KEPT.get(("fuse", block, trace), make, lambda one: one.group_bytes)
    return found


def _scaled(tensors: LayerTensors) -> NDArray[np.float64]:
    return (
        tensors.weight.reshape(len(tensors.weight), -1).astype(np.float64) * tensors.scale[:, None]
    )


def _live(tensors: LayerTensors) -> NDArray[np.bool_]:
    live: NDArray[np.bool_] = np.not_equal(tensors.weight.reshape(len(tensors.weight), -1), 0)
    return live


def _slots(block: Block) -> tuple[Ints, Ints, Ints]:
    """List the groups with an input channel: output, channel and tap, in stream order."""
    outs, per_in = block.out_channels, block.in_channels // block.groups
    own = np.arange(outs) // (outs // block.groups)
    if block.order == "pw-pw-dw":  # any input channel may reach any output
        reach = np.array(block.reach)[own]
        channel, out = np.nonzero(np.repeat(reach.T, per_in, axis=0))
    else:
        channel = (own * per_in + np.arange(per_in)[:, None]).ravel()
        out = np.tile(np.arange(outs), per_in)
    tap = np.tile(np.arange(block.taps, dtype=np.int32), len(out))
    return (
        np.repeat(out, block.taps).astype(np.int32),
        np.repeat(channel, block.taps).astype(np.int32),
        tap,
    )


def _bias_slots(block: Block) -> tuple[Ints, Ints, Ints]:
    """List b1's groups, then b2's where it has any, empty ones included."""
    outs, taps = block.out_channels, block.taps
    out = np.repeat(np.arange(outs), taps)
    tap = np.tile(np.arange(taps), outs)
    if block.order == "pw-dw-pw":
        out, tap = np.append(out, np.arange(outs)), np.append(tap, np.full(outs, NONE))
    return out.astype(np.int32), np.full(len(out), NONE, np.int32), tap.astype(np.int32)


def fuse_tensors(
    block: Block, tensors: tuple[LayerTensors, LayerTensors, LayerTensors]
) -> FusedWeight:
    """Fuse the three layers of `block`, given in order of execution; raises as :func:`fuse`."""
    late = block.order == "pw-pw-dw"
    one, two, three = tensors
    dw, pw2 = (three, two) if late else (two, three)
    reads = np.array(block.pw2_reads, np.int32)
    live = (_live(one), _live(dw), _live(pw2))
    shifts = (one.shift != 0, two.shift != 0)
    known = candidates(live, shifts, reads, block.groups, late=late)
    clipped = clip_terms(block, live, len(known.row_first))
    slots, bias = _slots(block), _bias_slots(block)
    sizes, of_bias = (known.count(_keys(*columns, known)) for columns in (slots, bias))
    # A fused convolution has a MAC slot even where no weight is left; a bias term has none.
    some = of_bias > 0
    out, channel, tap = (
        np.append(slot, other[some]) for slot, other in zip(slots, bias, strict=True)
    )
    sizes, plane = np.append(sizes, of_bias[some]), np.zeros(len(out), np.uint8)
    if clipped is not None:
        more, planes = clip_slots(block)
        of_clips = clipped.count(_keys(*more, clipped, planes))
        some = of_clips > 0
        out, channel, tap = (
            np.append(one, other[some])
            for one, other in zip((out, channel, tap), more, strict=True)
        )
        sizes, plane = np.append(sizes, of_clips[some]), np.append(plane, planes[some])
    start = np.append(0, np.cumsum(sizes))
    if start[-1] > MOST_CANDIDATES:
        raise WorkloadError(
            f"block {block.name}: {start[-1]} fused weights are not zero, and at most"
            f" {MOST_CANDIDATES} can be numbered; prune its layers, or run it unfused"
        )
    return FusedWeight(
        start=start.astype(np.int32),
        out=out,
        channel=channel,
        tap=tap,
        plane=plane,
        constant=three.shift.astype(np.float64),
        known=known,
        factors=_Factors(
            _scaled(one),
            _scaled(dw),
            _scaled(pw2),
            (one.shift, two.shift),
            block.clips,
            np.argsort(reads) % pw2.weight.shape[1],
            late,
        ),
        clipped=clipped,
    )
