"""ReLU predictors: ternary weights on a 4-bit input say which activations survive.

Source: recipes of ICS'21 (its public training repository), sections 4.2 and 4.3. Our own decisions,
where the recipe leaves room or did not work as meant: the ternary weights are those of the pruned
real layer, held as a constant (as in the authors' CIFAR-10 networks, where they did not train
either), and the input step may differ from block to block. The other published way, in which the
kernels train and are made ternary again after every step (CIFAR-100), is `train_kernel` and
`project`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from archonsim.zoo.unit import ConvUnit, batch_norm, folded_norm

#: Four bits over a nominal range of [-6, 6], moved so that 0 is a level.
STEP, LOW, HIGH = 0.8, -8, 7


def ternarise(weight: Tensor, slices: int) -> tuple[Tensor, Tensor]:
    """Split `weight` into signs and one scale per slice of output channels.

    A weight counts where it exceeds 0.7 times the mean magnitude of its slice, zeros included.

    Parameters
    ----------
    weight : (O, C/G, R, S)
    slices : int
        G for a grouped 1x1 convolution, 1 for a depthwise kernel.

    Returns
    -------
    signs : (O, C/G, R, S) of -1, 0, 1
    scale : (O,)
        Mean magnitude of the weights that count.
    """
    magnitude = weight.abs().view(slices, -1)
    counts = magnitude > 0.7 * magnitude.mean(1, keepdim=True)
    alpha = (magnitude * counts).sum(1) / counts.sum(1).clamp(min=1)
    signs = weight.sign() * counts.view_as(weight)
    return signs, alpha.repeat_interleave(weight.shape[0] // slices)


class _Levels(torch.autograd.Function):
    """Round to integer levels; the gradient passes where nothing is clipped."""

    @staticmethod
    def forward(ctx, x: Tensor, step: Tensor, low: int, high: int) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward((x >= low * step) & (x <= high * step), step)
        return torch.round(x / step).clamp(low, high)

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
        inside, step = ctx.saved_tensors
        return gradient * inside / step, None, None, None


class Predictor(nn.Module):
    """Ternary copy of a real layer with its own batch normalisation and ReLU."""

    signs: Tensor
    alpha: Tensor
    step: Tensor

    def __init__(self, real: ConvUnit) -> None:
        super().__init__()
        layer = real.layer
        self.real_layer, self.outer = layer, real.outer
        self.slices = 1 if layer.kind == "depthwise" else layer.groups
        self.padding, self.stride = real.conv.padding, real.conv.stride
        self.bn = batch_norm(layer.out_channels)
        self.register_buffer("signs", torch.zeros(layer.weight_shape, dtype=torch.int8))
        self.register_buffer("alpha", torch.zeros(layer.out_channels))
        self.register_buffer("step", torch.tensor(STEP))
        self.kernel: nn.Parameter | None = None

    @torch.no_grad()
    def copy_from(self, real: ConvUnit) -> None:
        """Take weights and batch normalisation of the real layer as the start."""
        signs, alpha = ternarise(real.conv.weight, self.slices)
        self.signs.copy_(signs)
        self.alpha.copy_(alpha)
        if real.bn is not None:
            self.bn.load_state_dict(real.bn.state_dict())

    @torch.no_grad()
    def train_kernel(self, real: ConvUnit) -> None:
        """Let the kernel train, from ternary weights.

        A depthwise one from the real ones, which the first step makes ternary.
        """
        start = (
            real.conv.weight
            if self.real_layer.kind == "depthwise"
            else self.signs * self.alpha.view(-1, 1, 1, 1)
        )
        self.kernel = nn.Parameter(start.detach().clone())

    @torch.no_grad()
    def project(self) -> None:
        """Make a trained kernel ternary again."""
        if self.kernel is not None:
            signs, alpha = ternarise(self.kernel, self.slices)
            self.signs.copy_(signs)
            self.alpha.copy_(alpha)
            self.kernel.copy_(signs * alpha.view(-1, 1, 1, 1))

    def settle(self) -> None:
        """Keep the kernel as it is: ternary, and no parameter any more."""
        self.project()
        self.kernel = None

    def levels(self, x: Tensor) -> Tensor:
        """Return the integer levels of an input; the gradient passes where nothing is clipped."""
        return _Levels.apply(x, self.step, LOW, HIGH)  # type: ignore[no-any-return,no-untyped-call]

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        levels = self.levels(x)
        if self.outer is not None:
            levels = functional.pad(levels, self.outer)
        return functional.conv2d(
            levels,
            weight.to(levels.dtype),
            None,
            self.stride,
            self.padding,
            1,
            self.real_layer.groups,
        )

    def accumulate(self, x: Tensor) -> Tensor:
        """Return the integer sums ``sum(ternary * level)``."""
        return self._convolve(x, self.signs)

    def training_kernel(self) -> Tensor:
        """Return the weights (O, C/G, R, S) that training multiplies levels by, step included."""
        kernel = self.signs * self.alpha.view(-1, 1, 1, 1) if self.kernel is None else self.kernel
        return kernel * self.step

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return scale and shift (O,) of ``keep = scale * accumulate(x) + shift > 0``."""
        gain, shift = folded_norm(self.bn)
        return gain * self.alpha * self.step, shift

    def forward(self, x: Tensor) -> Tensor:
        """Return the predicted activation, after the ReLU."""
        if self.training and self.kernel is not None:
            y = self.bn(self._convolve(x, self.kernel) * self.step)
        elif self.training:
            y = self.bn(self.accumulate(x) * (self.alpha * self.step).view(1, -1, 1, 1))
        else:
            sums = self.accumulate(x)
            scale, shift = self.folded()
            # Two separate operations: a fused multiply-add would round differently from numpy and
            # the machine.
            y = sums * scale.view(1, -1, 1, 1)
            y = y + shift.view(1, -1, 1, 1)
        return functional.relu(y)


class _Gate(torch.autograd.Function):
    """Choose, to the bit: a difference added back would round."""

    @staticmethod
    def forward(ctx, real: Tensor, predicted: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return torch.where(
            predicted > 0, real, torch.zeros((), dtype=real.dtype, device=real.device)
        )

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
        return None, gradient


def gate(real: Tensor, predicted: Tensor) -> Tensor:
    """Pass the real pre-activation where the predicted one is positive.

    The gradient goes to the prediction alone.
    """
    return _Gate.apply(real, predicted)  # type: ignore[no-any-return,no-untyped-call]
