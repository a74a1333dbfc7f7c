"""The exporter's check of itself: what would be stored must reproduce the network that it is of.

Each layer and block is computed from what is stored (:mod:`~archonsim.export.recompute`), on the
values that the network itself makes of one image, and compared with what the network makes of
them. So no rule of folding, padding or passing over is taken on trust.

Cost, for one image: the network runs once for each `HELD` bytes of its maps (or once a layer that
is larger), and each layer is computed twice, once on magnitudes. Memory: `HELD` bytes of maps and
four maps of the largest layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from archonsim.errors import WorkloadError
from archonsim.export import recompute
from archonsim.export.graph import Graph, Node, Runner
from archonsim.export.operators import plain
from archonsim.export.units import Unit
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.trace.algebra import branch_output, joined, preactivations
from archonsim.trace.tensors import BlockTrace, Floats, LayerTensors

#: Largest error of a layer's value, relative to the largest sum of magnitudes that its sums add up.
#: 256 units in the last place of float32, a sum's rounding in any order; a round trip through 16
#: bits is 2 to 16 times as far (own decision).
TOLERANCE: Final = 2.0**-16
#: Largest error of a block's value, relative to its output's largest magnitude: as ``verify`` asks.
BLOCK_TOLERANCE: Final = 2.0**-10
#: Largest share of a step by which a runtime of 8 bits rounds: it may round twice, the second time
#: to whole steps what the first has rounded to halves or less.
ROUNDING_ERROR: Final = 0.75
#: Bytes of maps held at a time.
HELD: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far a layer or block is from the network.

    Attributes
    ----------
    name : str
    what : str
        The layer's kind, or ``"block"``.
    error, scale, tolerance : float
        Largest difference; what it is relative to; largest share that passes.
    """

    name: str
    what: str
    error: float
    scale: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether it reproduces the network (an error that is no number does not)."""
        return bool(self.error <= self.tolerance * self.scale)


def check_layers(
    graph: Graph,
    runner: Runner,
    layers: Mapping[str, Unit | Layer],
    image: Floats,
    on_step: Callable[[str], None] = lambda name: None,
) -> list[Deviation]:
    """Compare all layers, those of blocks included, on one image ``(1, C, H, W)``.

    Layers whose input or output overflows in the network itself are left out: nothing can be
    compared there.

    Raises
    ------
    WorkloadError
        A layer does not reproduce what the network makes.
    """
    found: list[Deviation] = []
    for batch in _batches(graph, layers):
        wanted = list(
            dict.fromkeys(name for node, one in batch for name in _values(graph, node, one))
        )
        values = runner.evaluate({graph.input.name: image}, wanted)
        for node, one in batch:
            found += _deviations(graph.by_name[node], one, values)
            on_step(_layer(one).name)
    refuse(found)
    return found


def check_block(
    block: Block, tensors: tuple[LayerTensors, LayerTensors, LayerTensors], trace: BlockTrace
) -> Deviation:
    """Compare a block's stored output with what its layers and masks make of its stored input.

    Raises
    ------
    WorkloadError
        They differ.
    """
    pre2 = preactivations(block, tensors, trace.keep1, trace.input)[1]
    y = joined(block, branch_output(block, tensors[2], pre2, trace.keep2), trace.input)
    scale = float(np.abs(trace.output).max(initial=0.0))
    names = ", ".join(layer.name for layer in block.layers)
    found = Deviation(
        f"{block.name} ({names})", "block", _error(y, trace.output), scale, BLOCK_TOLERANCE
    )
    refuse([found])
    return found


def refuse(found: Sequence[Deviation]) -> None:
    """Raise an error that names the first layer or block that does not reproduce the network."""
    wrong = [one for one in found if not one.passed]
    if wrong:
        one = wrong[0]
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise WorkloadError(
            f"{one.name}: as the {one.what} that would be stored it makes other values than the"
            f" network: they differ by {one.error:.3g}, where {one.tolerance * one.scale:.3g} is"
            f" allowed{more}; nothing is written (--no-check writes it all the same)"
        )


def _layer(one: Unit | Layer) -> Layer:
    return one.layer if isinstance(one, Unit) else one


def _values(graph: Graph, node: str, one: Unit | Layer) -> tuple[str, ...]:
    """Return the names of what a layer reads and makes."""
    if isinstance(one, Unit):
        return one.source, one.pre, one.post
    return *graph.by_name[node].inputs, node


def _batches(
    graph: Graph, layers: Mapping[str, Unit | Layer]
) -> Iterator[list[tuple[str, Unit | Layer]]]:
    """Cut the layers into runs whose values fit into `HELD` bytes."""
    batch: list[tuple[str, Unit | Layer]] = []
    held: set[str] = set()
    size = 0
    for node, one in layers.items():
        new = set(_values(graph, node, one)) - held
        more = sum(4 * int(np.prod(graph.by_name[name].shape)) for name in new)
        if batch and size + more > HELD:
            yield batch
            batch, held, size = [], set(), 0
            new = set(_values(graph, node, one))
            more = sum(4 * int(np.prod(graph.by_name[name].shape)) for name in new)
        batch.append((node, one))
        held |= new
        size += more
    if batch:
        yield batch


def _deviations(node: Node, one: Unit | Layer, values: Mapping[str, Floats]) -> Iterator[Deviation]:
    layer = _layer(one)
    made = [values[one.pre], values[one.post]] if isinstance(one, Unit) else [values[node.name]]
    read = [values[one.source]] if isinstance(one, Unit) else [values[name] for name in node.inputs]
    if not all(np.isfinite(value).all() for value in (*made, *read)):
        return
    kind = layer.kind
    if isinstance(one, Unit):
        made_of = (layer, one.tensors, read[0][0], *made)
        yield from weighted_deviations(*made_of, step=one.step, limits=one.limits)
    elif kind == "pool":
        largest = "max" in plain(node.kind)
        tries = recompute.pooled(layer, read[0][0], largest=largest, inner=node.window.padding)
        scale = float(np.abs(read[0]).max(initial=0.0))
        error = min(_error(y, made[0]) for y in tries)
        yield Deviation(layer.name, f"{kind} layer", error, scale, TOLERANCE)
    else:
        y, scale = recompute.joined_maps(layer, read)
        yield Deviation(layer.name, f"{kind} layer", _error(y, made[0]), scale, TOLERANCE)


def weighted_deviations(
    layer: Layer,
    tensors: LayerTensors,
    x: Floats,
    pre: Floats | None,
    post: Floats,
    *,
    step: float = 0.0,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Iterator[Deviation]:
    """Compare a layer with weights before its activation, where that is known, and behind it.

    Parameters
    ----------
    step, limits : float, (low, high)
        Of the 8-bit grid to which the network rounds what is behind the activation.
    """
    y, scale = recompute.weighted(layer, tensors, x)
    if pre is not None:
        yield Deviation(layer.name, f"{layer.kind} layer", _error(y, pre), scale, TOLERANCE)
    if layer.activation != "none" or pre is None or step:
        y = recompute.activated(y, layer.activation).clip(*limits)
        # A sigmoid makes 0.5 of the smallest sums, and 0.5 has a rounding of its own.
        scale = max(scale, float(np.abs(post).max(initial=0.0)))
        error = max(0.0, _error(y, post) - ROUNDING_ERROR * step)
        yield Deviation(layer.name, f"{layer.kind} layer", error, scale, TOLERANCE)


def _error(ours: Floats, theirs: Floats) -> float:
    """Return the largest difference; infinity where there are not as many values."""
    if ours.size != theirs.size:
        return float("inf")
    return float(np.abs(ours.reshape(-1) - theirs.reshape(-1)).max(initial=0.0))
