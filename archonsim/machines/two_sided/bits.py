"""Where the zeros of a layer are: in its weights, and in its input for one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import MaskError
from archonsim.machines.layerwise import LayerStep, layer_steps
from archonsim.machines.two_sided.spec import TwoSidedSpec
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.pe.taps_kernel import pairs, row_taps, tap_counts
from archonsim.trace.image import ImageInputs, image_inputs
from archonsim.trace.kept_trace import keeping
from archonsim.trace.mask import Mask
from archonsim.trace.what_if import MaskPolicy

Nonzero = NDArray[np.bool_]
Alive = NDArray[np.uint8]

#: A closed form averages the products of so many images at most (own decision).
IDEAL_IMAGES = 8


@dataclass(frozen=True, slots=True, eq=False)
class LayerInput:
    """What a layer reads for one image.

    Attributes
    ----------
    alive : (C, H, W) uint8
        0 where the array skips an input, else 1.
    nonzero_outputs : int
        Values that it writes and that are not zero; all, where that is not known.
    """

    alive: Alive
    nonzero_outputs: int


class BitSource:
    """Bits of a workload's layers.

    Inputs are as traced. Where a trace lacks them, the keep masks of blocks with predictors tell
    what their second and third layers read, and everything else counts as not zero.

    Parameters
    ----------
    workload : Workload
    spec : TwoSidedSpec
        What it does not skip is not zero.
    """

    def __init__(self, workload: Workload, spec: TwoSidedSpec) -> None:
        self._workload, self._spec = workload, spec
        self._blocks = {block.index: block for block in workload.blocks()}
        self._keeps: tuple[ImageInputs | None, dict[int, tuple[Mask, Mask]]] = (None, {})
        self.steps: Sequence[LayerStep] = layer_steps(workload)

    def check(self) -> None:
        """Refuse a workload without weights.

        Raises
        ------
        MaskError
            It has shapes only.
        """
        if self._workload.trace is None:
            raise MaskError(
                f"workload {self._workload.name!r} has shapes only, and the array skips zeros of"
                " weights and activations: export a trained network (archonsim export), make a"
                f" synthetic one (archonsim synthesize {self._workload.name} --activations 0.5 -o"
                " FILE), or use --fidelity ideal"
            )

    def weights(self, layer: Layer) -> Nonzero:
        """Return which weights the array keeps, ``(O, C/G, R, S)``."""
        if self._workload.trace is None or not self._spec.skips_weights:
            return np.ones(layer.weight_shape, np.bool_)
        return np.asarray(self._workload.trace.layer(layer.name).weight != 0)

    def known(self, step: LayerStep, image: ImageInputs) -> Alive | None:
        """Return which inputs of a layer are not zero; None where nothing tells."""
        found = image.activations(step.layer)
        if found is not None:
            return found.unpack()
        block = self._masked(step)
        if block is None:
            return None
        keep1, keep2 = self._masks(block, image)
        if step.layer is block.layers[2]:
            return keep2.unpack()
        return keep1.unpack()[list(block.pw2_reads)] if step.layer is block.pw2 else keep1.unpack()

    def _masked(self, step: LayerStep) -> Block | None:
        """Return the block whose masks tell what a layer reads, if there is one."""
        block = self._blocks.get(step.block) if step.block is not None else None
        if block is None or not block.predicted or step.layer is block.pw1:
            return None
        traced = self._workload.trace is not None and self._workload.images > 0
        return block if traced else None

    def _masks(self, block: Block, image: ImageInputs) -> tuple[Mask, Mask]:
        """Return a block's masks; those of the image at hand are read once."""
        if self._keeps[0] is not image:
            self._keeps = (image, {})
        keeps = self._keeps[1]
        if block.index not in keeps:
            keeps[block.index] = image.masks(block)
        return keeps[block.index]

    def inputs(self, at: int, image: ImageInputs) -> LayerInput:
        """Return what the layer number `at` of the steps reads for an image."""
        step = self.steps[at]
        layer = step.layer
        outputs = layer.out_channels * layer.out_h * layer.out_w
        if not self._spec.skips_inputs:
            shape = (layer.in_channels, layer.in_h, layer.in_w)
            return LayerInput(np.ones(shape, np.uint8), outputs)
        if at + 1 < len(self.steps):
            after = self.steps[at + 1]
            shape = (after.layer.in_channels, after.layer.in_h, after.layer.in_w)
            if shape == (layer.out_channels, layer.out_h, layer.out_w):
                read = self.known(after, image)
                outputs = outputs if read is None else int(read.sum(dtype=np.int64))
        return LayerInput(self._alive(step, image), outputs)

    @cached_property
    def _images(self) -> list[ImageInputs]:
        """The images that a closed form averages."""
        count = min(max(self._workload.images, 1), IDEAL_IMAGES)
        kept = keeping(self._workload, IDEAL_IMAGES * len(self._blocks) or 1)
        return [image_inputs(kept, MaskPolicy(), number) for number in range(count)]

    def _alive(self, step: LayerStep, image: ImageInputs) -> Alive:
        found = self.known(step, image) if self._spec.skips_inputs else None
        if found is None:
            layer = step.layer
            return np.ones((layer.in_channels, layer.in_h, layer.in_w), np.uint8)
        return found

    def products(self, at: int) -> int:
        """Count the products of a layer's non-zeros: the mean over traced images, rounded down.

        Shapes alone multiply everything that their stated sparsity keeps.
        """
        layer = self.steps[at].layer
        if self._workload.trace is None:
            kept = layer.kept_weights if self._spec.skips_weights else layer.weights
            return kept * layer.out_h * layer.out_w
        nonzero = self.weights(layer)
        total = sum(
            layer_pairs(layer, nonzero, self._alive(self.steps[at], image))
            for image in self._images
        )
        return total // len(self._images)

    def known_layers(self) -> int:
        """Count the layers whose input bits are known for the first image."""
        trace = self._workload.trace
        if trace is None:
            return 0
        return sum(
            self._masked(step) is not None
            or (trace.images > 0 and trace.activations(step.layer.name, 0) is not None)
            for step in self.steps
        )


def layer_pairs(layer: Layer, nonzero: Nonzero, alive: Alive) -> int:
    """Count the products of a layer whose weight and input are both not zero."""
    taps = row_taps(alive, layer.kernel_w, layer.stride_w, layer.padding, layer.out_w)
    return pairs(
        tap_counts(taps, layer.kernel_h, layer.stride_h, layer.out_h), nonzero, layer.groups
    )
