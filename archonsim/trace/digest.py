"""The digest of a workload: SHA-256 over what it computes, free of how a file stores it.

Each part (a layer's tensors, a block's predictors, one image in one block) has a digest of its own;
the workload's is taken over its shapes and those of all parts. So a reader can check each part when
it reads it, and the whole without reading it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.prediction import Prediction
from archonsim.network.workload import Workload
from archonsim.trace.mask import Mask
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


@dataclass(frozen=True, slots=True)
class PartDigests:
    """Hexadecimal SHA-256 of each part.

    Attributes
    ----------
    layers : layer name -> digest
    predictors : block name -> digest of its two predictors
    blocks : block name -> one digest for each image
    inputs : layer name -> one digest for each image
        Of layers whose inputs' non-zero bits are traced.
    values : layer name -> one digest for each image
        Of layers whose inputs' values are traced.
    """

    layers: dict[str, str] = field(default_factory=dict)
    predictors: dict[str, str] = field(default_factory=dict)
    blocks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)


def _sha256(
    arrays: Iterable[tuple[str, NDArray[np.generic]]], numbers: Mapping[str, float] | None = None
) -> str:
    """Hash named arrays (float32, int8 or uint8), little-endian in C order, and named numbers."""
    state = hashlib.sha256(json.dumps(dict(numbers or {})).encode())
    for name, array in arrays:
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        state.update(f"{name} {plain.dtype.str} {list(plain.shape)}\n".encode())
        state.update(plain.tobytes())
    return state.hexdigest()


def layer_digest(tensors: LayerTensors) -> str:
    """Digest of a layer's weights."""
    return _sha256([("weight", tensors.weight), ("scale", tensors.scale), ("shift", tensors.shift)])


def predictors_digest(pair: tuple[PredictorTensors, PredictorTensors]) -> str:
    """Digest of a block's two predictors."""
    arrays: list[tuple[str, NDArray[np.generic]]] = []
    numbers: dict[str, float] = {}
    for place, one in enumerate(pair, 1):
        arrays += [
            (f"ternary{place}", one.ternary),
            (f"scale{place}", one.scale),
            (f"shift{place}", one.shift),
        ]
        numbers |= {
            f"step{place}": float(one.step),
            f"low{place}": int(one.low),
            f"high{place}": int(one.high),
        }
    return _sha256(arrays, numbers)


def block_digest(trace: BlockTrace) -> str:
    """Digest of one image's masks and maps in one block."""
    masks: dict[str, Mask] = {
        "keep1": trace.keep1,
        "keep2": trace.keep2,
        "true1": trace.true1,
        "true2": trace.true2,
    }
    sizes = {
        f"{name}.{axis}": getattr(mask, axis)
        for name, mask in masks.items()
        for axis in ("height", "width")
    }
    arrays = [(name, mask.packed) for name, mask in masks.items()]
    arrays += [(f"clip.{name}", mask.clip) for name, mask in masks.items() if mask.clip is not None]
    return _sha256([*arrays, ("input", trace.input), ("output", trace.output)], sizes)


def input_digest(mask: Mask) -> str:
    """Digest of the non-zero bits of one image's input of a layer."""
    return _sha256([("input", mask.packed)], {"height": mask.height, "width": mask.width})


def values_digest(values: Floats) -> str:
    """Digest of what a layer reads of one image."""
    return _sha256([("values", values)])


def _described(item: Layer | Block) -> dict[str, Any]:
    """Return the fields that differ from their defaults.

    A field that is added later leaves the digests of older files as they are.
    """
    described: dict[str, Any] = {"type": type(item).__name__}
    for one in fields(item):
        value = getattr(item, one.name)
        if value != one.default:
            described[one.name] = _plain(value)
    return described


def _plain(value: Any) -> Any:
    if isinstance(value, Layer):
        return _described(value)
    return asdict(value) if isinstance(value, Prediction) else value


def combine(workload: Workload, images: int, parts: PartDigests) -> str:
    """Digest of a workload from those of its parts.

    Where its masks come from counts, its other provenance does not.
    """
    items = [_described(item) for item in workload.items]
    content = {
        "mask_source": workload.provenance.mask_source,
        "images": images,
        "items": items,
        **asdict(parts),
    }
    for name in ("inputs", "values"):
        if not content[name]:  # so that a trace without them has the digest that it had before
            del content[name]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def workload_digest(workload: Workload, trace: Trace | None) -> str:
    """Read every part of a trace and return the digest; it is empty for a shape-only workload."""
    if trace is None:
        return ""
    pairs = {block.name: predictors_of(trace, block) for block in workload.blocks()}
    parts = PartDigests(
        {layer.name: layer_digest(layer_of(trace, layer)) for layer in traced_layers(workload)},
        {name: predictors_digest(pair) for name, pair in pairs.items() if pair is not None},
        {
            block.name: tuple(
                block_digest(block_of(trace, block, image)) for image in range(trace.images)
            )
            for block in traced_blocks(workload, trace.images)
        },
        {
            layer.name: tuple(
                input_digest(input_of(trace, layer, image)) for image in range(trace.images)
            )
            for layer in layers_with_inputs(workload, trace)
        },
        {
            layer.name: tuple(
                values_digest(values_of(trace, layer, image)) for image in range(trace.images)
            )
            for layer in layers_with_values(workload, trace)
        },
    )
    return combine(workload, trace.images, parts)
