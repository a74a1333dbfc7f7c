"""Which parts a trace has, and each of them or a clear error."""

from __future__ import annotations

from archonsim.errors import MaskError, WorkloadError
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import BlockTrace, Floats, LayerTensors, PredictorTensors, Trace


def traced_layers(workload: Workload) -> list[Layer]:
    """Layers that have weights in a trace: all that multiply."""
    return [layer for layer in workload.layers() if layer.is_compute]


def traced_blocks(workload: Workload, images: int) -> list[Block]:
    """Blocks that have masks in a trace of so many images: the predicted ones."""
    return [block for block in workload.blocks() if block.predicted and images > 0]


def layer_of(trace: Trace, layer: Layer) -> LayerTensors:
    """Return a layer's weights.

    Raises
    ------
    WorkloadError
        The trace lacks them.
    """
    try:
        return trace.layer(layer.name)
    except KeyError:
        raise WorkloadError(
            f"{layer.name}: no weights; a trace holds those of every layer that multiplies"
        ) from None


def predictors_of(trace: Trace, block: Block) -> tuple[PredictorTensors, PredictorTensors] | None:
    """Return a block's predictors, or None where its masks were made without any."""
    try:
        return trace.predictors(block.name)
    except (KeyError, MaskError):
        return None


def block_of(trace: Trace, block: Block, image: int) -> BlockTrace:
    """Return one image's masks and maps.

    Raises
    ------
    WorkloadError
        The trace lacks them.
    """
    try:
        return trace.block(block.name, image)
    except KeyError:
        raise WorkloadError(
            f"{block.name}: no masks for image {image}; a trace holds those of every predicted"
            " block"
        ) from None


def layers_with_inputs(workload: Workload, trace: Trace) -> list[Layer]:
    """Layers whose inputs' non-zero bits a trace holds: any of those that multiply, or none."""
    if not trace.images:
        return []
    return [
        layer for layer in traced_layers(workload) if trace.activations(layer.name, 0) is not None
    ]


def input_of(trace: Trace, layer: Layer, image: int) -> Mask:
    """Return which values of a layer's input are not zero.

    Raises
    ------
    WorkloadError
        The trace lacks them.
    """
    found = trace.activations(layer.name, image)
    if found is None:
        raise WorkloadError(
            f"{layer.name}: no activations for image {image}; a trace that holds a layer's holds"
            " those of every image"
        )
    return found


def layers_with_values(workload: Workload, trace: Trace) -> list[Layer]:
    """Layers of which a trace holds what they read: any of those that multiply, or none."""
    if not trace.images:
        return []
    return [layer for layer in traced_layers(workload) if trace.values(layer.name, 0) is not None]


def values_of(trace: Trace, layer: Layer, image: int) -> Floats:
    """Return what a layer reads, (C, H, W).

    Raises
    ------
    WorkloadError
        The trace lacks it.
    """
    found = trace.values(layer.name, image)
    if found is None:
        raise WorkloadError(
            f"{layer.name}: no input values for image {image}; a trace that holds a layer's holds"
            " those of every image"
        )
    return found
