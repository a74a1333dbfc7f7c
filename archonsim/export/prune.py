"""Pruning a trained network as it is exported, in one shot: nothing is trained again.

Each layer loses its share of weights, by magnitude or by how much they matter to its sums on
calibration images; by least squares, those that stay are then fitted to what the layer made before.
Either way the normalisation behind it is estimated again: the sums of each channel keep the mean
and the deviation that they had (own decision; with a batch normalisation that is what running the
images through it in training mode gives). Layers are pruned in order, each on what the pruned ones
before it make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import WorkloadError
from archonsim.export.graph import Graph, Node, Runner
from archonsim.export.recompute import taps, weighted
from archonsim.export.units import Unit
from archonsim.network.layer import Layer
from archonsim.trace.tensors import Floats, LayerTensors

Method = Literal["magnitude", "least-squares"]
#: Kinds of layers that may be pruned; a pointwise one is a convolution of 1x1, in groups or not.
KINDS = ("pointwise", "depthwise", "conv", "linear")
#: Output pixels that a fit sees at most, over all images, and its ridge in units of the features'
#: mean variance (own decision).
_SAMPLES, _RIDGE = 32_768, 1e-3

Moments = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What is pruned, and how.

    Attributes
    ----------
    shares : mapping of str to float
        Share of zeros by kind of layer, one of `KINDS`; greater than 0 and less than 1.
    method : {"magnitude", "least-squares"}

    Raises
    ------
    WorkloadError
        A kind is unknown, or a share is none.
    """

    shares: Mapping[str, float]
    method: Method = "magnitude"

    def __post_init__(self) -> None:
        for kind, share in self.shares.items():
            if kind not in KINDS:
                raise WorkloadError(f"--prune {kind}: it must be one of {', '.join(KINDS)}")
            if not 0 < share < 1:
                raise WorkloadError(
                    f"--prune {kind} is {share:g}; it must be greater than 0 and less than 1"
                )

    def share(self, layer: Layer) -> float:
        """Return the share of a layer's weights that become zero."""
        return self.shares.get(kind_of(layer), 0.0)

    def text(self) -> str:
        """Say it as a file does, wherever it is shown."""
        shares = ", ".join(f"{kind} {100 * share:g} %" for kind, share in self.shares.items())
        return f"PRUNED at export by {self.method}, not retrained: {shares}"


def kind_of(layer: Layer) -> str:
    """Return which of `KINDS` a layer with weights is."""
    if layer.kind == "fc":
        return "linear"
    if layer.kind == "depthwise":
        return "depthwise"
    return "pointwise" if (layer.kernel_h, layer.kernel_w) == (1, 1) else "conv"


class PrunedRunner:
    """Runs a network with other weights; see :class:`~archonsim.export.graph.Runner`.

    What a pruned layer puts out is computed here, everything else by the network's own runner.

    Parameters
    ----------
    graph : Graph
    runner : Runner
        Of the network as it was.
    units : sequence of Unit
        The pruned layers, in order.
    """

    def __init__(self, graph: Graph, runner: Runner, units: Sequence[Unit]) -> None:
        self._graph, self._runner, self._units = graph, runner, units

    def evaluate(self, known: Mapping[str, Floats], wanted: Sequence[str]) -> dict[str, Floats]:
        """Return values by name, computed from known ones."""
        values = dict(known)
        needed = _ancestors(self._graph, wanted, values)
        for unit in self._units:
            if unit.pre in needed and unit.pre not in values:
                source = self._runner.evaluate(values, [unit.source])[unit.source]
                values[unit.pre] = _output(unit, source, self._graph.by_name[unit.pre])
        return self._runner.evaluate(values, wanted)


def _ancestors(graph: Graph, wanted: Sequence[str], known: Mapping[str, Floats]) -> set[str]:
    open_, seen = list(wanted), set[str]()
    while open_:
        name = open_.pop()
        if name not in known and name not in seen:
            seen.add(name)
            open_ += graph.by_name[name].inputs
    return seen


def _output(unit: Unit, source: Floats, node: Node) -> Floats:
    return weighted(unit.layer, unit.tensors, source[0])[0].reshape(node.shape)


def prune(
    graph: Graph,
    runner: Runner,
    units: Sequence[Unit],
    pruning: Pruning,
    images: Floats,
    on_step: Callable[[str], None] = lambda name: None,
) -> list[Unit]:
    """Prune layers.

    Parameters
    ----------
    graph, runner : Graph, Runner
        The network as it is.
    units : sequence of Unit
        All its layers with weights, in order.
    pruning : Pruning
    images : (N, C, H, W) float32
        What normalisations are estimated on, and sums fitted to; N of at least 1.
    on_step : function of a name
        Called for each layer that was pruned.

    Returns
    -------
    list of Unit
        The pruned ones alone, with their new tensors.

    Raises
    ------
    WorkloadError
        There are no images, nothing is of the kinds asked for, or a layer has 8-bit weights.
    """
    chosen = [unit for unit in units if pruning.share(unit.layer)]
    if not chosen:
        asked = ", ".join(pruning.shares)
        raise WorkloadError(f"--prune {asked}: the network has no such layer")
    if not len(images):
        raise WorkloadError("--prune needs images to estimate normalisations on: give --images")
    rounded = next((unit for unit in units if unit.step), None)
    if rounded is not None:
        raise WorkloadError(
            f"{rounded.name}: --prune takes networks of float32; this one rounds to 8 bits and"
            " would have to be quantised again"
        )
    by_pre = {unit.pre: unit for unit in chosen}
    ends = _ends(graph)
    within = {name for name, end in ends.items() if end in by_pre and name != end}
    before, after = ([{graph.input.name: image[None]} for image in images] for _ in range(2))
    pruned: list[Unit] = []
    last = _last_readers(graph, ends)
    for at, node in enumerate(graph.nodes):
        if node.op == "input":
            continue
        unit = by_pre.get(node.name)
        for values in before:
            values[node.name] = _next(graph, runner, values, node)
        if node.name in within:
            continue
        if unit is None:
            for values in after:
                values[node.name] = _next(graph, runner, values, node)
        else:
            sources = [values[unit.source] for values in after]
            targets = [values[unit.pre] for values in before]
            made = replace(unit, tensors=_pruned(unit, pruning, sources, targets))
            for values, source in zip(after, sources, strict=True):
                values[node.name] = _output(made, source, node)
            pruned.append(made)
            on_step(unit.name)
        for name in last.get(at, ()):
            for values in (*before, *after):
                values.pop(name, None)
    return pruned


def _next(graph: Graph, runner: Runner, values: Mapping[str, Floats], node: Node) -> Floats:
    """Compute a node from what it reads; of the image, sizes may be asked."""
    read = {name: values[name] for name in (*node.inputs, graph.input.name)}
    return runner.evaluate(read, [node.name])[node.name]


def _ends(graph: Graph) -> dict[str, str]:
    """Return for each node of a layer, its sums and the normalisations behind, the last of them."""
    ends: dict[str, str] = {}
    for node in graph.nodes:
        if node.op in ("conv", "linear"):
            chain = [node]
            while (reader := graph.only_reader(chain[-1].name)) and reader.op == "norm":
                chain.append(reader)
            ends |= {one.name: chain[-1].name for one in chain}
    return ends


def _last_readers(graph: Graph, ends: Mapping[str, str]) -> dict[int, list[str]]:
    """Return by a node's place the values that nothing reads any more behind it.

    A layer reads its source where its normalisations end.
    """
    places = {node.name: at for at, node in enumerate(graph.nodes)}
    last: dict[str, int] = {}
    for node in graph.nodes:
        at = places[ends.get(node.name, node.name)]
        for name in (node.name, *node.inputs):
            last[name] = max(last.get(name, 0), at)
    found: dict[int, list[str]] = {}
    for name, at in last.items():
        if name not in (graph.input.name, *graph.outputs):
            found.setdefault(at, []).append(name)
    return found


def _pruned(
    unit: Unit, pruning: Pruning, sources: Sequence[Floats], targets: Sequence[Floats]
) -> LayerTensors:
    """Return a layer's new tensors, from what it reads and what it should put out, by image."""
    layer, tensors = unit.layer, unit.tensors
    weight = tensors.weight.astype(np.float64)
    if pruning.method == "least-squares":
        gram = _Gram(layer)
        for source, target in zip(sources, targets, strict=True):
            sums = (target[0].reshape(layer.out_channels, -1) - tensors.shift[:, None]) / np.where(
                tensors.scale == 0, 1, tensors.scale
            )[:, None]
            gram.add(source[0], sums, -(-_SAMPLES // len(sources)))
        weight = gram.fit(weight, pruning.share(layer))
    else:
        weight = weight * _largest(np.abs(weight), pruning.share(layer))
    kept = LayerTensors(
        weight=weight.astype(np.float32),
        scale=np.ones_like(tensors.scale),
        shift=np.zeros_like(tensors.shift),
    )
    mean, deviation = _moments(_sums_of(layer, kept, source) for source in sources)
    wanted, spread = _moments(one[0].reshape(layer.out_channels, -1) for one in targets)
    alive = deviation > 1e-6 * np.maximum(np.abs(mean), 1e-30)
    sign = np.where(tensors.scale < 0, -1.0, 1.0)
    scale = np.where(alive, sign * spread / np.where(alive, deviation, 1), tensors.scale)
    # The same bits as will be stored: the shift makes up for what rounding the scale changes.
    scale = scale.astype(np.float32)
    return LayerTensors(
        weight=kept.weight,
        scale=scale,
        shift=(wanted - scale.astype(np.float64) * mean).astype(np.float32),
    )


def _sums_of(layer: Layer, tensors: LayerTensors, source: Floats) -> Floats:
    return weighted(layer, tensors, source[0])[0].reshape(layer.out_channels, -1)


def _moments(maps: Iterator[Floats]) -> tuple[Moments, Moments]:
    """Return mean and deviation of each channel over maps (O, P * Q)."""
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for one in maps:
        values = one.astype(np.float64)
        count += values.shape[1]
        total = total + values.sum(axis=1)
        squares = squares + (values**2).sum(axis=1)
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0))


def _largest(score: Moments, share: float) -> NDArray[np.bool_]:
    """Return which entries stay: all but the smallest `share` of them, ties by their place."""
    zeros = round(share * score.size)
    order = np.argsort(score, axis=None, kind="stable")
    keep = np.ones(score.size, bool)
    keep[order[:zeros]] = False
    return keep.reshape(score.shape)


class _Gram:
    """Second moments of what a layer's weights meet, group by group, and of its sums."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self._count = 0
        features = layer.in_channels // layer.groups * layer.kernel_h * layer.kernel_w
        outs = layer.out_channels // layer.groups
        self._ff = np.zeros((layer.groups, features, features))
        self._ft = np.zeros((layer.groups, features, outs))
        self._f, self._t = np.zeros((layer.groups, features)), np.zeros((layer.groups, outs))

    def add(self, source: Floats, sums: Floats, most: int) -> None:
        """Take an image's input (C, H, W) and wanted sums (O, P * Q), `most` pixels of it."""
        layer = self._layer
        pixels = layer.out_h * layer.out_w
        chosen = np.random.default_rng(0).permutation(pixels)[:most]
        x = source.reshape(layer.in_channels, layer.in_h, layer.in_w)
        patches = [
            patch.reshape(layer.groups, -1, pixels)[..., chosen]
            for _, _, patch in taps(layer, x, 0.0)
        ]
        # As weights lie: input channels of a group, then taps.
        f = np.stack(patches, axis=2).reshape(layer.groups, -1, len(chosen)).astype(np.float64)
        t = sums.reshape(layer.groups, -1, pixels)[..., chosen].astype(np.float64)
        self._ff += f @ f.transpose(0, 2, 1)
        self._ft += f @ t.transpose(0, 2, 1)
        self._f += f.sum(axis=2)
        self._t += t.sum(axis=2)
        self._count += len(chosen)

    def fit(self, weight: Moments, share: float) -> Moments:
        """Return weights (O, C / G, R, S) with a share of zeros, the others fitted to the sums.

        A weight matters by its size times the deviation of what it meets, in its own row's units:
        no row is lost for being small.
        """
        n = self._count
        covariance = self._ff / n - (self._f[:, :, None] / n) * (self._f[:, None, :] / n)
        cross = self._ft / n - (self._f[:, :, None] / n) * (self._t[:, None, :] / n)
        rows = weight.reshape(*self._t.shape, -1)
        deviation = np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0))
        score = np.abs(rows * deviation[:, None, :])
        score /= np.maximum(np.linalg.norm(score, axis=2, keepdims=True), 1e-30)
        keep = _largest(score, share)
        # What was 0 on all images says nothing of its weights: those that stay are as they were.
        fitted = rows * keep
        for group, row in np.ndindex(*rows.shape[:2]):
            at = np.flatnonzero(keep[group, row] & (deviation[group] > 0))
            matrix = covariance[group][np.ix_(at, at)]
            ridge = _RIDGE * max(float(np.mean(np.diagonal(covariance[group]))), 1e-12)
            fitted[group, row, at] = np.linalg.solve(
                matrix + ridge * np.eye(len(at)), cross[group, at, row]
            )
        return fitted.reshape(weight.shape)


def classifies(graph: Graph, runner: Runner, image: Floats, label: int) -> bool:
    """Return whether the largest value of a network's first output is that of a label.

    Parameters
    ----------
    image : (C, H, W) float32
    label : int
        From 0 on.

    Raises
    ------
    WorkloadError
        The output has no such value.
    """
    (scores,) = runner.evaluate({graph.input.name: image[None]}, graph.outputs[:1]).values()
    if not 0 <= label < scores.size:
        raise WorkloadError(
            f"--labels: {label} is the class of an image; the network knows 0 to {scores.size - 1}"
        )
    return int(np.argmax(scores)) == label
