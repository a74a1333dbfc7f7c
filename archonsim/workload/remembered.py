"""A trace that reads each of its parts once, for whoever runs the same images again and again."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from archonsim.workload.tensors import BlockTrace, LayerTensors, PredictorTensors, Trace
from archonsim.workload.workload import Workload


class RememberedTrace:
    """Another trace, and what was read of it: all weights, and the masks and maps of the latest blocks.

    Parameters
    ----------
    trace : Trace
    blocks : int
        Blocks to remember: those of one image when images come one after the other.
    """

    def __init__(self, trace: Trace, blocks: int) -> None:
        self.images = trace.images
        self._layer = lru_cache(None)(trace.layer)
        self._predictors = lru_cache(None)(trace.predictors)
        self._block = lru_cache(blocks)(trace.block)

    def layer(self, name: str) -> LayerTensors:
        """Weights of one layer."""
        return self._layer(name)

    def predictors(self, block: str) -> tuple[PredictorTensors, PredictorTensors]:
        """The two ReLU predictors of one block."""
        return self._predictors(block)

    def block(self, block: str, image: int) -> BlockTrace:
        """Masks and maps of one block for one image."""
        return self._block(block, image)


def remembering(workload: Workload) -> Workload:
    """Return the same workload, whose trace reads each part once; shapes only are as they are."""
    if workload.trace is None:
        return workload
    return replace(workload, trace=RememberedTrace(workload.trace, sum(1 for _ in workload.blocks())))
