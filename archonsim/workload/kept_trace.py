"""A trace that keeps what was read: for sweeps, in which every point asks for the same weights and masks."""

from __future__ import annotations

from functools import lru_cache

from archonsim.workload.tensors import Trace

#: Blocks of one image, and layers, that are kept (own decision): all of the largest networks' for one or two images.
KEPT_BLOCKS = 40
KEPT_LAYERS = 200


class KeptTrace:
    """Another trace's parts, the last ones asked for kept in memory; see :class:`~archonsim.workload.tensors.Trace`.

    Parameters
    ----------
    trace : Trace
    """

    def __init__(self, trace: Trace) -> None:
        self.images = trace.images
        self.layer = lru_cache(maxsize=KEPT_LAYERS)(trace.layer)
        self.predictors = lru_cache(maxsize=KEPT_BLOCKS)(trace.predictors)
        self.block = lru_cache(maxsize=KEPT_BLOCKS)(trace.block)
