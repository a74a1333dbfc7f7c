"""ReLU predictors for a network that was trained without any, fitted to some images.

Blocks are fitted in order, each on what the ones before it deliver with their masks in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archonsim.export.graph import Graph, Runner
from archonsim.export.predictors.protocol import FittedPair, Predictor
from archonsim.export.walk import Tap, Walk
from archonsim.trace.algebra import masked, relu_mask
from archonsim.trace.tensors import Floats


def fit_predictors(
    graph: Graph,
    runner: Runner,
    taps: Sequence[Tap],
    images: Floats,
    predictor: Predictor,
    on_step: Callable[[str], None] = lambda name: None,
) -> dict[str, FittedPair]:
    """Attach two predictors to every block.

    Parameters
    ----------
    images : (N, C, H, W) float32
        What they are fitted to.
    predictor : Predictor
    on_step : function of a block's name

    Returns
    -------
    dict of block name to its predictors
    """
    walks = [Walk(graph, runner, image[None]) for image in images]
    pairs: dict[str, FittedPair] = {}
    for tap in taps:
        first, second, _ = tap.block.layers
        end1, end2 = tap.block.clips
        before = [walk.values(tap.input)[0] for walk in walks]
        targets = [walk.values(tap.pre1)[0] for walk in walks]
        one = predictor.fit(first, tap.tensors[0], before, targets, first=True)
        pair = FittedPair(tap.block, predictor.name, one, one)
        hidden = []
        for walk, x in zip(walks, before, strict=True):
            predicted = one.estimate(x)
            keep = relu_mask(predicted, end1)
            walk.put(tap.post1, masked(walk.values(tap.pre1)[0], keep, end1))
            hidden.append(pair.between(predicted))
        targets = [walk.values(tap.pre2)[0] for walk in walks]
        two = predictor.fit(second, tap.tensors[1], hidden, targets, first=False)
        for walk, x in zip(walks, hidden, strict=True):
            keep = relu_mask(two.estimate(x), end2)
            walk.put(tap.post2, masked(walk.values(tap.pre2)[0], keep, end2))
            walk.leave(tap)
        pairs[tap.block.name] = FittedPair(tap.block, predictor.name, one, two)
        on_step(tap.block.name)
    return pairs
