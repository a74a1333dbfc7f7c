"""How large the values behind predictions are.

What hits pass, what false alarms let through, what misses lose.
"""

from __future__ import annotations

import numpy as np

from archonsim.network.block import Block
from archonsim.result.ledger import Magnitudes
from archonsim.trace.algebra import preactivations
from archonsim.trace.mask import CLIPPED, Mask
from archonsim.trace.tensors import BlockTrace, Floats, Trace


def _magnitudes(pre: Floats, keep: Mask, true: Mask, end: float) -> Magnitudes:
    """Sort values by class; what is clipped passes as its ReLU's upper end."""
    if keep.clip is not None:
        pre = np.where(keep.states() == CLIPPED, np.float32(end), pre)
    kept, positive = keep.unpack().astype(bool), true.unpack().astype(bool)
    hits, passed, lost = (
        pre[kept & positive],
        pre[kept & ~positive & (pre < 0)],
        pre[~kept & positive],
    )
    sums = (float(np.abs(values, dtype=np.float64).sum()) for values in (hits, passed, lost))
    return Magnitudes(hits.size, passed.size, lost.size, *sums)


def relu_magnitudes(
    source: Trace, block: Block, trace: BlockTrace
) -> tuple[Magnitudes, Magnitudes]:
    """Recompute a block's two pre-activations and sort them by class of prediction.

    They follow from the workload's weights and the block's stored input.

    The second ReLU's stand behind the first one's predicted mask, as in the trained network.
    """
    first, second, third = (source.layer(layer.name) for layer in block.layers)
    pre1, pre2 = preactivations(block, (first, second, third), trace.keep1, trace.input)
    return (
        _magnitudes(pre1, trace.keep1, trace.true1, block.clips[0]),
        _magnitudes(pre2, trace.keep2, trace.true2, block.clips[1]),
    )
