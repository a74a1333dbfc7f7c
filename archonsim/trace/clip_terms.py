"""What clipped activations add to a block's fused weights; :mod:`archonsim.trace.fused_weight`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from archonsim.network.block import Block
from archonsim.trace.candidates_kernel import Candidates, candidates

Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]
#: As :data:`archonsim.trace.fused_weight.NONE`.
_NONE = -1


def clip_terms(block: Block, live: tuple[Bools, Bools, Bools], rows: int) -> Candidates | None:
    """Return the clip terms of a block whose other candidates have so many rows."""
    if not any(block.clips):
        return None
    late, taps, mids = block.order == "pw-pw-dw", block.taps, block.mid_channels
    wide = block.layers[1].out_channels
    found = candidates(
        (live[0][:, :0], *live[1:]),
        (np.full(mids, block.clips[0] > 0), np.full(wide, block.clips[1] > 0)),
        np.array(block.pw2_reads, np.int32),
        block.groups,
        late=late,
    )
    first, second = found.row_first, found.row_second
    alone = np.equal(first, _NONE)
    # Where DW comes last, those of the second ReLU stand alone, in groups of their own.
    lonely = np.roll(found.alone, 1, axis=1)
    return replace(
        found,
        alone=lonely,
        row_base=found.row_base + np.int32(rows),
        row_first=np.where(alone, _NONE, first + mids * taps).astype(np.int32),
        row_second=(second + alone * (wide * taps if late else wide)).astype(np.int32),
    )


def clip_slots(block: Block) -> tuple[tuple[Ints, Ints, Ints], NDArray[np.uint8]]:
    """List the groups of clip terms, empty ones included: the first ReLU's, then the second's."""
    outs, taps = np.arange(block.out_channels), np.arange(block.taps)
    out, tap = np.repeat(outs, block.taps), np.tile(taps, len(outs))
    second = (out, tap) if block.order == "pw-pw-dw" else (outs, np.full(len(outs), _NONE))
    plane = np.repeat(np.array([1, 2], np.uint8), (len(out), len(second[0])))
    out, tap = (np.append(one, other) for one, other in zip((out, tap), second, strict=True))
    return (out.astype(np.int32), np.full(len(out), _NONE, np.int32), tap.astype(np.int32)), plane
