"""How large the values behind predictions are.

What hits pass, what false alarms let through, what misses lose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archonsim.network.block import Block
from archonsim.trace.algebra import preactivations
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import BlockTrace, Floats, Trace


@dataclass(frozen=True, slots=True)
class Magnitudes:
    """Pre-activations by class of prediction, as sums of magnitudes, so that they add up over ReLUs and images.

    Attributes
    ----------
    hits, negatives, lost : int
        Values that hits pass; negative values that false alarms pass; positive values that misses
        lose.
    hit_sum, negative_sum, lost_sum : float
        Sums of their magnitudes, in the network's own units (after batch normalisation).
    """

    hits: int
    negatives: int
    lost: int
    hit_sum: float
    negative_sum: float
    lost_sum: float

    def __add__(self, other: Magnitudes) -> Magnitudes:
        return Magnitudes(
            self.hits + other.hits,
            self.negatives + other.negatives,
            self.lost + other.lost,
            self.hit_sum + other.hit_sum,
            self.negative_sum + other.negative_sum,
            self.lost_sum + other.lost_sum,
        )

    @property
    def hit_mean(self) -> float:
        """Mean magnitude of what hits pass."""
        return self.hit_sum / max(1, self.hits)

    @property
    def negative_mean(self) -> float:
        """Mean magnitude of the negative values that false alarms pass."""
        return self.negative_sum / max(1, self.negatives)

    @property
    def lost_mean(self) -> float:
        """Mean of the positive values that misses lose."""
        return self.lost_sum / max(1, self.lost)

    def to_dict(self) -> dict[str, float]:
        """Return the JSON form: counts and means, rounded to what float32 sums are good for."""
        return {
            "negatives_passed": self.negatives,
            "hit_mean": float(f"{self.hit_mean:.6g}"),
            "negative_mean": float(f"{self.negative_mean:.6g}"),
            "lost_mean": float(f"{self.lost_mean:.6g}"),
        }


def _magnitudes(pre: Floats, keep: Mask, true: Mask) -> Magnitudes:
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
    """Recompute a block's two pre-activations from the workload's weights and the block's stored input, and sort them.

    The second ReLU's stand behind the first one's predicted mask, as in the trained network.
    """
    first, second, third = (source.layer(layer.name) for layer in block.layers)
    pre1, pre2 = preactivations(block, (first, second, third), trace.keep1, trace.input)
    return _magnitudes(pre1, trace.keep1, trace.true1), _magnitudes(pre2, trace.keep2, trace.true2)
