"""Pruning in one shot, with least squares in place of a long retraining.

Own decision, for machines on which the gradual recipe would take days. Blocks are pruned in order.
The 1x1 convolution before each block's first ReLU keeps the weights that matter most for its rows
and fits them again to the unpruned rows; the depthwise one keeps its largest; and the 1x1
convolution behind the second ReLU is fitted to what the unpruned network's block puts out, from the
features that the pruned block really has, dense first and then on the weights kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import torch
from torch import Tensor

from archonsim.errors import WorkloadError
from archonsim.zoo.bottleneck import Bottleneck
from archonsim.zoo.compound import Compound
from archonsim.zoo.network import Network
from archonsim.zoo.unit import ConvUnit, folded_norm
from workloads.moments import Regression
from workloads.pruning import TAIL_ROLES, keep_largest

#: Pixels that a fit sees at most, images that are in memory at once, and the ridge in units of the
#: mean variance.
_SAMPLES, _CHUNK, _RIDGE = 32768, 16, 1e-3


def sample_chunks(x: Tensor, pixels: int) -> Iterator[slice]:
    """Cut as many images as have `_SAMPLES` pixels into chunks."""
    count = min(len(x), max(_CHUNK, _SAMPLES // pixels))
    return (slice(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))


class _Gram:
    """Second moments of a group's features and targets, centred, from chunks."""

    def __init__(self, groups: int) -> None:
        self.groups, self.count = groups, 0
        self.sums: list[Tensor] = []

    def add(self, features: Tensor, targets: Tensor) -> None:
        """Take ``features : (n, F, H, W)`` and ``targets : (n, T, H, W)``."""
        rows = [
            x.transpose(0, 1).reshape(self.groups, -1, x.shape[0] * x.shape[2] * x.shape[3])
            for x in (features, targets)
        ]
        f, t = rows
        moments = [f @ f.transpose(1, 2), f @ t.transpose(1, 2), f.sum(2), t.sum(2)]
        self.sums = (
            moments if not self.sums else [a + b for a, b in zip(self.sums, moments, strict=True)]
        )
        self.count += f.shape[2]

    def centred(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return covariance (G, F, F), cross-covariance (G, F, T), and both means."""
        ff, ft, f, t = (x.double() / self.count for x in self.sums)
        return ff - f[:, :, None] * f[:, None, :], ft - f[:, :, None] * t[:, None, :], f, t


def _solve(covariance: Tensor, cross: Tensor, keep: Tensor) -> Tensor:
    """Least squares on the kept features, one problem a row.

    Parameters
    ----------
    covariance : (F, F); cross : (F, T); keep : (T, F) bool

    Returns
    -------
    (T, F), zero where not kept
    """
    ridge = _RIDGE * covariance.diagonal().mean().clamp(min=1e-9)
    weight = covariance.new_zeros(keep.shape)
    unit = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    for row in range(len(keep)):
        at = keep[row].nonzero().flatten()
        matrix = covariance[at][:, at] + ridge * unit[: len(at), : len(at)]
        weight[row, at] = torch.linalg.solve(matrix, cross[at, row])
    return weight


def _refit_pw1(unit: ConvUnit, x: Tensor, sparsity: float) -> None:
    """Prune PW1 and fit the kept weights to what it made before.

    Its normalisation goes on meaning the same.
    """
    assert unit.bn is not None
    groups = unit.layer.groups
    gram = _Gram(groups)
    for at in sample_chunks(x, x.shape[2] * x.shape[3]):
        gram.add(x[at], x[at])
    covariance, _, _, _ = gram.centred()
    weight = unit.conv.weight.view(groups, -1, covariance.shape[1]).double()
    deviation = covariance.diagonal(dim1=1, dim2=2).sqrt()
    score = (weight * deviation[:, None, :]).abs()
    score = score / score.norm(dim=2, keepdim=True).clamp(min=1e-9)
    keep = keep_largest(score, sparsity)
    fitted = torch.zeros_like(weight)
    for g in range(groups):
        # Rows share few inputs: one small system each, solved together.
        mask = keep[g].double()
        systems = covariance[g] * mask[:, :, None] * mask[:, None, :] + torch.diag_embed(1 - mask)
        systems.diagonal(dim1=1, dim2=2).add_(1e-6)
        fitted[g] = torch.linalg.solve(systems, (weight[g] @ covariance[g]) * mask) * mask
    scale, _ = folded_norm(unit.bn)
    _rewrite(unit, fitted, weight, gram, scale)


def _rewrite(unit: ConvUnit, fitted: Tensor, weight: Tensor, gram: _Gram, scale: Tensor) -> None:
    """Store fitted rows and a normalisation that keeps the output's mean and slope."""
    assert unit.bn is not None
    assert unit.bn.running_mean is not None
    assert unit.bn.running_var is not None
    covariance, _, mean, _ = gram.centred()
    old_mean, new_mean = ((w @ mean[:, :, None]).flatten() for w in (weight, fitted))
    var = ((fitted @ covariance) * fitted).sum(2).flatten()
    before = scale * (old_mean - unit.bn.running_mean) + unit.bn.bias
    unit.conv.weight.copy_(fitted.view_as(unit.conv.weight))
    unit.bn.running_mean.copy_(new_mean)
    unit.bn.running_var.copy_(var)
    unit.bn.weight.copy_(scale * torch.sqrt(var + unit.bn.eps))
    unit.bn.bias.copy_(before)


def refit_pw2(
    unit: ConvUnit, pairs: Iterator[tuple[Tensor, Tensor]], sparsity: float | None
) -> None:
    """Fit PW2 and its normalisation to targets.

    Parameters
    ----------
    pairs : iterator of (features, targets)
        Chunks of the second activation and of what the normalisation after PW2 should put out.
    sparsity : float or None
        Share of zeros to choose; None keeps the zeros that there are.
    """
    bn, groups = unit.bn, unit.layer.groups
    assert bn is not None
    assert bn.running_mean is not None
    assert bn.running_var is not None
    gram = _Gram(groups)
    for features, targets in pairs:
        gram.add(features, targets)
    covariance, cross, mean, target = gram.centred()
    weight = unit.conv.weight.view(groups, -1, covariance.shape[1])
    keep = weight != 0
    if sparsity is not None:
        deviation = covariance.diagonal(dim1=1, dim2=2).sqrt()
        keep = torch.ones_like(weight, dtype=torch.bool)
        for share in (0.6 * sparsity, sparsity):
            dense = torch.stack([_solve(covariance[g], cross[g], keep[g]) for g in range(groups)])
            keep = keep_largest((dense * deviation[:, None, :]).abs(), share)
    fitted = torch.stack([_solve(covariance[g], cross[g], keep[g]) for g in range(groups)])
    # Weights of the size that a normalisation expects: the fit itself is tiny where features are
    # many.
    size = fitted.std() / weight.std().clamp(min=1e-9)
    fitted = fitted / size
    var = ((fitted @ covariance) * fitted).sum(2).flatten()
    unit.conv.weight.copy_(fitted.view_as(unit.conv.weight))
    bn.running_mean.copy_((fitted @ mean[:, :, None]).flatten())
    bn.running_var.copy_(var)
    bn.weight.copy_(size * torch.sqrt(var + bn.eps))
    bn.bias.copy_(target.flatten())


def _prune_block(
    block: Bottleneck, x: Tensor, output: Tensor, pointwise: float, depthwise: float
) -> None:
    """Prune one block that reads `x` and should make `output`."""
    before = Bottleneck(block.block, predicted=False).to(x.device).eval()
    before.load_state_dict(block.state_dict())
    _refit_pw1(block.pw1, x, pointwise)
    kernel = block.dw.conv.weight.flatten(1)
    score = (kernel.abs() / kernel.norm(dim=1, keepdim=True).clamp(min=1e-9)).flatten()
    kernel.mul_(keep_largest(score[None, None], depthwise).view_as(kernel))
    pixels = block.block.pw2.in_h * block.block.pw2.in_w
    fit = Regression()
    for at in sample_chunks(x, pixels):
        fit.add(block.dw.convolve(block.pw1(x[at])), before.dw.preactivation(before.pw1(x[at])))
    assert block.dw.bn is not None
    fit.write(block.dw.bn, 1.0)

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for at in sample_chunks(x, pixels):
            yield block.dw(block.pw1(x[at])), block.branch_of(output[at], x[at])

    refit_pw2(block.pw2, pairs(), pointwise)


def run_chunks(run: Callable[..., Tensor], *maps: Tensor) -> Tensor:
    """Run a module on some images at a time."""
    return torch.cat(
        [
            run(*(x[start : start + _CHUNK] for x in maps))
            for start in range(0, len(maps[0]), _CHUNK)
        ]
    )


@torch.no_grad()
def prune_by_refit(
    network: Network,
    images: Tensor,
    pointwise: float,
    depthwise: float,
    say: Callable[[str], None],
    dense: Collection[str] = (),
) -> None:
    """Prune all blocks of a trained network, and the 1x1 convolution of its tail, in place.

    Parameters
    ----------
    images : (N, C, H, W) float32
        Normalised training images.
    pointwise, depthwise : float
        Shares of zeros.
    dense : collection of str
        Blocks and roles that are left as they are.

    Raises
    ------
    WorkloadError
        Not every block of the network is PW1 - DW - PW2 and nothing else.
    """
    for name, module in network.items.items():
        if isinstance(module, Compound) or (
            isinstance(module, Bottleneck) and module.block.order != "pw-dw-pw"
        ):
            raise WorkloadError(
                f"block {name}: pruning by least squares knows blocks of the order pw-dw-pw alone;"
                " prune by a ramp"
            )
    network.eval()
    reference = actual = images
    for name, module in network.items.items():
        if isinstance(module, Bottleneck) and name not in dense:
            reference = run_chunks(module, reference)
            _prune_block(module, actual, reference, pointwise, depthwise)
            actual = run_chunks(module, actual)
            error = float((actual - reference).square().mean() / reference.var())
            say(f"{name}: pruned; output error {error:.3f}")
        else:
            reference = run_chunks(module, reference)
            if isinstance(module, ConvUnit) and module.layer.role in TAIL_ROLES - set(dense):
                _refit_pw1(module, actual, pointwise)
            actual = run_chunks(module, actual)
