"""A traced network in one form, whatever the frontend.

The search, the folding and the tapping read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from archonsim.export.operators import Op, activation_kind, rounded_kind
from archonsim.network.layer import Padding
from archonsim.trace.tensors import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Window of a convolution, a pooling or a padding; `groups` also of a shuffle.

    The padding of a transposed convolution is what is cut off around its output.
    """

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    groups: int = 1
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One value of the network and how it is made.

    Attributes
    ----------
    name : str
        Unique; what a runner is asked for.
    op : str
    inputs : tuple of str
        Values that it reads, constants apart.
    shape : tuple of int
        Of the value for one image, the batch of 1 included.
    label : str
        What the network's author calls it.
    kind : str
        The operator: of an ``activation`` as :class:`~archonsim.network.layer.Layer` names it where
        it can.
    window : Window
    tensors : mapping of str to float32 array
        ``weight`` and ``bias`` of a convolution or linear layer, ``scale`` and ``shift`` (C,) of a
        norm.
    limits : (low, high), or None
        Of an activation that is a clamp: a ReLU is one from 0 to infinity.
    step : float
        Of the grid to which an activation rounds, in a network of 8 bits; 0 in real numbers.
    macs : int
        Multiplications of one that is not modelled.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    label: str
    kind: str = ""
    window: Window = field(default_factory=Window)
    tensors: Mapping[str, Floats] = field(default_factory=dict)
    limits: tuple[float, float] | None = None
    step: float = 0.0
    macs: int = 0

    @property
    def map(self) -> tuple[int, int, int]:
        """(C, H, W) of the value; a vector is a map of one pixel."""
        channels, height, width = (*self.shape[1:], 1, 1)[:3]
        return channels, height, width

    @property
    def is_map(self) -> bool:
        """Whether the value is a map or a vector of one image."""
        return len(self.shape) in (2, 4) and self.shape[0] == 1


class Runner(Protocol):
    """The framework that computes a network's values, one image at a time."""

    def evaluate(self, known: Mapping[str, Floats], wanted: Sequence[str]) -> dict[str, Floats]:
        """Return values by name, each ``(1, ...) float32``, computed from known ones.

        Nothing before the known values is computed.
        """


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in an order in which they can be computed.

    Attributes
    ----------
    nodes : tuple of Node
        The first is the input.
    outputs : tuple of str
        Values that leave the network.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """Nodes by the name of their value."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def readers(self) -> dict[str, tuple[Node, ...]]:
        """Nodes that read each value."""
        found: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    def only_reader(self, name: str) -> Node | None:
        """Return the only reader of a value; None if there are more, or the value is an output."""
        readers = self.readers[name]
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def followers(self, node: Node) -> Iterator[Node]:
        """Yield the normalisations behind a node and the first activation.

        It stops where another node reads the value, too.
        """
        while (follower := self.only_reader(node.name)) is not None and follower.op in (
            "norm",
            "activation",
        ):
            yield follower
            if follower.op == "activation":
                return
            node = follower

    @property
    def input(self) -> Node:
        """The node of the image."""
        return self.nodes[0]


def simplify(graph: Graph, runner: Runner) -> Graph:
    """Name channel shuffles, fold zero padding into windows, and drop what changes nothing.

    A run of rearrangements that ends in the shape that it began with is tried out on numbered
    channels: whatever operators it is written with, it is a shuffle, nothing, or else stays as it
    is. Two clamps behind each other become one.
    """
    alias: dict[str, str] = {}
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        inputs = tuple(alias.get(name, name) for name in node.inputs)
        node = replace(node, inputs=inputs)
        if node.op in ("move", "split"):
            node = _named_move(node, nodes, runner)
        while node.op in ("conv", "dilated", "pool") and _folds(nodes[node.inputs[0]], node, nodes):
            node = _padded(node, nodes[node.inputs[0]])
        if node.op == "pass":
            alias[node.name] = node.inputs[0]
        nodes[node.name] = node
    kept = [node for node in nodes.values() if node.op != "pass"]
    outputs = tuple(dict.fromkeys(alias.get(name, name) for name in graph.outputs))
    return merge_clamps(Graph(_read(kept, outputs), outputs))


def merge_clamps(graph: Graph) -> Graph:
    """Let one clamp stand for two behind each other, the first of which nothing else reads.

    So a maximum with 0 and a minimum with 6 are a ReLU6, in either order.
    """
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        if node.limits is not None and graph.only_reader(node.inputs[0]) is not None:
            before = nodes[node.inputs[0]]
            if before.limits is not None:
                low, high = (min(max(one, node.limits[0]), node.limits[1]) for one in before.limits)
                step = max(before.step, node.step)
                kind = (
                    rounded_kind((before.kind, node.kind), (low, high), step)
                    if step
                    else activation_kind("clamp", (low, high))
                )
                node = replace(node, inputs=before.inputs, limits=(low, high), kind=kind, step=step)
        nodes[node.name] = node
    return Graph(_read(list(nodes.values()), graph.outputs), graph.outputs)


def _read(nodes: Sequence[Node], outputs: tuple[str, ...]) -> tuple[Node, ...]:
    """Leave out nodes that nothing reads any more."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if node.name in wanted or node.op == "input":
            kept.append(node)
            wanted.update(node.inputs)
    return tuple(reversed(kept))


def _folds(pad: Node, node: Node, nodes: Mapping[str, Node]) -> bool:
    """Whether a window's own padding can stand for the zeros that a node puts around its map.

    A convolution pads with zeros, too. A maximum is taken of a window's pixels within the map
    alone, so zeros around it count unless no pixel is negative; an average may or may not count
    the pixels of its own padding.
    """
    if pad.op != "pad":
        return False
    if node.op in ("conv", "dilated"):
        return True
    limits = nodes[pad.inputs[0]].limits
    if "max" in node.kind.lower():
        return limits is not None and limits[0] >= 0
    return not any(node.window.padding)


def _padded(node: Node, pad: Node) -> Node:
    top, bottom, left, right = (
        a + b for a, b in zip(node.window.padding, pad.window.padding, strict=True)
    )
    return replace(
        node,
        inputs=(pad.inputs[0], *node.inputs[1:]),
        window=replace(node.window, padding=(top, bottom, left, right)),
    )


def _named_move(node: Node, nodes: Mapping[str, Node], runner: Runner) -> Node:
    source = nodes[node.inputs[0]]
    while source.op == "move":
        source = nodes[source.inputs[0]]
    if source.shape != node.shape or not source.is_map:
        return node
    probe = np.broadcast_to(
        np.arange(source.map[0], dtype=np.float32)[None, :, None, None], (1, *source.map)
    )
    probe = np.ascontiguousarray(probe).reshape(source.shape)
    place = np.arange(probe[0, 0].size, dtype=np.float32).reshape(probe[0, 0].shape)
    channels, pixels = (
        runner.evaluate({source.name: x}, [node.name])[node.name]
        for x in (probe, np.broadcast_to(place, probe.shape).copy())
    )
    if not np.array_equal(pixels, np.broadcast_to(place, probe.shape)):
        return node
    order = channels.reshape(source.map[0], -1)[:, 0]
    groups = _shuffle_groups(order)
    if groups == 1:
        return replace(node, op="pass", inputs=(source.name,))
    if groups is None:
        return node
    return replace(
        node,
        op="shuffle",
        kind="channel shuffle",
        inputs=(source.name,),
        window=Window(groups=groups),
    )


def _shuffle_groups(order: NDArray[np.float32]) -> int | None:
    """Return the groups of the shuffle that puts channel ``order[i]`` in place i.

    1 where all stay, None for another order.
    """
    count = len(order)
    for groups in range(1, count + 1):
        if count % groups == 0 and np.array_equal(
            order, np.arange(count).reshape(groups, -1).T.reshape(-1)
        ):
            return groups
    return None
