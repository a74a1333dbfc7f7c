"""Numba kernel: the numbers that ARCHON computes, through the masked fused sum."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from archonsim.workload.block import Block
from archonsim.workload.fused_weight import FusedWeight


@njit(cache=True)
def _fused(x, keep1, keep2, start, mid, value, out, channel, tap, window, late, output):  # type: ignore[no-untyped-def]
    """Add `output` up: for each pixel and group, first the survivors' weights, then one multiplication."""
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
                o, total = out[g], 0.0
                if late:
                    if not keep2[o, y, z]:
                        continue
                    for i in range(start[g], start[g + 1]):
                        if mid[i] < 0 or keep1[mid[i], y, z]:
                            total += value[i]
                else:
                    for i in range(start[g], start[g + 1]):
                        m = mid[i]
                        if keep2[m, p, q] and (k < 0 or keep1[m, y, z]):
                            total += value[i]
                if channel[g] >= 0:
                    total *= x[channel[g], y, z]
                output[o, p, q] += total


def fused_output(
    block: Block, fused: FusedWeight, x: NDArray[np.float32], keep1: NDArray[np.uint8], keep2: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Compute a block's convolution branch, before residual and a shuffle of its output.

    Parameters
    ----------
    block : Block
    fused : FusedWeight
        Bias terms included.
    x : (C, H, W) float32
    keep1, keep2 : (M, H, W), (M, P, Q) uint8
        keep2 is (O, H, W) where DW comes last.

    Returns
    -------
    y : (O, P, Q) float64
        ``sum_c sum_k x[c, p s + k] * sum_m keep1 keep2 F + bias terms``; no ReLU anywhere: what the masks keep passes, be
        it negative.
    """
    dw = block.dw
    output = np.empty((block.out_channels, dw.out_h, dw.out_w))
    output[:] = fused.constant[:, None, None]
    window = (dw.padding[0], dw.padding[2], dw.stride_h, dw.stride_w, dw.kernel_w)
    _fused(
        x.astype(np.float64), keep1, keep2, fused.start, fused.mid, fused.value, fused.out, fused.channel, fused.tap, window,
        block.order == "pw-pw-dw", output,
    )  # fmt: skip
    return output
