"""Checks of a workload that need no file.

Shapes chain, tensors fit their layers, values are possible.

Every function raises :class:`~archonsim.errors.WorkloadError` with one line that says where, what
was found and what would be right. A reader puts the file's name in front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import WorkloadError
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.trace.digest import (
    PartDigests,
    block_digest,
    combine,
    input_digest,
    layer_digest,
    predictors_digest,
    values_digest,
)
from archonsim.trace.mask import Bits, Mask
from archonsim.trace.tensors import BlockTrace, Floats, LayerTensors, PredictorTensors, Trace
from archonsim.trace.trace_parts import (
    block_of,
    input_of,
    layer_of,
    layers_with_inputs,
    layers_with_values,
    predictors_of,
    traced_blocks,
    traced_layers,
    values_of,
)
from archonsim.tracefile.schema import CLIPS, MASKS, PLANES, MaskName

MapShape = tuple[int, int, int]
Item = TypeVar("Item", Block, Layer)
Part = TypeVar("Part")


def mask_layers(block: Block) -> dict[MaskName, Layer]:
    """Return the layer whose output each plane of a block's masks covers, in the order to read."""
    found: dict[MaskName, Layer] = {}
    for name in PLANES:
        place = name.endswith("2")
        if name in MASKS or block.clips[place]:
            found[name] = block.layers[place]
    return found


def plane(trace: BlockTrace, name: MaskName) -> Bits:
    """Return a plane of a block's masks, (M, bytes) uint8.

    Raises
    ------
    WorkloadError
        The mask has no plane of clipped activations.
    """
    mask: Mask = getattr(trace, CLIPS.get(name, name))
    found = mask.clip if name in CLIPS else mask.packed
    if found is None:
        raise WorkloadError(f"{name}: is missing, and the block's clips say that there is one")
    return found


#: How many times as tall or wide what is made of a map without a layer may be (own decision).
MOST_ENLARGED: Final = 64


def _takes(layer: Layer, made: MapShape) -> bool:
    """Whether a layer can take a map, or what operators that are no layers make of it.

    They pass on a share of its channels (FuSe halves, slices), their averages (squeeze and
    excitation), cut rows and columns off, or enlarge it: by zeros around it, by interpolation, or
    as one phase of a larger map. Pixels in one column that a 1x1 convolution reads may be tokens:
    pixels in a row, or features shared out anew.
    """
    channels, height, width = made
    if layer.kind == "fc":
        return layer.in_channels <= channels * height * width
    if layer.kind == "concat":
        return (layer.in_h, layer.in_w) == (height, width)
    pooled = (layer.in_h, layer.in_w) == (1, 1)
    fits = layer.in_h <= MOST_ENLARGED * height and layer.in_w <= MOST_ENLARGED * width
    if layer.in_w == layer.kernel_h == layer.kernel_w == 1 and layer.in_h > 1:
        words = channels * height * width
        return layer.in_channels * layer.in_h < 2 * words
    return layer.in_channels <= channels and (pooled or fits)


def check_structure(workload: Workload, *, chained: bool = True) -> None:
    """Check that blocks are possible.

    Parameters
    ----------
    workload : Workload
    chained : bool
        Whether every layer and block must be able to take some map that was made before it, as in a
        trace; lists of shapes leave out pools and name branches one after the other.
    """
    names: set[str] = set()
    for block in workload.blocks():
        if block.name in names:
            raise WorkloadError(f"two blocks are called {block.name!r}; names must be unique")
        names.add(block.name)
        shuffled = block.layers[2] if block.order == "pw-dw-pw" else block.layers[0]
        if block.shuffle < 0 or (block.shuffle and shuffled.out_channels % block.shuffle):
            raise WorkloadError(
                f"block {block.name}: shuffle is {block.shuffle}; it must be 0 (none) or a divisor"
                f" of {shuffled.name}'s {shuffled.out_channels} channels"
            )
    if chained:
        _check_chain(workload)


def _check_chain(workload: Workload) -> None:
    made: list[MapShape] = []
    for item in workload.items:
        first, last = (item.layers[0], item.layers[-1]) if isinstance(item, Block) else (item, item)
        if made and not any(_takes(first, one) for one in reversed(made)):
            channels, height, width = made[-1]
            raise WorkloadError(
                f"{first.name}: input is {first.in_channels}x{first.in_h}x{first.in_w}, but no"
                f" layer before makes such a map; the one before makes {channels}x{height}x{width}"
            )
        if not made:
            made.append((first.in_channels, first.in_h, first.in_w))
        made.append(
            item.output_shape
            if isinstance(item, Block)
            else (last.out_channels, last.out_h, last.out_w)
        )


def check_array(
    where: str, array: NDArray[np.generic], shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    """Check shape and type, and that floating-point values are finite."""
    if array.shape != shape:
        raise WorkloadError(f"{where}: shape is {array.shape}; it must be {shape}")
    if array.dtype != dtype:
        raise WorkloadError(f"{where}: type is {array.dtype}; it must be {np.dtype(dtype)}")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        place = tuple(int(axis[0]) for axis in np.nonzero(~np.isfinite(array)))
        raise WorkloadError(f"{where}: value at {place} is {array[place]}; all must be finite")


def check_layer(layer: Layer, tensors: LayerTensors) -> None:
    """Check a layer's weights, scale and shift."""
    check_array(f"{layer.name} weight", tensors.weight, layer.weight_shape, np.float32)
    for name in ("scale", "shift"):
        check_array(
            f"{layer.name} {name}", getattr(tensors, name), (layer.out_channels,), np.float32
        )


def check_predictors(block: Block, pair: tuple[PredictorTensors, PredictorTensors]) -> None:
    """Check a block's two predictors."""
    for place, (layer, one) in enumerate(zip(block.layers, pair, strict=False), 1):
        where = f"{block.name} predictor{place}"
        check_array(f"{where} ternary", one.ternary, layer.weight_shape, np.int8)
        wrong = one.ternary[(one.ternary < -1) | (one.ternary > 1)]
        if wrong.size:
            raise WorkloadError(
                f"{where} ternary: holds {wrong[0]}; ternary weights are -1, 0 or 1"
            )
        for name in ("scale", "shift"):
            check_array(f"{where} {name}", getattr(one, name), (layer.out_channels,), np.float32)
        if not (np.isfinite(one.step) and one.step > 0):
            raise WorkloadError(f"{where} step: is {one.step}; it must be greater than 0")
        if not -128 <= one.low < one.high <= 127:
            raise WorkloadError(
                f"{where}: low and high are {one.low} and {one.high}; levels are 8-bit, low below"
                " high"
            )


def check_mask(where: str, mask: Mask, layer: Layer) -> None:
    """Check that a mask covers a layer's output, spare bits being 0."""
    _check_bits(where, mask, (layer.out_channels, layer.out_h, layer.out_w))


def _check_bits(where: str, mask: Mask, expected: tuple[int, int, int]) -> None:
    found = (mask.channels, mask.height, mask.width)
    if found != expected:
        raise WorkloadError(
            f"{where}: covers {'x'.join(map(str, found))} activations; it must be"
            f" {'x'.join(map(str, expected))}"
        )
    spare = -mask.height * mask.width % 8
    if spare and (mask.packed[:, -1] & ((1 << spare) - 1)).any():
        raise WorkloadError(f"{where}: spare bits of a channel's last byte are set; they must be 0")
    if mask.clip is not None and (mask.clip & ~mask.packed).any():
        raise WorkloadError(f"{where}: clips what it drops; only what is kept can be clipped")


def check_input(layer: Layer, image: int, mask: Mask) -> None:
    """Check that non-zero bits cover a layer's input, spare bits being 0."""
    shape = (layer.in_channels, layer.in_h, layer.in_w)
    _check_bits(f"{layer.name} image {image} input_bits", mask, shape)


def check_values(layer: Layer, image: int, values: Floats) -> None:
    """Check that values are what a layer can read."""
    shape = (layer.in_channels, layer.in_h, layer.in_w)
    check_array(f"{layer.name} image {image} input_values", values, shape, np.float32)


def check_block(block: Block, image: int, trace: BlockTrace) -> None:
    """Check one image's masks and maps."""
    where = f"{block.name} image {image}"
    layers = mask_layers(block)
    for name in MASKS:
        check_mask(f"{where} {name}", getattr(trace, name), layers[name])
    for name, kept in CLIPS.items():
        there = getattr(trace, kept).clip is not None
        if there != (name in layers):
            raise WorkloadError(
                f"{where} {name}: is {'there' if there else 'missing'}; it must be there where the"
                f" block's clips, {list(block.clips)}, name an upper end"
            )
    check_array(f"{where} input", trace.input, block.input_shape, np.float32)
    check_array(f"{where} output", trace.output, block.output_shape, np.float32)


def check_provenance(workload: Workload, images: int) -> None:
    """Check that masks say where they come from."""
    source = workload.provenance.mask_source
    if images > 0 and source == "none":
        raise WorkloadError(
            f"mask_source is 'none' beside masks of {images} images; it must be 'trained' or"
            " 'synthetic'"
        )
    if workload.provenance.test_images < 0:
        raise WorkloadError(
            f"test_images is {workload.provenance.test_images}; it must be at least 0"
        )
    accuracy = workload.provenance.test_accuracy
    if accuracy is not None and not 0 <= accuracy <= 1:
        raise WorkloadError(f"test_accuracy is {accuracy}; it must be a share between 0 and 1")


def validate(workload: Workload) -> None:
    """Read and check everything that a workload holds, its digest included.

    Raises
    ------
    WorkloadError
        Something is missing, impossible or not what the digest was taken over.
    """
    trace = workload.trace
    check_structure(workload, chained=trace is not None)
    check_provenance(workload, workload.images)
    if trace is None:
        return
    parts = check_weights(workload, trace)
    _check_images(workload, trace, parts)
    digest = combine(workload, trace.images, parts)
    if workload.digest and digest != workload.digest:
        raise WorkloadError(
            f"digest is {workload.digest}, but the content gives {digest}: corrupted, or edited"
            " after it was written"
        )


def check_weights(workload: Workload, trace: Trace) -> PartDigests:
    """Read and check all weights and predictors, but no masks; return their digests.

    Raises
    ------
    WorkloadError
        A tensor is missing, of the wrong shape, not finite, or not what its digest was taken over.
    """
    parts = PartDigests()
    for layer in traced_layers(workload):
        tensors = layer_of(trace, layer)
        check_layer(layer, tensors)
        parts.layers[layer.name] = layer_digest(tensors)
    for block in workload.blocks():
        pair = predictors_of(trace, block)
        if pair is not None:
            check_predictors(block, pair)
            parts.predictors[block.name] = predictors_digest(pair)
    return parts


def read_weights(workload: Workload, trace: Trace) -> None:
    """Read all weights and predictors of a file, which checks them: quick enough before every run.

    Raises
    ------
    WorkloadError
        As :func:`check_weights`.
    """
    for layer in traced_layers(workload):
        layer_of(trace, layer)
    for block in workload.blocks():
        predictors_of(trace, block)


def read_images(workload: Workload, trace: Trace, blocks: Sequence[int]) -> None:
    """Read masks, maps and activations of a file, which checks them.

    Parameters
    ----------
    workload : Workload
    trace : Trace
        Of a file.
    blocks : sequence of int
        Images whose blocks are read; activations are of all images.

    Raises
    ------
    WorkloadError
        A part is missing, of the wrong shape or not what its digest was taken over.
    """
    for block in traced_blocks(workload, trace.images):
        for image in blocks:
            block_of(trace, block, image)
    for layer in layers_with_inputs(workload, trace):
        for image in range(trace.images):
            input_of(trace, layer, image)
    for layer in layers_with_values(workload, trace):
        for image in range(trace.images):
            values_of(trace, layer, image)


def _digests(
    trace: Trace,
    item: Item,
    read: Callable[[Trace, Item, int], Part],
    check: Callable[[Item, int, Part], None],
    digest: Callable[[Part], str],
) -> tuple[str, ...]:
    """Read and check what each image has of a block or layer; return the digests."""
    found = []
    for image in range(trace.images):
        part = read(trace, item, image)
        check(item, image, part)
        found.append(digest(part))
    return tuple(found)


def _check_images(workload: Workload, trace: Trace, parts: PartDigests) -> None:
    for block in traced_blocks(workload, trace.images):
        parts.blocks[block.name] = _digests(trace, block, block_of, check_block, block_digest)
    for layer in layers_with_inputs(workload, trace):
        parts.inputs[layer.name] = _digests(trace, layer, input_of, check_input, input_digest)
    for layer in layers_with_values(workload, trace):
        parts.values[layer.name] = _digests(trace, layer, values_of, check_values, values_digest)
