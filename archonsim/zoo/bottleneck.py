"""A bottleneck block as a PyTorch module: with its real ReLUs, or with predicted ones."""

from __future__ import annotations

from torch import Tensor, nn

from archonsim.errors import WorkloadError
from archonsim.workload.block import Block
from archonsim.zoo.fused import FusedSettings, fused_branch, fused_inference, fusible
from archonsim.zoo.predictor import Predictor, gate
from archonsim.zoo.unit import ConvUnit, channel_shuffle


class Bottleneck(nn.Module):
    """PW1 -> DW -> PW2 with batch normalisations, channel shuffle and residual sum.

    Attributes
    ----------
    fused : FusedSettings or None
        Run on the cache-resident CPU kernels, if the block has a shape for them.
    """

    def __init__(self, block: Block, predicted: bool) -> None:
        super().__init__()
        if block.order != "pw-dw-pw" or block.residual == "concat":
            raise WorkloadError(
                f"block {block.name}: order {block.order}, residual {block.residual}; modules exist for pw-dw-pw with none or add"
            )
        self.block = block
        self.pw1, self.dw, self.pw2 = ConvUnit(block.pw1), ConvUnit(block.dw), ConvUnit(block.pw2)
        self.predictor1 = Predictor(self.pw1) if predicted else None
        self.predictor2 = Predictor(self.dw) if predicted else None
        self.fused: FusedSettings | None = None

    def wide_maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Return both real pre-activations and both predicted activations (None without predictors).

        The second pre-activation is computed from the first map as the block passes it on.
        """
        real1 = self.pw1.preactivation(x)
        if self.predictor1 is None or self.predictor2 is None:
            return real1, self.dw.preactivation(real1.relu()), None, None
        predicted1 = self.predictor1(x)
        real2 = self.dw.preactivation(gate(real1, predicted1))
        return real1, real2, predicted1, self.predictor2(predicted1)

    def branch(self, x: Tensor, real_relus: bool = False) -> Tensor:
        """Run the three layers, up to the batch normalisation after PW2; with `real_relus`, as if there were no predictors."""
        pair = None if real_relus or self.predictor1 is None or self.predictor2 is None else (self.predictor1, self.predictor2)
        if self.fused is not None and fusible(self.block):
            if not self.training:
                return fused_inference(self.pw1, self.dw, self.pw2, pair, x)
            if pair is None:
                return fused_branch(self.pw1, self.dw, self.pw2, x, self.fused)
        if pair is None:
            return self.pw2(self.dw(self.pw1(x)))  # type: ignore[no-any-return]
        _, real2, _, predicted2 = self.wide_maps(x)
        assert predicted2 is not None
        return self.pw2(gate(real2, predicted2))  # type: ignore[no-any-return]

    def finish(self, y: Tensor, x: Tensor) -> Tensor:
        """Shuffle the branch's output `y` and add the block's input `x`, as the block does."""
        if self.block.shuffle:
            y = channel_shuffle(y, self.block.shuffle)
        return x + y if self.block.residual == "add" else y

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        return self.finish(self.branch(x), x)
