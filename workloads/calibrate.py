"""Fitting predictors without gradients: a starting point that is good enough to stop at.

Own decision. The recipe starts a predictor's normalisation from the real layer's and trains it.
Both are affine maps of one number per channel, so the best one in the sense of least squares has a
closed form: the regression of the real pre-activation on the ternary sums. It also answers where to
cut: an activation is worth passing on where its expected value is positive. Blocks are fitted in
order, each on what the ones before it really deliver; the kept weights of PW2 and its normalisation
are then fitted so that the block's output comes nearest to the network's without predictors. (Where
DW comes last, its normalisation alone.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

from archonsim.zoo.bottleneck import Bottleneck
from archonsim.zoo.network import Network, after_core, core, round_weights, to_half
from archonsim.zoo.predictor import STEP, Predictor, gate
from archonsim.zoo.unit import ConvUnit
from workloads.moments import Regression
from workloads.refit import refit_pw2, run_chunks, sample_chunks

#: Input steps that a predictor may get, as multiples of the recipe's at an input deviation of 1.
_STEP_FACTORS = (0.15, 0.25, 0.35, 0.5, 0.7, 1.0)
#: Images on which steps are compared.
_TRIAL = 8


def _fit(
    predictor: Predictor,
    real: ConvUnit,
    pairs: Callable[[slice], tuple[Tensor, Tensor]],
    chunks: Iterable[slice],
) -> None:
    """Choose the step of `predictor` on a first chunk, then its normalisation on all images.

    `pairs` returns, for some images, the predictor's input and the real pre-activation.
    """
    predictor.copy_from(real)
    regressor, target = pairs(slice(0, _TRIAL))
    best = (-1.0, STEP)
    spread = float(regressor.std())
    for factor in _STEP_FACTORS:
        predictor.step.fill_(STEP * factor * max(spread, 1e-3))
        trial = Regression()
        trial.add(predictor.accumulate(regressor), target)
        best = max(best, (trial.explained(), float(predictor.step)))
    predictor.step.fill_(best[1])
    fit = Regression()
    for at in chunks:
        regressor, target = pairs(at)
        fit.add(predictor.accumulate(regressor), target)
    fit.write(predictor.bn, predictor.alpha * predictor.step)


def _calibrate_block(block: Bottleneck, x: Tensor, wanted: Tensor) -> None:
    """Fit one block on its inputs `x` so that its output comes near `wanted`."""
    one, two = block.predictor1, block.predictor2
    assert one is not None
    assert two is not None
    unit1, unit2, unit3 = block.stages
    assert unit3.bn is not None

    def first(at: slice) -> tuple[Tensor, Tensor]:
        return x[at], unit1.preactivation(x[at])

    def second(at: slice) -> tuple[Tensor, Tensor]:
        predicted = one(x[at])
        return block.between(predicted), unit2.preactivation(
            block.between(gate(unit1.preactivation(x[at]), predicted))
        )

    last = block.block.layers[-1]
    pixels = last.in_h * last.in_w
    _fit(one, unit1, first, sample_chunks(x, pixels))
    _fit(two, unit2, second, sample_chunks(x, pixels))

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for at in sample_chunks(x, pixels):
            _, real2, _, predicted2 = block.wide_maps(x[at])
            assert predicted2 is not None
            yield gate(real2, predicted2), block.branch_of(wanted[at], x[at])

    if unit3 is block.pw2:
        refit_pw2(block.pw2, pairs(), None)
        round_weights(block.pw2)
        return
    fit = Regression()
    for features, target in pairs():
        fit.add(unit3.convolve(features), target)
    fit.write(unit3.bn, 1.0)


@torch.no_grad()
def calibrate(network: Network, images: Tensor, progress: Callable[[str], None]) -> None:
    """Fit all predictors of a ``pred`` network whose real weights are those of the pruned one.

    Parameters
    ----------
    images : (N, C, H, W) float32
        Normalised training images.
    """
    network.eval()
    reference = actual = images
    for name, module in network.items.items():
        block = core(module)
        if block is None or block.predictor1 is None or block.predictor2 is None:
            reference, actual = run_chunks(module, reference), run_chunks(module, actual)
            continue
        reference, actual = to_half(reference), to_half(actual)
        wanted = to_half(run_chunks(partial(_without_predictors, block), reference))
        _calibrate_block(block, actual, wanted)
        made = to_half(run_chunks(block, actual))
        error = float((made - wanted).square().mean() / wanted.var())
        steps = f"{float(block.predictor1.step):.3f}, {float(block.predictor2.step):.3f}"
        progress(f"{name}: input steps {steps}; output error {error:.3f}")
        behind = partial(after_core, module)
        reference, actual = run_chunks(behind, wanted, reference), run_chunks(behind, made, actual)


def _without_predictors(block: Bottleneck, x: Tensor) -> Tensor:
    return block.finish(block.branch(x, real_relus=True), x)
