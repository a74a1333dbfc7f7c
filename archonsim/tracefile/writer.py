"""Writing a workload file: complete or not at all, and the same bytes for the same content."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, fields
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from archonsim.atomic import replacing
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.prediction import TERNARY
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
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import LayerTensors, PredictorTensors, Trace
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
from archonsim.tracefile import schema
from archonsim.tracefile.check import (
    check_block,
    check_input,
    check_layer,
    check_predictors,
    check_provenance,
    check_structure,
    check_values,
    mask_layers,
)
from archonsim.tracefile.codec import BlockTensors, choose_encodings, encode
from archonsim.tracefile.hdf5_out import (
    make_dataset,
    make_group,
    put_array,
    put_attributes,
    put_floats,
    put_images,
)
from archonsim.tracefile.schema import Encoding, MaskName


def write_workload(
    path: Path, workload: Workload, trace: Trace | None, *, plain: bool = False
) -> str:
    """Write a workload file.

    The file is made in memory, written to a temporary file in the same folder and renamed, so that
    `path` is never half a file.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    trace : Trace or None
        None for a shape-only workload.
    plain : bool
        Store masks as they are, for tools that know HDF5 but not this package. Several times
        larger.

    Returns
    -------
    str
        The digest; empty for a shape-only workload. It does not depend on `plain`.

    Raises
    ------
    WorkloadError
        The content is impossible, or parts of it are missing.
    OutputError
        The file cannot be written.
    """
    images = 0 if trace is None else trace.images
    check_structure(workload)
    check_provenance(workload, images)
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=schema.LIBVER) as file:
        _write_structure(file, workload)
        put_attributes(file, {"images": images})
        if trace is None:
            digest = ""
            put_attributes(file, {"digest": digest})
        else:
            digest = _write_trace(file, workload, trace, plain)
    with replacing(path, make_folder=False) as whole:
        whole.write(memory.getbuffer())
    return digest


def _write_structure(file: h5py.File, workload: Workload) -> None:
    """Write everything but tensors."""
    items = [
        f"{'blocks' if isinstance(item, Block) else 'layers'}/{schema.group_name(item.name)}"
        for item in workload.items
    ]
    newer = any(any(one.clips) or one.prediction != TERNARY for one in workload.blocks())
    version = schema.CLIP_VERSION if newer else schema.VERSION
    put_attributes(file, {"filetype": schema.FILETYPE, "version": version, "items": items})
    put_attributes(
        file, {"norm_params": workload.norm_params, "unexecuted_params": workload.unexecuted_params}
    )
    values = {
        one.name: getattr(workload.provenance, one.name) for one in fields(workload.provenance)
    }
    put_attributes(
        file,
        {
            name: value
            for name, value in values.items()
            if value or name not in ("untrained", *schema.EXPORT_TEXTS)
        },
    )
    layers, blocks = make_group(file, "layers"), make_group(file, "blocks")
    put_attributes(layers, {"units": json.dumps(schema.UNITS)})
    for layer in workload.layers():
        group = make_group(layers, schema.group_name(layer.name))
        put_attributes(group, {one.name: getattr(layer, one.name) for one in fields(Layer)})
    for block in workload.blocks():
        group = make_group(blocks, block.name)
        put_attributes(
            group,
            {
                name: getattr(block, name)
                for name in ("index", "order", "residual", "shuffle", "predicted")
            },
        )
        put_attributes(group, {name: getattr(block, name).name for name in ("pw1", "dw", "pw2")})
        put_attributes(group, {"clips": block.clips if any(block.clips) else None})
        if block.prediction != TERNARY:
            put_attributes(group, {"prediction": block.prediction.to_text()})


def _write_trace(file: h5py.File, workload: Workload, trace: Trace, plain: bool) -> str:
    """Write all tensors, and the digests; return the workload's."""
    parts = PartDigests()
    for layer in traced_layers(workload):
        tensors = layer_of(trace, layer)
        check_layer(layer, tensors)
        parts.layers[layer.name] = layer_digest(tensors)
        _write_layer(
            file["layers"][schema.group_name(layer.name)], tensors, parts.layers[layer.name]
        )
    for block in workload.blocks():
        pair = predictors_of(trace, block)
        if pair is not None:
            check_predictors(block, pair)
            parts.predictors[block.name] = predictors_digest(pair)
            _write_predictors(file["blocks"][block.name], pair, parts.predictors[block.name])
    before: _Outputs | None = None
    for block in traced_blocks(workload, trace.images):
        before = _write_block(file["blocks"][block.name], block, trace, before, plain)
        parts.blocks[block.name] = before.digests
    digest = combine(workload, trace.images, parts)
    put_attributes(file, {"digest": digest})
    for layer in layers_with_inputs(workload, trace):
        group = file["layers"][schema.group_name(layer.name)]
        parts.inputs[layer.name] = _write_inputs(group, layer, trace)
    if parts.inputs:
        digest = combine(workload, trace.images, parts)
        put_attributes(file, {"digest_with_inputs": digest})
    for layer in layers_with_values(workload, trace):
        group = file["layers"][schema.group_name(layer.name)]
        parts.values[layer.name] = _write_values(group, layer, trace)
    if parts.values:
        digest = combine(workload, trace.images, parts)
        put_attributes(file, {"digest_with_values": digest})
    return digest


def _write_inputs(group: h5py.Group, layer: Layer, trace: Trace) -> tuple[str, ...]:
    """Write the non-zero bits of a layer's input; return the digest of each image's."""
    size = (layer.in_channels, Mask.packed_bytes(layer.in_h, layer.in_w))
    dataset = make_dataset(
        group, "input_bits", (trace.images, *size), np.dtype(np.uint8), chunk=(1, *size)
    )
    about = {"height": layer.in_h, "width": layer.in_w, "unit": "1 bit per activation"}
    put_attributes(dataset, about)
    digests = []
    for image in range(trace.images):
        mask = input_of(trace, layer, image)
        check_input(layer, image, mask)
        dataset[image] = mask.packed
        digests.append(input_digest(mask))
    put_array(group, "input_sha256", np.array(digests, dtype="S64"))
    return tuple(digests)


def _write_values(group: h5py.Group, layer: Layer, trace: Trace) -> tuple[str, ...]:
    """Write what a layer reads; return the digest of each image's."""
    maps = [values_of(trace, layer, image) for image in range(trace.images)]
    for image, one in enumerate(maps):
        check_values(layer, image, one)
    put_images(group, "input_values", np.stack(maps))
    digests = tuple(values_digest(one) for one in maps)
    put_array(group, "values_sha256", np.array(digests, dtype="S64"))
    return digests


def _write_layer(group: h5py.Group, tensors: LayerTensors, digest: str) -> None:
    put_attributes(group, {"sha256": digest})
    for name in ("weight", "scale", "shift"):
        put_floats(group, name, getattr(tensors, name))


def _write_predictors(
    group: h5py.Group, pair: tuple[PredictorTensors, PredictorTensors], digest: str
) -> None:
    put_attributes(group, {"predictors_sha256": digest})
    for place, one in enumerate(pair, 1):
        inner = make_group(group, f"predictor{place}")
        put_attributes(inner, {"step": float(one.step), "low": int(one.low), "high": int(one.high)})
        put_array(inner, "ternary", one.ternary)
        put_floats(inner, "scale", one.scale)
        put_floats(inner, "shift", one.shift)


@dataclass(frozen=True, slots=True)
class _Outputs:
    """What the next block's input is compared with."""

    dataset: h5py.Dataset
    maps: NDArray[np.float32]
    digests: tuple[str, ...]


def _write_block(
    group: h5py.Group, block: Block, trace: Trace, before: _Outputs | None, plain: bool
) -> _Outputs:
    first, second, third = (layer_of(trace, layer) for layer in block.layers)
    tensors = BlockTensors(block, (first, second, third), predictors_of(trace, block))
    inputs = np.empty((trace.images, *block.input_shape), np.float32)
    outputs = np.empty((trace.images, *block.output_shape), np.float32)
    encodings: dict[MaskName, Encoding] = dict.fromkeys(mask_layers(block), "packed")
    digests: list[str] = []
    for image in range(trace.images):
        one = block_of(trace, block, image)
        check_block(block, image, one)
        if image == 0:
            encodings = encodings if plain else choose_encodings(tensors, one)
            _make_masks(group, block, trace.images, encodings)
        for name, bits in encode(tensors, one, encodings).items():
            group[name][image] = bits
        inputs[image], outputs[image] = one.input, one.output
        digests.append(block_digest(one))
    put_array(group, "sha256", np.array(digests, dtype="S64"))
    put_images(group, "output", outputs)
    if before is not None and before.maps.tobytes() == inputs.tobytes():
        group["input"] = before.dataset
    else:
        put_images(group, "input", inputs)
    return _Outputs(group["output"], outputs, tuple(digests))


def _make_masks(
    group: h5py.Group, block: Block, images: int, encodings: dict[MaskName, Encoding]
) -> None:
    for name, layer in mask_layers(block).items():
        height, width = layer.out_h, layer.out_w
        size = (layer.out_channels, Mask.packed_bytes(height, width))
        dataset = make_dataset(group, name, (images, *size), np.dtype(np.uint8), chunk=(1, *size))
        put_attributes(
            dataset,
            {
                "encoding": encodings[name],
                "height": height,
                "width": width,
                "unit": "1 bit per activation",
            },
        )
