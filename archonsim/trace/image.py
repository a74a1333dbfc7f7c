"""Everything that a simulation may ask of the image that runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from archonsim.errors import MaskError
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.trace.mask import Mask
from archonsim.trace.what_if import MaskPolicy

#: Gives the two keep masks of a block.
BlockMasks = Callable[[Block], tuple[Mask, Mask]]

#: Gives the non-zero bits of a layer's input, or None where they are not known.
LayerInputs = Callable[[Layer], Mask | None]


def _no_masks(block: Block) -> tuple[Mask, Mask]:
    raise MaskError(f"block {block.name}: no masks were given for this image")


def _unknown(layer: Layer) -> Mask | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInputs:
    """One image of a workload, as a simulation sees it.

    Attributes
    ----------
    number : int
        Of the image, from 0 on.
    masks : function of a block
        Returns the keep masks of its two ReLUs, as traced or as a what-if makes them.
    activations : function of a layer
        Returns which values of its input (C, H, W) are not zero, as traced or as a what-if makes
        them; None where nothing tells.
    """

    number: int = 0
    masks: BlockMasks = _no_masks
    activations: LayerInputs = _unknown


def image_inputs(workload: Workload, policy: MaskPolicy, number: int) -> ImageInputs:
    """Return one image of a workload, with its masks and inputs as `policy` makes them."""

    def masks(block: Block) -> tuple[Mask, Mask]:
        return policy.masks(workload, block, number)

    def activations(layer: Layer) -> Mask | None:
        return policy.activations(workload, layer, number)

    return ImageInputs(number=number, masks=masks, activations=activations)
