"""A trace that lives in a workload file: each part is read, and checked, when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from archonsim.errors import MaskError, WorkloadError, nearest
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.trace.digest import (
    block_digest,
    input_digest,
    layer_digest,
    predictors_digest,
    values_digest,
)
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import BlockTrace, Floats, LayerTensors, PredictorTensors
from archonsim.trace.trace_parts import traced_blocks, traced_layers
from archonsim.tracefile.check import (
    check_block,
    check_input,
    check_layer,
    check_predictors,
    check_values,
    mask_layers,
)
from archonsim.tracefile.codec import BlockTensors, decode
from archonsim.tracefile.datasets import (
    block_node,
    image_digests,
    input_dataset,
    layer_datasets,
    layer_node,
    map_datasets,
    mask_datasets,
    predictor_datasets,
    values_dataset,
)
from archonsim.tracefile.hdf5_in import Node, Root, open_file
from archonsim.tracefile.schema import CLIPS, MASKS


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FileTrace:
    """Tensors of a workload file; see :class:`~archonsim.trace.tensors.Trace`.

    The file is opened for each part and closed again, so a trace can be sent to other processes.

    Attributes
    ----------
    path : Path
    images : int
    """

    path: Path
    images: int
    _layers: dict[str, Layer] = field(repr=False)
    _blocks: dict[str, Block] = field(repr=False)
    _traced: frozenset[str] = field(repr=False)

    @classmethod
    def of(cls, path: Path, workload: Workload, images: int) -> FileTrace:
        """Return the trace of an opened workload."""
        return cls(
            path=path,
            images=images,
            _layers={layer.name: layer for layer in traced_layers(workload)},
            _blocks={block.name: block for block in workload.blocks()},
            _traced=frozenset(block.name for block in traced_blocks(workload, images)),
        )

    def layer(self, name: str) -> LayerTensors:
        """Weights of one layer."""
        with open_file(self.path) as root:
            return self._layer(root, name)

    def predictors(self, block: str) -> tuple[PredictorTensors, PredictorTensors]:
        """The two ReLU predictors of one block.

        Raises
        ------
        MaskError
            The block has none.
        """
        with open_file(self.path) as root:
            pair = self._predictors(root, self._block(block))
        if pair is None:
            raise MaskError(f"{self.path}: block {block} has no predictors")
        return pair

    def block(self, block: str, image: int) -> BlockTrace:
        """Masks and maps of one block for one image."""
        self._check_image(image)
        if block not in self._traced:
            raise MaskError(f"{self.path}: block {block} has no masks")
        with open_file(self.path) as root:
            found = self._block(block)
            return root.of_image(block, image, lambda: self._image(root, found, image))

    def activations(self, layer: str, image: int) -> Mask | None:
        """Which values of a layer's input are not zero; None where the file does not say."""
        self._check_image(image)
        with open_file(self.path) as root:
            return self._input(root, layer, image)

    def values(self, layer: str, image: int) -> Floats | None:
        """What a layer reads; None where the file does not say."""
        self._check_image(image)
        with open_file(self.path) as root:
            return self._values(root, layer, image)

    def _check_image(self, image: int) -> None:
        if not 0 <= image < self.images:
            raise WorkloadError(
                f"{self.path}: image {image} is out of range; the file holds {self.images} (0 to"
                f" {self.images - 1})"
            )

    def _block(self, name: str) -> Block:
        if name not in self._blocks:
            raise WorkloadError(f"{self.path}: no block {name!r}{nearest(name, self._blocks)}")
        return self._blocks[name]

    def _compute_layer(self, name: str) -> Layer:
        if name not in self._layers:
            raise WorkloadError(f"no weights for a layer {name!r}{nearest(name, self._layers)}")
        return self._layers[name]

    def _input(self, root: Node, name: str, image: int) -> Mask | None:
        layer = self._compute_layer(name)
        node = layer_node(root, layer)
        dataset = input_dataset(node, layer, self.images)
        if dataset is None:
            return None
        mask = Mask(dataset.bits(image), layer.in_h, layer.in_w)
        check_input(layer, image, mask)
        noted = image_digests(node, self.images, "input_sha256")[image]
        _check_digest(node, f"input_bits of image {image}", noted, input_digest(mask))
        return mask

    def _values(self, root: Node, name: str, image: int) -> Floats | None:
        layer = self._compute_layer(name)
        node = layer_node(root, layer)
        dataset = values_dataset(node, layer, self.images)
        if dataset is None:
            return None
        values = dataset.floats(image)
        check_values(layer, image, values)
        noted = image_digests(node, self.images, "values_sha256")[image]
        _check_digest(node, f"input_values of image {image}", noted, values_digest(values))
        return values

    def _layer(self, root: Root, name: str) -> LayerTensors:
        layer = self._compute_layer(name)
        return root.kept(
            ("layer", name),
            lambda: _read_layer(root, layer),
            lambda one: one.weight.nbytes + one.scale.nbytes + one.shift.nbytes,
        )

    def _predictors(
        self, root: Root, block: Block
    ) -> tuple[PredictorTensors, PredictorTensors] | None:
        return root.kept(
            ("predictors", block.name),
            lambda: _read_predictors(root, block),
            lambda pair: sum(
                one.ternary.nbytes + one.scale.nbytes + one.shift.nbytes for one in pair or ()
            ),
        )

    def _image(self, root: Root, block: Block, image: int) -> BlockTrace:
        node = block_node(root, block)
        maps = {
            name: dataset.floats(image)
            for name, dataset in map_datasets(node, block, self.images).items()
        }
        first, second, third = (self._layer(root, layer.name) for layer in block.layers)
        tensors = BlockTensors(block, (first, second, third), self._predictors(root, block))
        datasets = mask_datasets(node, block, self.images)
        packed = decode(
            tensors,
            maps["input"],
            {name: dataset.bits(image) for name, (dataset, _) in datasets.items()},
            {name: encoding for name, (_, encoding) in datasets.items()},
        )
        layers = mask_layers(block)
        clips = {mask: packed.get(clip) for clip, mask in CLIPS.items()}
        masks = {
            name: Mask(packed[name], layers[name].out_h, layers[name].out_w, clips[name])
            for name in MASKS
        }
        trace = BlockTrace(
            keep1=masks["keep1"],
            keep2=masks["keep2"],
            true1=masks["true1"],
            true2=masks["true2"],
            input=maps["input"],
            output=maps["output"],
        )
        check_block(block, image, trace)
        _check_digest(
            node, f"image {image}", image_digests(node, self.images)[image], block_digest(trace)
        )
        return trace


def _check_digest(node: Node, what: str, noted: str, found: str) -> None:
    if noted != found:
        raise node.error(
            f"{what} does not match its SHA-256: damaged, or edited after it was written"
        )


def _read_layer(root: Node, layer: Layer) -> LayerTensors:
    node = layer_node(root, layer)
    tensors = LayerTensors(
        **{name: dataset.floats() for name, dataset in layer_datasets(node, layer).items()}
    )
    check_layer(layer, tensors)
    _check_digest(node, "content", node.text("sha256"), layer_digest(tensors))
    return tensors


def _read_predictors(root: Node, block: Block) -> tuple[PredictorTensors, PredictorTensors] | None:
    node = block_node(root, block)
    if "predictor1" not in node:
        return None
    first, second = (
        _read_predictor(node.group(f"predictor{place}"), layer)
        for place, layer in enumerate(block.layers[:2], 1)
    )
    check_predictors(block, (first, second))
    noted, found = node.text("predictors_sha256"), predictors_digest((first, second))
    _check_digest(node, "content of the predictors", noted, found)
    return first, second


def _read_predictor(node: Node, layer: Layer) -> PredictorTensors:
    datasets = predictor_datasets(node, layer)
    return PredictorTensors(
        ternary=datasets["ternary"].ternary(),
        scale=datasets["scale"].floats(),
        shift=datasets["shift"].floats(),
        step=node.number("step"),
        low=node.integer("low"),
        high=node.integer("high"),
    )
