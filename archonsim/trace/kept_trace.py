"""A trace that keeps what was read.

For sweeps and explanations, which ask for the same weights and masks again and again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from archonsim.network.workload import Workload
from archonsim.trace.tensors import Trace

#: Blocks of one image, and layers, that are kept (own decision): all of the largest networks' for
#: one image, of most for several.
KEPT_BLOCKS = 80
KEPT_LAYERS = 320


class KeptTrace:
    """Another trace's parts, the last ones asked for kept in memory.

    See :class:`~archonsim.trace.tensors.Trace`.

    Parameters
    ----------
    trace : Trace
    blocks : int
        Blocks (masks and maps of one image) that are kept; those of one image are enough when
        images come one after the other.
    """

    def __init__(self, trace: Trace, blocks: int = KEPT_BLOCKS) -> None:
        self.images = trace.images
        self.layer = lru_cache(maxsize=KEPT_LAYERS)(trace.layer)
        self.predictors = lru_cache(maxsize=blocks)(trace.predictors)
        self.block = lru_cache(maxsize=blocks)(trace.block)
        self.activations = lru_cache(maxsize=KEPT_LAYERS)(trace.activations)
        self.values = lru_cache(maxsize=blocks)(trace.values)


def keeping(workload: Workload, blocks: int = KEPT_BLOCKS) -> Workload:
    """Return the same workload, its trace's parts kept once read; shapes only are as they are."""
    if workload.trace is None:
        return workload
    return replace(workload, trace=KeptTrace(workload.trace, blocks))
