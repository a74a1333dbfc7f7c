"""Fused weights: a bottleneck block's three layers multiplied offline into one convolution.

``F[o, m, k, c] = a3[o] W2[o, m] * a2[m] Wd[m, k] * a1[m] W1[m, c]`` (ICS'21). Most products are zero because the three
layers are pruned. What survives is kept as **groups**: all candidates m of one (o, c, k), in the order in which ARCHON
streams them: c outermost, then o, then the taps k. The batch-norm shifts are terms of the same kind whose input is the
constant 1: b1 gives one group per (o, k), b2 one per o, b3 a constant per o.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import WorkloadError
from archonsim.workload.block import Block
from archonsim.workload.fuse_kernel import list_candidates
from archonsim.workload.tensors import LayerTensors, Trace

Ints = NDArray[np.int32]

#: Value of `channel` in bias groups, and of `tap` in the bias groups of b2.
NONE = -1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FusedWeight:
    """The candidates of one block as CSR arrays.

    Attributes
    ----------
    start : (N + 1,) int32
        Candidates of group i are ``start[i]:start[i + 1]``.
    mid : (n,) int32
        Which mid channel m each candidate belongs to.
    value : (n,) float64
        F, or the bias term.
    out : (N,) int32
        Output channel o of each group, before any shuffle.
    channel : (N,) int32
        Input channel c within the group of `out`; -1 for bias terms.
    tap : (N,) int32
        Tap k = r * K + s; -1 for the bias terms of b2.
    constant : (O,) float64
        b3.
    taps : int
        K * K.
    """

    start: Ints
    mid: Ints
    value: NDArray[np.float64]
    out: Ints
    channel: Ints
    tap: Ints
    constant: NDArray[np.float64]
    taps: int

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
            self, start=start, mid=self.mid[at], value=self.value[at], out=self.out[groups], channel=self.channel[groups],
            tap=self.tap[groups],
        )  # fmt: skip


def fuse(block: Block, trace: Trace) -> FusedWeight:
    """Multiply the three layers of `block` into one.

    A candidate is there where all three weights are non-zero; a bias term where the weights behind it and the shift are.

    Raises
    ------
    WorkloadError
        The block's depthwise layer is not in the middle.
    """
    if block.order != "pw-dw-pw":
        raise WorkloadError(
            f"block {block.name}: fused weights of the order {block.order} are not modelled yet; use --fidelity ideal"
        )
    one, two, three = (trace.layer(layer.name) for layer in (block.pw1, block.dw, block.pw2))
    return fuse_tensors(one, two, three, block.groups)


def fuse_tensors(one: LayerTensors, two: LayerTensors, three: LayerTensors, groups: int) -> FusedWeight:
    """Fuse PW1 `one` (M, C/G, 1, 1), DW `two` (M, 1, R, S) and PW2 `three` (O, M/G, 1, 1)."""
    w1 = one.weight[:, :, 0, 0].astype(np.float64) * one.scale[:, None]
    wd = two.weight.reshape(len(two.weight), -1).astype(np.float64) * two.scale[:, None]
    w2 = three.weight[:, :, 0, 0].astype(np.float64) * three.scale[:, None]
    live1, lived, live2 = (tensors.weight.reshape(len(tensors.weight), -1) != 0 for tensors in (one, two, three))
    biased = one.shift != 0, two.shift != 0
    start, mid, out, channel, tap = list_candidates(live1, lived, live2, biased[0], biased[1], groups)
    sizes = np.diff(start)
    o, c, k = (np.repeat(column, sizes) for column in (out, channel, tap))
    # Every candidate has W2; the two factors behind it depend on what it multiplies: x, the constant b1, or b2.
    value = w2[o, mid % w2.shape[1]]
    value *= np.where(k == NONE, two.shift[mid], wd[mid, np.maximum(k, 0)])
    value *= np.where(c == NONE, np.where(k == NONE, 1.0, one.shift[mid]), w1[mid, np.maximum(c, 0)])
    return FusedWeight(
        start=start, mid=mid, value=value, out=out, channel=channel, tap=tap,
        constant=three.shift.astype(np.float64), taps=wd.shape[1],
    )  # fmt: skip
