"""A bottleneck block as a PyTorch module: with its real ReLUs, or with predicted ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archonsim.network.block import Block
from archonsim.zoo.fused import (
    FusedSettings,
    fused_branch,
    fused_inference,
    fusible,
    narrow_branch,
    predicted_branch,
)
from archonsim.zoo.predictor import Predictor, gate
from archonsim.zoo.unit import ConvUnit, average_pool, channel_shuffle, to_half


class Bottleneck(nn.Module):
    """PW1 -> DW -> PW2, or PW1 -> shuffle -> PW2 -> DW.

    Each layer has a batch normalisation; the block may have a channel shuffle and a shortcut.

    Attributes
    ----------
    fused : FusedSettings or None
        Run on the cache-resident CPU kernels, if the block has a shape for them.
    half_words : bool
        Round the maps that come in and go out to 16 bits, as a machine of 16-bit words stores them.
    """

    def __init__(self, block: Block, predicted: bool) -> None:
        super().__init__()
        self.block = block
        self.pw1, self.dw, self.pw2 = ConvUnit(block.pw1), ConvUnit(block.dw), ConvUnit(block.pw2)
        self.predictor1 = Predictor(self.stages[0]) if predicted else None
        self.predictor2 = Predictor(self.stages[1]) if predicted else None
        self.fused: FusedSettings | None = None
        self.half_words = False

    @property
    def stages(self) -> tuple[ConvUnit, ConvUnit, ConvUnit]:
        """The three layers in order of execution."""
        return (
            (self.pw1, self.dw, self.pw2)
            if self.block.order == "pw-dw-pw"
            else (self.pw1, self.pw2, self.dw)
        )

    def between(self, x: Tensor) -> Tensor:
        """Shuffle what the first layer passes on, where the block's order asks for it there."""
        return (
            channel_shuffle(x, self.block.shuffle)
            if self.block.order == "pw-pw-dw" and self.block.shuffle
            else x
        )

    def wide_maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Return both real pre-activations and both predicted activations.

        Predicted activations are None without predictors.

        The second pre-activation is computed from the first map as the block passes it on.
        """
        first, second, _ = self.stages
        real1 = first.preactivation(x)
        if self.predictor1 is None or self.predictor2 is None:
            return real1, second.preactivation(self.between(real1.relu())), None, None
        predicted1 = self.predictor1(x)
        real2 = second.preactivation(self.between(gate(real1, predicted1)))
        return real1, real2, predicted1, self.predictor2(self.between(predicted1))

    def branch(self, x: Tensor, real_relus: bool = False) -> Tensor:
        """Run the three layers and their normalisations.

        With `real_relus`, as if there were no predictors.
        """
        pair = (
            None
            if real_relus or self.predictor1 is None or self.predictor2 is None
            else (self.predictor1, self.predictor2)
        )
        if self.fused is not None and fusible(self.block):
            if not self.training:
                return fused_inference(self.pw1, self.dw, self.pw2, pair, x)
            if pair is None and self.fused.plain and self.block.groups == 1:
                return narrow_branch(self.pw1, self.dw, self.pw2, x, self.fused.width)
            if pair is None:
                return fused_branch(self.pw1, self.dw, self.pw2, x, self.fused)
            if not (self.pw1.training or self.dw.training):
                return predicted_branch(self.pw1, self.dw, self.pw2, pair, x)
        first, second, third = self.stages
        if pair is None:
            return third(second(self.between(first(x))))  # type: ignore[no-any-return]
        _, real2, _, predicted2 = self.wide_maps(x)
        assert predicted2 is not None
        return third(gate(real2, predicted2))  # type: ignore[no-any-return]

    def finish(self, y: Tensor, x: Tensor) -> Tensor:
        """Shuffle the branch's output `y` and join the block's input `x`, as the block does."""
        if self.block.shuffle and self.block.order == "pw-dw-pw":
            y = channel_shuffle(y, self.block.shuffle)
        if self.block.residual == "concat":
            return torch.cat(
                [y, average_pool(x, (self.block.dw.stride_h, self.block.dw.stride_w))], 1
            )
        return x + y if self.block.residual == "add" else y

    def branch_of(self, output: Tensor, x: Tensor) -> Tensor:
        """Return what the branch must have made so that the block, reading `x`, puts out `output`.

        The inverse of `finish`.
        """
        y = output[:, : self.block.out_channels]
        y = y - x if self.block.residual == "add" else y
        if self.block.shuffle and self.block.order == "pw-dw-pw":
            y = channel_shuffle(y, y.shape[1] // self.block.shuffle)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        if not self.half_words:
            return self.finish(self.branch(x), x)
        x = to_half(x)
        return to_half(self.finish(self.branch(x), x))
