"""Windows that do not fit the input pad of a PE: cut into rows of taps.

A PE keeps the K x K inputs of one channel while the weights of all output channels pass. A 5x5
window is too large for the 12 words of the published pad, and the authors' model has no mapping for
it; here the channel is passed over in several rounds of whole rows of taps (own decision). No
product is lost or done twice; partial sums are touched once a round.
"""

from __future__ import annotations

import numpy as np

from archonsim.errors import SpecError
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.network.block import Block
from archonsim.trace.fused_weight import NONE, FusedWeight


def _rows(block: Block, pad_words: int) -> int:
    """Rows of taps that fit the pad."""
    return max(1, min(block.dw.kernel_h, pad_words // block.dw.kernel_w))


def window_passes(block: Block, pad_words: int) -> int:
    """Rounds that one input channel takes: 1 when its window fits."""
    return -(-block.dw.kernel_h // _rows(block, pad_words))


def in_window_order(fused: FusedWeight, block: Block, pad_words: int) -> FusedWeight:
    """Put the groups of a block into the order in which they are streamed.

    Channel, round, output channel, tap; clip terms last.
    """
    if window_passes(block, pad_words) == 1:
        return fused
    taps = _rows(block, pad_words) * block.dw.kernel_w
    last = np.iinfo(np.int32).max
    # All groups' first channels take their turn, then all second ones; where DW comes last, one
    # channel after the other.
    turn = (
        fused.channel
        if block.order == "pw-pw-dw"
        else fused.channel % (block.in_channels // block.groups)
    )
    channel = np.where(fused.channel == NONE, last, turn)
    tap = np.where(fused.tap == NONE, last, fused.tap)
    order = np.lexsort((tap, fused.out, tap // taps, channel, fused.plane))
    return fused.in_order(order.astype(np.int32))


def check_window(block: Block, spec: ArchonSpec) -> None:
    """Refuse a window that cannot be, or shall not be, cut.

    Raises
    ------
    SpecError
        One row of taps does not fit the pad, or the window does not and ``windows`` is ``refuse``.
    """
    dw, pad = block.dw, spec.pe.main_ifmap_words
    window = f"block {block.name}: its window of {dw.kernel_h} x {dw.kernel_w} inputs"
    if dw.kernel_w > pad:
        raise SpecError(
            f"{window} has rows of {dw.kernel_w} words; pe.main_ifmap_words is {pad}, make it at"
            f" least {dw.kernel_w}"
        )
    if spec.windows == "refuse" and dw.kernel_h * dw.kernel_w > pad:
        raise SpecError(
            f"{window} does not fit pe.main_ifmap_words, which is {pad}; set windows=split to cut"
            " it into rows of taps"
        )
