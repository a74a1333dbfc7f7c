"""Where the parts of a workload file lie.

Each dataset, checked for shape and type, nothing read yet.
"""

from __future__ import annotations

from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.trace.digest import PartDigests
from archonsim.trace.mask import Mask
from archonsim.trace.trace_parts import traced_blocks, traced_layers
from archonsim.tracefile import schema
from archonsim.tracefile.check import mask_layers
from archonsim.tracefile.hdf5_in import Dataset, Node
from archonsim.tracefile.schema import Encoding, MaskName

_FLOATS = ("float16", "float32")


def layer_node(root: Node, layer: Layer) -> Node:
    """Group of a layer."""
    return root.group("layers").group(schema.group_name(layer.name))


def block_node(root: Node, block: Block) -> Node:
    """Group of a block."""
    return root.group("blocks").group(block.name)


def layer_datasets(node: Node, layer: Layer) -> dict[str, Dataset]:
    """Datasets of a layer's weight, scale and shift."""
    shapes = {
        "weight": layer.weight_shape,
        "scale": (layer.out_channels,),
        "shift": (layer.out_channels,),
    }
    return {name: node.dataset(name, shape, _FLOATS) for name, shape in shapes.items()}


def input_dataset(node: Node, layer: Layer, images: int) -> Dataset | None:
    """Dataset of the non-zero bits of a layer's input; None where the file has none."""
    if "input_bits" not in node:
        return None
    shape = (images, layer.in_channels, Mask.packed_bytes(layer.in_h, layer.in_w))
    dataset = node.dataset("input_bits", shape, ("uint8",))
    for axis, size in (("height", layer.in_h), ("width", layer.in_w)):
        if dataset.integer(axis) != size:
            raise dataset.error(f"{axis} is {dataset.integer(axis)}; {layer.name} reads {size}")
    return dataset


def values_dataset(node: Node, layer: Layer, images: int) -> Dataset | None:
    """Dataset of what a layer reads; None where the file has none."""
    if "input_values" not in node:
        return None
    shape = (images, layer.in_channels, layer.in_h, layer.in_w)
    return node.dataset("input_values", shape, _FLOATS)


def predictor_datasets(node: Node, layer: Layer) -> dict[str, Dataset]:
    """Datasets of a predictor's ternary, scale and shift."""
    channels = {
        name: node.dataset(name, (layer.out_channels,), _FLOATS) for name in ("scale", "shift")
    }
    return {"ternary": node.dataset("ternary", layer.weight_shape, ("int8",)), **channels}


def mask_datasets(
    node: Node, block: Block, images: int
) -> dict[MaskName, tuple[Dataset, Encoding]]:
    """Datasets of a block's masks, each with its encoding."""
    found: dict[MaskName, tuple[Dataset, Encoding]] = {}
    for name, layer in mask_layers(block).items():
        shape = (images, layer.out_channels, Mask.packed_bytes(layer.out_h, layer.out_w))
        dataset = node.dataset(name, shape, ("uint8",))
        for axis, size in (("height", layer.out_h), ("width", layer.out_w)):
            if dataset.integer(axis) != size:
                raise dataset.error(f"{axis} is {dataset.integer(axis)}; {layer.name} makes {size}")
        encoding = dataset.choice("encoding", schema.ENCODINGS[name])
        if encoding == "xor-predictor" and "predictor1" not in node:
            raise dataset.error("encoding is 'xor-predictor', but the block has no predictors")
        found[name] = (dataset, encoding)
    return found


def map_datasets(node: Node, block: Block, images: int) -> dict[str, Dataset]:
    """Datasets of a block's input and output."""
    shapes = {"input": block.input_shape, "output": block.output_shape}
    return {name: node.dataset(name, (images, *shape), _FLOATS) for name, shape in shapes.items()}


def image_digests(node: Node, images: int, name: str = "sha256") -> tuple[str, ...]:
    """Digest of each image in a block, or in a layer (``input_sha256``, ``values_sha256``)."""
    digests = node.dataset(name, (images,), ("bytes512",)).raw()
    return tuple(digest.decode("ascii", "replace") for digest in digests.tolist())


def noted_digests(root: Node, workload: Workload, images: int) -> PartDigests:
    """Check that every dataset is there, and return the parts' digests as the file notes them."""
    parts = PartDigests()
    for layer in traced_layers(workload):
        node = layer_node(root, layer)
        layer_datasets(node, layer)
        parts.layers[layer.name] = node.text("sha256")
        if images and input_dataset(node, layer, images) is not None:
            parts.inputs[layer.name] = image_digests(node, images, "input_sha256")
        if images and values_dataset(node, layer, images) is not None:
            parts.values[layer.name] = image_digests(node, images, "values_sha256")
    for block in workload.blocks():
        node = block_node(root, block)
        if "predictor1" in node:
            for place, layer in enumerate(block.layers[:2], 1):
                predictor_datasets(node.group(f"predictor{place}"), layer)
            parts.predictors[block.name] = node.text("predictors_sha256")
    for block in traced_blocks(workload, images):
        node = block_node(root, block)
        mask_datasets(node, block, images)
        map_datasets(node, block, images)
        parts.blocks[block.name] = image_digests(node, images)
    return parts
