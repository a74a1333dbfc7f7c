"""The cache-resident kernels compute what plain PyTorch computes, gradients included."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch import Tensor  # noqa: E402

from archonsim.network.block import Block  # noqa: E402
from archonsim.network.layer import Layer, same_padding  # noqa: E402
from archonsim.zoo.bottleneck import Bottleneck  # noqa: E402
from archonsim.zoo.fused import FusedSettings, fusible, slice_channels  # noqa: E402

#: (C, M, O, groups, size, stride): channels in multiples of 8 and of 4, a tile that is cut short,
#: both strides.
SHAPES = [(16, 32, 8, 2, 8, 1), (8, 32, 8, 2, 6, 2), (8, 16, 24, 1, 7, 1), (16, 64, 16, 2, 16, 2)]


def make(shape: tuple[int, int, int, int, int, int], predicted: bool = False) -> Bottleneck:
    ins, mids, outs, groups, size, stride = shape
    pad, small = same_padding(size, 3, stride), -(-size // stride)
    wide: dict[str, Any] = {"in_h": size, "in_w": size, "batchnorm": True, "activation": "relu"}
    window: dict[str, Any] = {
        "kernel_h": 3,
        "kernel_w": 3,
        "stride_h": stride,
        "stride_w": stride,
        "padding": (*pad, *pad),
    }
    narrow: dict[str, Any] = {"in_h": small, "in_w": small, "batchnorm": True}
    block = Block(
        index=1,
        pw1=Layer(
            name="pw1",
            kind="conv",
            role="pw1",
            in_channels=ins,
            out_channels=mids,
            groups=groups,
            **wide,
        ),
        dw=Layer(
            name="dw",
            kind="depthwise",
            role="dw",
            in_channels=mids,
            out_channels=mids,
            groups=mids,
            **window,
            **wide,
        ),
        pw2=Layer(
            name="pw2",
            kind="conv",
            role="pw2",
            in_channels=mids,
            out_channels=outs,
            groups=groups,
            **narrow,
        ),
        shuffle=groups,
    )
    torch.manual_seed(3)
    return Bottleneck(block, predicted)


def settle(module: Bottleneck, x: Tensor) -> None:
    """Give the normalisations statistics and parameters that are not their defaults."""
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = None
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias, 0.0, 0.2)
    module.train()
    with torch.no_grad():
        module(x)
    module.eval()


@pytest.mark.parametrize("shape", SHAPES)
def test_training_agrees_with_plain_torch(shape: tuple[int, int, int, int, int, int]) -> None:
    module = make(shape).train()
    assert fusible(module.block)
    x = torch.randn(5, shape[0], shape[4], shape[4])
    outcomes = []
    for settings in (None, FusedSettings()):
        module.fused = settings
        module.zero_grad()
        leaf = x.clone().requires_grad_()
        y = module(leaf)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        outcomes.append(
            [y.detach(), leaf.grad, *(parameter.grad for parameter in module.parameters())]
        )
    for plain, fused in zip(*outcomes, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("predicted", [False, True])
def test_inference_agrees_with_plain_torch(
    shape: tuple[int, int, int, int, int, int], predicted: bool
) -> None:
    module = make(shape, predicted)
    x = torch.randn(5, shape[0], shape[4], shape[4])
    if module.predictor1 is not None and module.predictor2 is not None:
        module.predictor1.copy_from(module.pw1)
        module.predictor2.copy_from(module.dw)
    settle(module, x)
    with torch.no_grad():
        plain = module(x)
        module.fused = FusedSettings()
        torch.testing.assert_close(module(x), plain, rtol=1e-4, atol=1e-4)


def test_training_tracks_the_statistics_of_the_trained_slice_alone() -> None:
    module = make((16, 64, 16, 2, 8, 1)).train()
    module.fused = FusedSettings(width=0.5, fixed=True)
    module(torch.randn(4, 16, 8, 8))
    for bn in (module.pw1.bn, module.dw.bn):
        assert bn is not None
        assert bn.running_var is not None
        moved = torch.ne(bn.running_var, 1).view(2, 32)
        assert moved[:, :16].all()
        assert not moved[:, 16:].any()


def test_slices_are_whole_chunks() -> None:
    assert [slice_channels(592, width) for width in (0.001, 0.125, 0.25, 1.0)] == [16, 80, 144, 592]
