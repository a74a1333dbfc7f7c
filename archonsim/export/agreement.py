"""Whether a network answers the same with predictors as with its own ReLUs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archonsim.export.graph import Graph, Runner
from archonsim.export.walk import Walk
from archonsim.trace.tensors import Floats


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many images get the same answer, the largest of the network's outputs.

    Attributes
    ----------
    same, images : int
    """

    same: int
    images: int

    def text(self) -> str:
        """Say it."""
        return f"the largest output stays the same on {self.same} of {self.images} images"


def answers(graph: Graph, walk: Walk) -> list[int]:
    """Return the place of the largest value of each output of more than one."""
    found = walk.values(*graph.outputs)
    return [int(np.argmax(one)) for one in found if one.size > 1]


def own_answers(graph: Graph, runner: Runner, image: Floats) -> list[int]:
    """Return the answers with the network's own ReLUs to an image (C, H, W)."""
    return answers(graph, Walk(graph, runner, image[None]))
