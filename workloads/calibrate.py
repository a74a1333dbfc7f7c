"""Fitting predictors without gradients: a starting point that is good enough to stop at.

Own decision. The recipe starts a predictor's normalisation from the real layer's and trains it. Both are affine maps of
one number per channel, so the best one in the sense of least squares has a closed form: the regression of the real
pre-activation on the ternary sums. It also answers where to cut: an activation is worth passing on where its expected
value is positive. Blocks are fitted in order, each on what the ones before it really deliver; the normalisation after
PW2 is then fitted so that the block's output comes nearest to the one of the network without predictors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from archonsim.zoo.bottleneck import Bottleneck
from archonsim.zoo.network import Network, to_half
from archonsim.zoo.predictor import STEP, Predictor, gate
from archonsim.zoo.unit import ConvUnit, channel_shuffle

#: Input steps that a predictor may get, as multiples of the recipe's.
_STEP_FACTORS = (0.125, 0.1875, 0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0)
#: Images that are in memory at the widest point of a block together.
_CHUNK = 16


class _Regression:
    """Least squares of a target on one regressor, per channel, from chunks."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: Tensor | None = None

    def add(self, regressor: Tensor, target: Tensor) -> None:
        """Take a chunk ``(n, C, H, W)`` of both."""
        u, v = regressor.transpose(0, 1).flatten(1), target.transpose(0, 1).flatten(1)
        moments = torch.stack([u.sum(1), v.sum(1), (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)]).double()
        self.sums = moments if self.sums is None else self.sums + moments
        self.count += u.shape[1]

    def moments(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return mean and variance of the regressor, mean and variance of the target, and the covariance."""
        assert self.sums is not None
        u, v, uu, uv, vv = self.sums / self.count
        return u, (uu - u * u).clamp(min=0), v, (vv - v * v).clamp(min=0), uv - u * v

    def explained(self) -> float:
        """Share of the target's variance that the regression explains, over all channels."""
        _, var_u, _, var_v, covariance = self.moments()
        return float((covariance**2 / (var_u + 1e-12)).sum() / var_v.sum().clamp(min=1e-12))

    def write(self, bn: nn.BatchNorm2d, gain: Tensor | float) -> None:
        """Make `bn`, applied to ``gain * regressor``, the regression line."""
        mean, var, target, _, covariance = self.moments()
        slope = torch.where(var > 1e-9, covariance / var.clamp(min=1e-12), torch.zeros_like(var))
        gain = torch.as_tensor(gain, dtype=torch.float64)
        assert bn.running_mean is not None
        assert bn.running_var is not None
        bn.running_mean.copy_(mean * gain)
        bn.running_var.copy_(var * gain * gain)
        bn.weight.copy_(torch.where(gain > 0, slope / gain.clamp(min=1e-12), 0.0) * torch.sqrt(var * gain * gain + bn.eps))
        bn.bias.copy_(target)


def _fit(predictor: Predictor, real: ConvUnit, pairs: Callable[[slice], tuple[Tensor, Tensor]], images: int) -> None:
    """Choose the step of `predictor` on a first chunk, then its normalisation on all images.

    `pairs` returns, for some images, the predictor's input and the real pre-activation.
    """
    predictor.copy_from(real)
    regressor, target = pairs(slice(0, _CHUNK))
    best = (-1.0, STEP)
    spread = float(regressor.std())
    for factor in _STEP_FACTORS:
        predictor.step.fill_(STEP * factor * max(spread, 1e-3))
        trial = _Regression()
        trial.add(predictor.accumulate(regressor), target)
        best = max(best, (trial.explained(), float(predictor.step)))
    predictor.step.fill_(best[1])
    fit = _Regression()
    for start in range(0, images, _CHUNK):
        regressor, target = pairs(slice(start, start + _CHUNK))
        fit.add(predictor.accumulate(regressor), target)
    fit.write(predictor.bn, predictor.alpha * predictor.step)


def _unshuffle(y: Tensor, groups: int) -> Tensor:
    return channel_shuffle(y, y.shape[1] // groups) if groups else y


def _calibrate_block(block: Bottleneck, x: Tensor, wanted: Tensor) -> None:
    """Fit one block on its inputs `x` so that its output comes near `wanted`."""
    one, two = block.predictor1, block.predictor2
    assert one is not None
    assert two is not None
    assert block.pw2.bn is not None

    def first(at: slice) -> tuple[Tensor, Tensor]:
        return x[at], block.pw1.preactivation(x[at])

    def second(at: slice) -> tuple[Tensor, Tensor]:
        predicted = one(x[at])
        return predicted, block.dw.preactivation(gate(block.pw1.preactivation(x[at]), predicted))

    _fit(one, block.pw1, first, len(x))
    _fit(two, block.dw, second, len(x))
    fit = _Regression()
    for start in range(0, len(x), _CHUNK):
        at = slice(start, start + _CHUNK)
        _, real2, _, predicted2 = block.wide_maps(x[at])
        assert predicted2 is not None
        target = wanted[at] - x[at] if block.block.residual == "add" else wanted[at]
        fit.add(block.pw2.convolve(gate(real2, predicted2)), _unshuffle(target, block.block.shuffle))
    fit.write(block.pw2.bn, 1.0)


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
        if not (isinstance(module, Bottleneck) and module.predictor1 is not None and module.predictor2 is not None):
            run = partial(network.step, module)
            reference, actual = _chunks(run, reference), _chunks(run, actual)
            continue
        reference = to_half(_chunks(partial(_without_predictors, module), to_half(reference)))
        actual = to_half(actual)
        _calibrate_block(module, actual, reference)
        actual = to_half(_chunks(module, actual))
        error = float((actual - reference).square().mean() / reference.var())
        steps = f"{float(module.predictor1.step):.3f}, {float(module.predictor2.step):.3f}"
        progress(f"{name}: input steps {steps}; output error {error:.3f}")


def _without_predictors(block: Bottleneck, x: Tensor) -> Tensor:
    hidden = block.dw.preactivation(block.pw1(x)).relu()
    return block.finish(block.pw2(hidden), x)


def _chunks(run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.cat([run(x[start : start + _CHUNK]) for start in range(0, len(x), _CHUNK)])
