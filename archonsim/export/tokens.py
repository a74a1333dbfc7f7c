"""Linear layers over tokens as 1x1 convolutions over pixels.

Such a layer reads features that stand last: ``(1, T, C)``, ``(1, H, W, C)`` or windows of tokens.
Each token is a pixel, each feature a channel. Values that such layers read or make, and those made
of them element by element, are seen as maps ``(1, C, H, W)`` from here on; whoever runs the network
gets and gives them as the network has them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from archonsim.errors import WorkloadError
from archonsim.export.graph import Graph, Runner
from archonsim.trace.tensors import Floats

#: Kind of a ``conv`` that is a linear layer over tokens.
TOKENS = "linear layer over tokens"

Shape = tuple[int, ...]
#: What makes a value of others element by element, or of each token's features.
_ELEMENTWISE = ("activation", "norm", "add", "multiply", "free", "pass")


def token_map(shape: Shape) -> tuple[int, int, int, int]:
    """Return the map (1, C, H, W) as which features that stand last are seen."""
    *places, channels = shape
    if len(shape) == 4 and shape[0] == 1:
        return 1, channels, places[1], places[2]
    return 1, channels, math.prod(places), 1


def _to_map(value: Floats, shape: Shape) -> Floats:
    _, channels, height, width = token_map(shape)
    pixels = value.reshape(height, width, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def _to_tokens(value: Floats, shape: Shape) -> Floats:
    return np.ascontiguousarray(value[0].transpose(1, 2, 0)).reshape(shape)


@dataclass(frozen=True, slots=True)
class TokenRunner:
    """Runs a network some of whose values are seen as maps.

    Attributes
    ----------
    runner : Runner
        Of the network as it is.
    shapes : mapping of value to shape
        As the network has them, of the values that are seen as maps.
    """

    runner: Runner
    shapes: Mapping[str, Shape]

    def evaluate(self, known: Mapping[str, Floats], wanted: Sequence[str]) -> dict[str, Floats]:
        """Return values by name; see :class:`~archonsim.export.graph.Runner`."""
        given = {
            name: _to_tokens(value, self.shapes[name]) if name in self.shapes else value
            for name, value in known.items()
        }
        found = self.runner.evaluate(given, wanted)
        return {
            name: _to_map(value, self.shapes[name]) if name in self.shapes else value
            for name, value in found.items()
        }


def tokens_as_pixels(graph: Graph, runner: Runner) -> tuple[Graph, Runner]:
    """See values whose features stand last as maps.

    Returns
    -------
    graph, runner
        The same ones where the network has no linear layer over tokens.

    Raises
    ------
    WorkloadError
        A layer reads as channels what another one reads as tokens.
    """
    layers = [node for node in graph.nodes if node.kind == TOKENS]
    if not layers:
        return graph, runner
    last = {name for node in layers for name in (*node.inputs, node.name)}
    before = 0
    while len(last) > before:  # what is added to tokens are tokens, too
        before = len(last)
        for node in graph.nodes:
            alike = [name for name in node.inputs if graph.by_name[name].shape == node.shape]
            if node.op in _ELEMENTWISE and not last.isdisjoint((*alike, node.name)):
                last.update(alike, (node.name,))
    for node in graph.nodes:
        reads = [name for name in node.inputs if len(graph.by_name[name].shape) == 4]
        if node.kind != TOKENS and node.op in ("conv", "pool") and not last.isdisjoint(reads):
            raise WorkloadError(
                f"{node.label}: reads as a map (C, H, W) what a linear layer reads as tokens"
                " (H, W, C)"
            )
    shapes = {name: graph.by_name[name].shape for name in last}
    nodes = tuple(
        replace(node, shape=token_map(node.shape)) if node.name in last else node
        for node in graph.nodes
    )
    return Graph(nodes, graph.outputs), TokenRunner(runner, shapes)
