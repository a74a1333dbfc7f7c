"""How many candidates of a group survive, as far as other images tell.

A stream is made before an image is known. What calibration images tell of each channel is how
often its activations are kept, and a candidate survives where both of its masks keep it: the
product of the two shares, as if they were independent (own decision). Calibration images are all
images of the trace but the one that runs, or that one where there is no other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archonsim.network.block import Block
from archonsim.trace.fused_weight import FusedWeight
from archonsim.trace.mask import CLIPPED, PASSED, Mask
from archonsim.trace.tensors import Trace

Shares = NDArray[np.float64]


def calibration_images(images: int, running: int) -> list[int]:
    """Return which images of a trace a profile is taken of, while one of them runs."""
    return [image for image in range(images) if image != running] or [running]


def kept_shares(trace: Trace, block: Block, running: int) -> tuple[Shares, Shares]:
    """Return the share of each channel's activations that the two masks keep.

    Parameters
    ----------
    trace : Trace
        With masks.
    block : Block
    running : int
        The image that the profile is for.

    Returns
    -------
    first : (M,) float64
    second : (M,) float64
        (O,) where DW comes last. Where a ReLU clips, the shares that it passes, and behind them
        those that it clips.
    """
    images = calibration_images(trace.images, running)
    found = [trace.block(block.name, image) for image in images]
    first, second = (
        np.mean([_shares(mask) for mask in masks], axis=0)
        for masks in ([one.keep1 for one in found], [one.keep2 for one in found])
    )
    return first, second


def _shares(mask: Mask) -> Shares:
    if mask.clip is None:
        kept: Shares = mask.unpack().mean(axis=(1, 2))
        return kept
    states = mask.states()
    return np.concatenate([np.mean(states == one, axis=(1, 2)) for one in (PASSED, CLIPPED)])


def expected_survivors(fused: FusedWeight, block: Block, shares: tuple[Shares, Shares]) -> Shares:
    """Return the survivors that each group has on average, (N,) float64."""
    first, second = shares
    expected: Shares = np.zeros(fused.groups)
    for which, part in fused.parts():
        group, mid = np.repeat(np.arange(part.groups), np.diff(part.start)), part.mid
        if block.order == "pw-pw-dw":  # b2's candidates have no mid channel and need keep2 alone
            alone, own = mid < 0, part.out[group]
        else:  # b2's groups have no tap, likewise
            alone, own = part.tap[group] < 0, mid
        if part.clipped is not None:
            clip = part.plane[group] > 0
            own = own + (clip & alone) * block.layers[1].out_channels
            mid = mid + (clip & ~alone) * block.mid_channels
        survive = second[own] * np.where(alone, 1.0, first[mid])
        expected[which] = np.bincount(group, survive, part.groups)
    return expected
