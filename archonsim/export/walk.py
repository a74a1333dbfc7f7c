"""Running a traced network block by block, its ReLUs real or predicted, and recording it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from archonsim.export.blocks import Candidate
from archonsim.export.graph import Graph, Runner
from archonsim.export.predictors.protocol import FittedPair
from archonsim.network.block import Block
from archonsim.trace.algebra import branch_output, joined, masked, preactivations, relu_mask
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import BlockTrace, Floats, LayerTensors


@dataclass(frozen=True, slots=True, eq=False)
class Tap:
    """A block and its place in the graph.

    Attributes
    ----------
    block : Block
    tensors : of the block's layers in order of execution
    input, pre1, post1, pre2, post2, end : str
        Values: what the block reads, before and after its two ReLUs, what leaves it.
    rounded : bool
        The network rounds these values to 8 bits.
    """

    block: Block
    tensors: tuple[LayerTensors, LayerTensors, LayerTensors]
    input: str
    pre1: str
    post1: str
    pre2: str
    post2: str
    end: str
    rounded: bool = False

    @classmethod
    def of(cls, candidate: Candidate, block: Block) -> Tap:
        """Return the tap of a fusable candidate."""
        first, second, third = candidate.units
        return cls(
            block,
            (first.tensors, second.tensors, third.tensors),
            first.source,
            first.pre,
            first.post,
            second.pre,
            second.post,
            candidate.end,
            any(unit.step for unit in candidate.units),
        )


class Walk:
    """One image on its way through the network.

    What is known of its values is kept, the rest computed when asked for.

    Parameters
    ----------
    graph : Graph
    runner : Runner
    image : (1, C, H, W) float32
    """

    def __init__(self, graph: Graph, runner: Runner, image: Floats) -> None:
        self._runner = runner
        self._known = {graph.input.name: image}

    def values(self, *names: str) -> list[Floats]:
        """Return values, each without its batch dimension."""
        missing = [name for name in dict.fromkeys(names) if name not in self._known]
        if missing:
            self._known.update(self._runner.evaluate(self._known, missing))
        return [self._known[name][0] for name in names]

    def put(self, name: str, value: Floats) -> None:
        """Set a value, whatever the network itself would have made of it."""
        self._known[name] = value[None]

    def leave(self, tap: Tap) -> None:
        """Go on behind a block: its wide maps are read by nothing else."""
        self.values(tap.end)
        for name in (tap.pre1, tap.post1, tap.pre2, tap.post2):
            self._known.pop(name, None)


def trace_block(
    walk: Walk,
    tap: Tap,
    pair: FittedPair | None,
    look: Callable[[], None] = lambda: None,
) -> BlockTrace:
    """Run one block and return its trace; `look` is called while its wide maps are still at hand.

    Without predictors the network's own ReLUs run, and the masks are their signs. With them, masks
    stand in the ReLUs' place, so that everything behind sees what mispredictions do; the true masks
    are then those of the first map as the block passes it on.
    """
    (x,) = walk.values(tap.input)
    end1, end2 = tap.block.clips
    if pair is None:
        befores = (tap.pre1,) * bool(end1) + (tap.pre2,) * bool(end2)
        _, _, output, *_ = walk.values(tap.post1, tap.post2, tap.end, *befores)
        true1, true2 = keep1, keep2 = _own_mask(walk, tap, 0), _own_mask(walk, tap, 1)
    else:
        keep1, keep2 = pair.masks(x)
        (pre1,) = walk.values(tap.pre1)
        walk.put(tap.post1, masked(pre1, keep1, end1))
        (pre2,) = walk.values(tap.pre2)
        walk.put(tap.post2, masked(pre2, keep2, end2))
        (output,) = walk.values(tap.end)
        true1, true2 = relu_mask(pre1, end1), relu_mask(pre2, end2)
    if tap.rounded:
        output = unrounded(tap, keep1, keep2, x)
    look()
    walk.leave(tap)
    return BlockTrace(keep1=keep1, keep2=keep2, true1=true1, true2=true2, input=x, output=output)


def _own_mask(walk: Walk, tap: Tap, relu: int) -> Mask:
    """Return what one of a block's own ReLUs does.

    What is dropped is read behind it: a small positive sum of a network of 8 bits is rounded to 0.
    What is clipped is read before it, where it is above the end.
    """
    pre, post = ((tap.pre1, tap.post1), (tap.pre2, tap.post2))[relu]
    end = tap.block.clips[relu]
    if not end:
        return relu_mask(walk.values(post)[0], 0.0)
    before, behind = walk.values(pre, post)
    return Mask.pack(behind > 0, before > np.float32(end))


def unrounded(tap: Tap, keep1: Mask, keep2: Mask, x: Floats) -> Floats:
    """Return what a block's real weights make of its input and masks.

    The network of 8 bits rounds the maps within and its output, which no fused block does.
    """
    pre2 = preactivations(tap.block, tap.tensors, keep1, x)[1]
    return joined(tap.block, branch_output(tap.block, tap.tensors[2], pre2, keep2), x)


def clipped_shares(
    graph: Graph, runner: Runner, images: Floats, candidates: Sequence[Candidate]
) -> list[tuple[float, float]]:
    """Return for each block the share of activations above the upper ends of its two ReLUs."""
    units = [unit for candidate in candidates for unit in candidate.units[:2]]
    shares = np.zeros(len(units))
    for image in images:
        maps = Walk(graph, runner, image[None]).values(*(unit.pre for unit in units))
        above = (
            np.mean(pre > np.float32(unit.end)) if unit.end < np.inf else 0.0
            for unit, pre in zip(units, maps, strict=True)
        )
        shares += np.fromiter(above, float, len(units))
    means = [float(share) for share in shares / max(1, len(images))]
    return list(zip(means[::2], means[1::2], strict=True))
