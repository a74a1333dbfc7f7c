"""What a workload holds, as data: shapes, densities, what its predictors hit and missed, sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.prediction import TERNARY
from archonsim.network.workload import Provenance, Workload
from archonsim.result.read import check_schema, from_tree
from archonsim.result.values import Whole
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import LayerTensors, Trace
from archonsim.trace.trace_parts import block_of, input_of, layer_of, traced_blocks
from archonsim.tracefile.sizes import stored_bytes

#: Version of the JSON form.
SCHEMA: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerContent:
    """One layer.

    Attributes
    ----------
    block : str or None
        Name of the block it belongs to.
    input, output : (channels, height, width)
    kernel, stride : (height, width)
    weights, macs : int
    nonzero : int or None
        Weights that pruning left; None without a trace.
    input_density : float or None
        Share of its input that is not zero, over the inspected images; None where no image was
        inspected, or the trace has no such bits.
    """

    name: str
    block: str | None
    kind: str
    role: str
    input: tuple[int, int, int]
    output: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    groups: Whole
    activation: str
    weights: Whole
    macs: Whole
    nonzero: Whole | None
    input_density: float | None = None

    @property
    def density(self) -> float | None:
        """Share of weights that are not zero."""
        return None if self.nonzero is None or not self.weights else self.nonzero / self.weights


@dataclass(frozen=True, slots=True, kw_only=True)
class ReluContent:
    """One predicted ReLU over some images.

    How many activations were predicted to survive, and how many do.

    Attributes
    ----------
    activations : int
    hits : int
        Predicted to survive, and do.
    false_alarms : int
        Predicted to survive, but negative: they pass, and cost additions.
    misses : int
        Predicted away, but positive: they are lost.
    clipped, truly_clipped : int or None
        Of those predicted to survive, those predicted to reach the upper end of a ReLU6 or its
        like; and those that do. None where its masks know none.
    """

    activations: Whole
    hits: Whole
    false_alarms: Whole
    misses: Whole
    clipped: Whole | None = None
    truly_clipped: Whole | None = None

    @property
    def correct_zeros(self) -> int:
        """Predicted away, and not positive."""
        return self.activations - self.hits - self.false_alarms - self.misses

    @property
    def predicted_density(self) -> float:
        """Share of activations that the predictor keeps."""
        return (self.hits + self.false_alarms) / self.activations

    @property
    def true_density(self) -> float:
        """Share of activations that are positive."""
        return (self.hits + self.misses) / self.activations

    @property
    def hit_rate(self) -> float:
        """Share of the positive activations that the predictor keeps."""
        return self.hits / max(1, self.hits + self.misses)

    @property
    def miss_rate(self) -> float:
        """Share of the positive activations that the predictor drops."""
        return self.misses / max(1, self.hits + self.misses)

    @property
    def false_alarm_rate(self) -> float:
        """Share of the other activations that the predictor keeps."""
        return self.false_alarms / max(1, self.activations - self.hits - self.misses)

    def __add__(self, other: ReluContent) -> ReluContent:
        pairs = {
            one.name: (getattr(self, one.name), getattr(other, one.name))
            for one in dataclasses.fields(self)
        }
        return ReluContent(
            **{name: _sum(*pair) for name, pair in pairs.items() if pair != (None, None)}
        )


def _sum(one: int | None, other: int | None) -> int:
    return (one or 0) + (other or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockContent:
    """One bottleneck block.

    Attributes
    ----------
    fused_nonzero, fused_weights : int or None, int
        Of the fused weight F[o, m, k, c]: how many are not zero, how many there are.
    relu1, relu2 : ReluContent or None
        None without masks.
    predictor : str
        Whose predictions are charged; ``ternary`` also where the masks are the network's own.
    """

    name: str
    in_channels: Whole
    mid_channels: Whole
    out_channels: Whole
    groups: Whole
    order: str
    residual: str
    shuffle: Whole
    predicted: bool
    fused_weights: Whole
    fused_nonzero: Whole | None
    relu1: ReluContent | None
    relu2: ReluContent | None
    predictor: str = TERNARY.predictor

    @property
    def fused_density(self) -> float | None:
        """Share of the fused weight that is not zero."""
        if self.fused_nonzero is None or not self.fused_weights:
            return None
        return self.fused_nonzero / self.fused_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Everything that ``archonsim inspect`` shows.

    Attributes
    ----------
    images : int
        Images with masks.
    inspected : tuple of int
        Those that the blocks' figures are about.
    bytes : dict of part to int
        Of the file on disk; empty for a network known by name.
    """

    workload: str
    digest: str
    provenance: Provenance
    images: Whole
    inspected: tuple[int, ...]
    macs: Whole
    params: Whole
    layers: tuple[LayerContent, ...]
    blocks: tuple[BlockContent, ...]
    bytes: dict[str, int]

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any], source: str = "the inspection") -> Inspection:
        """Read the JSON form; `source` names it in messages.

        Raises
        ------
        ResultError
            It is of another form, a key is missing, or a value is not what it must be.
        """
        check_schema(tree, (SCHEMA,), source)
        return from_tree(cls, tree, source)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, rates included."""
        tree = {"schema": SCHEMA, **dataclasses.asdict(self)}
        for layer, content in zip(tree["layers"], self.layers, strict=True):
            layer["density"] = content.density
        for block, shape in zip(tree["blocks"], self.blocks, strict=True):
            block["fused_density"] = shape.fused_density
            for name, relu in (("relu1", shape.relu1), ("relu2", shape.relu2)):
                if relu is not None:
                    if relu.clipped is None:
                        del block[name]["clipped"], block[name]["truly_clipped"]
                    block[name] |= {rate: getattr(relu, rate) for rate in RATES}
        return tree


#: Properties of :class:`ReluContent` that JSON and tables show.
RATES = ("predicted_density", "true_density", "hit_rate", "miss_rate", "false_alarm_rate")


def inspect_workload(
    workload: Workload,
    *,
    file: Path | None = None,
    images: Sequence[int] | None = None,
    on_step: Callable[[], None] | None = None,
) -> Inspection:
    """Read what a workload holds.

    Parameters
    ----------
    file : Path, optional
        The file that it came from, for the sizes on disk.
    images : sequence of int, optional
        Images whose masks and non-zero inputs are counted; all by default.
    on_step : callable, optional
        Called after each block of each image.

    Raises
    ------
    WorkloadError
        A part is damaged, or an image is out of range.
    """
    trace = workload.trace
    chosen = tuple(range(workload.images) if images is None else images)
    within = {layer.name: block.name for block in workload.blocks() for layer in block.layers}
    return Inspection(
        workload=workload.name,
        digest=workload.digest,
        provenance=workload.provenance,
        images=workload.images,
        inspected=chosen,
        macs=workload.macs,
        params=workload.params,
        layers=tuple(
            _layer(layer, within.get(layer.name), trace, chosen) for layer in workload.layers()
        ),
        blocks=tuple(_block(workload, block, chosen, on_step) for block in workload.blocks()),
        bytes={} if file is None else stored_bytes(file),
    )


def _layer(
    layer: Layer, block: str | None, trace: Trace | None, images: Sequence[int]
) -> LayerContent:
    nonzero = (
        None
        if trace is None or not layer.is_compute
        else np.count_nonzero(layer_of(trace, layer).weight)
    )
    return LayerContent(
        name=layer.name,
        block=block,
        kind=layer.kind,
        role=layer.role,
        input=(layer.in_channels, layer.in_h, layer.in_w),
        output=(layer.out_channels, layer.out_h, layer.out_w),
        kernel=(layer.kernel_h, layer.kernel_w),
        stride=(layer.stride_h, layer.stride_w),
        groups=layer.groups,
        activation=layer.activation,
        weights=layer.weights,
        macs=layer.macs,
        nonzero=None if nonzero is None else int(nonzero),
        input_density=None if trace is None else _input_density(layer, trace, images),
    )


def _input_density(layer: Layer, trace: Trace, images: Sequence[int]) -> float | None:
    """Return the share of a layer's inputs that are not zero, over some images."""
    if not images or not layer.is_compute or trace.activations(layer.name, images[0]) is None:
        return None
    found = [input_of(trace, layer, image) for image in images]
    return sum(mask.count() for mask in found) / sum(mask.bits for mask in found)


def _block(
    workload: Workload, block: Block, images: Sequence[int], on_step: Callable[[], None] | None
) -> BlockContent:
    trace = workload.trace
    relus: tuple[ReluContent | None, ReluContent | None] = (None, None)
    if trace is not None and block in traced_blocks(workload, trace.images):
        relus = _relus(trace, block, images, on_step)
    return BlockContent(
        name=block.name,
        in_channels=block.in_channels,
        mid_channels=block.mid_channels,
        out_channels=block.out_channels,
        groups=block.groups,
        order=block.order,
        residual=block.residual,
        shuffle=block.shuffle,
        predicted=block.predicted,
        fused_weights=block.pw2.weights * block.taps * (block.in_channels // block.groups),
        fused_nonzero=(
            None
            if trace is None
            else _fused_nonzero(block, *(layer_of(trace, one) for one in block.layers))
        ),
        relu1=relus[0],
        relu2=relus[1],
        predictor=block.prediction.predictor,
    )


def _fused_nonzero(
    block: Block, first: LayerTensors, second: LayerTensors, third: LayerTensors
) -> int:
    """Count F[o, m, k, c] != 0, the product of the three weights that meet in channel m."""
    pw1, dw, pw2 = (first, second, third) if block.order == "pw-dw-pw" else (first, third, second)
    into = np.count_nonzero(pw1.weight, axis=(1, 2, 3))
    taps = np.count_nonzero(dw.weight, axis=(1, 2, 3))
    if block.order == "pw-dw-pw":
        into, taps = into * taps, np.ones(block.pw2.out_channels, np.int64)
    elif block.shuffle:
        into = into.reshape(block.shuffle, -1).T.reshape(-1)
    kept = (pw2.weight[:, :, 0, 0] != 0).reshape(
        block.groups, block.pw2.out_channels // block.groups, -1
    )
    return int(
        (np.einsum("gom,gm->go", kept, into.reshape(block.groups, -1)).reshape(-1) * taps).sum()
    )


def _relus(
    trace: Trace, block: Block, images: Sequence[int], on_step: Callable[[], None] | None
) -> tuple[ReluContent | None, ReluContent | None]:
    both: tuple[ReluContent, ReluContent] | None = None
    for image in images:
        one = block_of(trace, block, image)
        found = compare_masks(one.keep1, one.true1), compare_masks(one.keep2, one.true2)
        both = found if both is None else (both[0] + found[0], both[1] + found[1])
        if on_step is not None:
            on_step()
    return both or (None, None)


def compare_masks(predicted: Mask, true: Mask) -> ReluContent:
    """Count what one image's prediction of a ReLU hit and missed."""
    hits = int(np.bitwise_count(predicted.packed & true.packed).sum())
    return ReluContent(
        activations=predicted.bits,
        hits=hits,
        false_alarms=predicted.count() - hits,
        misses=true.count() - hits,
        clipped=None if predicted.clip is None else predicted.clipped(),
        truly_clipped=None if true.clip is None else true.clipped(),
    )
