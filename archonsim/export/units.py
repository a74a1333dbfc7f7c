"""From a graph's nodes to layers.

Each convolution with the normalisations and the activation behind it folded in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import get_args

from archonsim.errors import WorkloadError
from archonsim.export.graph import Graph, Node
from archonsim.export.nodes import NORMALISATION
from archonsim.export.operators import ROUNDING
from archonsim.network.layer import Activation, Kind, Layer
from archonsim.trace.tensors import LayerTensors
from archonsim.tracefile.check import check_layer

_ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
#: Where ReLUs end.
RELU_ENDS = {"relu": math.inf, "relu6": 6.0}
#: Nodes that are layers without weights.
_PLAIN: dict[str, Kind] = {
    "pool": "pool",
    "avgpool": "avgpool",
    "add": "add",
    "multiply": "multiply",
    "concat": "concat",
    "shuffle": "shuffle",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unit:
    """A layer with weights, and where its values are in the graph.

    Attributes
    ----------
    layer : Layer
    tensors : LayerTensors
        All normalisations folded: ``y = scale * conv(x) + shift``.
    source : str
        The value that it reads.
    pre, post : str
        Its value before and after the activation; the same where there is none.
    activation : str
        As the graph names it: more kinds than a layer knows.
    step, limits : float, (low, high)
        Of the 8-bit grid to which the network rounds what is behind the activation; 0 and infinite
        in real numbers.
    end : float
        Where a ReLU ends: 6 of a ReLU6, infinite of a ReLU; 0 of an activation that is neither.
    """

    layer: Layer
    tensors: LayerTensors
    source: str
    pre: str
    post: str
    activation: str = "none"
    step: float = 0.0
    limits: tuple[float, float] = (-math.inf, math.inf)
    end: float = 0.0

    @property
    def name(self) -> str:
        """Name of the layer."""
        return self.layer.name

    @property
    def is_pointwise(self) -> bool:
        """Whether it is a 1x1 convolution that keeps the map's size."""
        one = self.layer
        return (
            one.kind == "conv"
            and (one.kernel_h, one.kernel_w, one.stride_h, one.stride_w) == (1, 1, 1, 1)
            and not any(one.padding)
        )


class _Names:
    """Hands out names that are unique."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def __call__(self, label: str) -> str:
        self._taken[label] = self._taken.get(label, 0) + 1
        return label if self._taken[label] == 1 else f"{label}#{self._taken[label]}"


def find_layers(graph: Graph) -> dict[str, Unit | Layer]:
    """Return the layers of a graph by the name of the node that makes them, in order.

    Raises
    ------
    WorkloadError
        There is no layer, a weight is not finite, or a layer has a shape that no workload can
        describe.
    """
    name = _Names()
    found: dict[str, Unit | Layer] = {}
    for node in graph.nodes:
        if node.op in ("conv", "linear"):
            found[node.name] = _unit(graph, node, name(node.label))
        elif node.op in _PLAIN:
            found[node.name] = _plain(graph, node, name(node.label))
    if not found:
        raise WorkloadError("nothing to export: the network has no layers")
    return found


def _unit(graph: Graph, node: Node, name: str) -> Unit:
    weight, scale, shift = node.tensors["weight"], None, node.tensors["bias"]
    pre, last, activation, normalised = node, node, "none", False
    for follower in graph.followers(node):
        if follower.op == "norm":
            gain = follower.tensors["scale"]
            scale, shift = (
                gain if scale is None else gain * scale,
                follower.tensors["shift"] + gain * shift,
            )
            normalised |= follower.kind == NORMALISATION
        else:
            activation = "none" if follower.kind == ROUNDING else follower.kind
        pre, last = last, follower
    layer = _weighted(graph, node, name, activation, normalised)
    tensors = LayerTensors(
        weight=weight.reshape(layer.weight_shape),
        scale=scale if scale is not None else shift * 0 + 1,
        shift=shift,
    )
    check_layer(layer, tensors)
    return Unit(
        layer=layer,
        tensors=tensors,
        source=node.inputs[0],
        pre=(pre if last.op == "activation" else last).name,
        post=last.name,
        activation=activation,
        step=last.step,
        limits=last.limits if last.step and last.limits else (-math.inf, math.inf),
        end=_end(activation, last),
    )


def _end(activation: str, node: Node) -> float:
    """Return where an activation that is 0 below 0 and the value itself above it ends."""
    if activation in RELU_ENDS:  # of a type of 8 bits, whatever its last number is
        return RELU_ENDS[activation]
    low, high = node.limits or (0.0, 0.0)
    return high if low == 0 and not node.step else 0.0


def _weighted(graph: Graph, node: Node, name: str, activation: str, normalised: bool) -> Layer:
    channels, height, width = graph.by_name[node.inputs[0]].map
    window, out = node.window, node.tensors["weight"].shape[0]
    depthwise = window.groups == channels == out and window.groups > 1
    kind: Kind = "fc" if node.op == "linear" else "depthwise" if depthwise else "conv"
    layer = Layer(
        name=name,
        kind=kind,
        role={"depthwise": "dw"}.get(kind, kind),
        in_channels=channels,
        out_channels=out,
        in_h=height,
        in_w=width,
        kernel_h=window.kernel[0],
        kernel_w=window.kernel[1],
        stride_h=window.stride[0],
        stride_w=window.stride[1],
        padding=window.padding,
        groups=window.groups,
        activation=activation if activation in _ACTIVATIONS else "none",
        batchnorm=normalised,
        bias=bool(node.tensors["bias"].any()),
    )
    return _checked(layer, node)


def _plain(graph: Graph, node: Node, name: str) -> Layer:
    """Return a layer without weights; sums and the like are given by the map that they make."""
    sources = [graph.by_name[one] for one in node.inputs]
    channels, height, width = sources[0].map if node.op in ("pool", "avgpool") else node.map
    window = node.window
    if node.op == "concat" and sum(one.map[0] for one in sources) != channels:
        raise WorkloadError(
            f"{node.label}: {node.kind} is not supported here: maps are joined along their channels"
        )
    layer = Layer(
        name=name,
        kind=_PLAIN[node.op],
        role=node.op,
        in_channels=channels,
        out_channels=node.map[0],
        in_h=height,
        in_w=width,
        kernel_h=window.kernel[0],
        kernel_w=window.kernel[1],
        stride_h=window.stride[0],
        stride_w=window.stride[1],
        padding=window.padding,
        groups=window.groups,
    )
    return _checked(_reaching(layer, node.map[1:]) if node.op == "pool" else layer, node)


def _reaching(layer: Layer, out: tuple[int, int]) -> Layer:
    """Pad behind the map as far as the last window of a pooling that rounds up reaches."""
    top, bottom, left, right = layer.padding
    bottom = max(bottom, (out[0] - 1) * layer.stride_h + layer.kernel_h - layer.in_h - top)
    right = max(right, (out[1] - 1) * layer.stride_w + layer.kernel_w - layer.in_w - left)
    return replace(layer, padding=(top, bottom, left, right))


def _checked(layer: Layer, node: Node) -> Layer:
    made = (layer.out_channels, layer.out_h, layer.out_w)
    if made != node.map:
        raise WorkloadError(
            f"{node.label}: makes {'x'.join(map(str, node.map))}, and as a layer"
            f" {'x'.join(map(str, made))}"
        )
    return layer
