"""What the layers of a workload read, as far as its trace tells."""

from __future__ import annotations

import numpy as np

from archonsim.errors import MaskError
from archonsim.machines.layerwise import LayerStep, layer_steps
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.trace.algebra import convolve, shuffle
from archonsim.trace.tensors import Floats
from archonsim.trace.trace_parts import block_of, layer_of, values_of

#: Activations that drop negative sums.
RELUS = ("relu", "relu6")


def _activated(block: Block, y: Floats) -> Floats:
    """Return what a block's first ReLU passes."""
    end = block.clips[0] or (6 if block.layers[0].activation == "relu6" else np.inf)
    return np.clip(y, 0, np.float32(end))


class ValueSource:
    """Input values of a workload's layers.

    Those of a block's layers are recomputed from its stored input with the network's own ReLUs;
    what other layers read is in the trace, or not known.

    Parameters
    ----------
    workload : Workload
    """

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        images = workload.images if workload.trace is not None else 0
        self.images = images
        self._blocks = {
            block.index: block for block in workload.blocks() if block.predicted and images
        }
        self._kept: dict[int, tuple[int, Floats]] = {}
        self.steps = layer_steps(workload)

    def check(self) -> None:
        """Refuse a workload without weights.

        Raises
        ------
        MaskError
            It has shapes only.
        """
        if self._workload.trace is None:
            raise MaskError(
                f"workload {self._workload.name!r} has shapes only, and sums stop by the values of"
                " weights and inputs: export a trained network (archonsim export), make a synthetic"
                f" one (archonsim synthesize {self._workload.name} -o FILE), or use --fidelity"
                " ideal or --set mode=off"
            )

    def known(self, step: LayerStep) -> bool:
        """Whether a ReLU follows a layer, and the trace tells what it reads."""
        return self.behind(step) and self.images > 0 and self._has(step)

    def behind(self, step: LayerStep) -> bool:
        """Whether a ReLU follows a layer."""
        if step.block in self._blocks:
            return step.layer is not self._blocks[step.block].layers[2]
        return step.layer.activation in RELUS

    def _has(self, step: LayerStep) -> bool:
        if step.block in self._blocks:
            return True
        trace = self._workload.trace
        return trace is not None and trace.values(step.layer.name, 0) is not None

    def read(self, step: LayerStep, image: int) -> Floats | None:
        """Return what a layer with a ReLU reads, (C, H, W); None where a sum may not stop.

        That is where nothing tells, or where a value is negative.
        """
        if not self.known(step):
            return None
        block = self._blocks.get(step.block) if step.block is not None else None
        assert self._workload.trace is not None
        if block is None:
            x = values_of(self._workload.trace, step.layer, image)
        else:
            x = self._within(block, step.layer, image)
        return x if x.min(initial=0.0) >= 0 else None

    def _within(self, block: Block, layer: Layer, image: int) -> Floats:
        """Return what the first or second layer of a block reads."""
        trace = self._workload.trace
        assert trace is not None
        first = block.layers[0]
        x = block_of(trace, block, image).input
        if layer is first:
            return x
        if self._kept.get(block.index, (-1,))[0] != image:
            made = _activated(block, convolve(first, layer_of(trace, first), x))
            self._kept = {block.index: (image, made)}
        made = self._kept[block.index][1]
        return shuffle(made, block.shuffle) if block.order == "pw-pw-dw" else made
