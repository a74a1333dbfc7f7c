"""The cache-resident kernels compute what plain PyTorch computes, gradients included."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch import Tensor  # noqa: E402

from archonsim.network.block import Block  # noqa: E402
from archonsim.network.layer import Layer, same_padding  # noqa: E402
from archonsim.zoo import gated_kernel  # noqa: E402
from archonsim.zoo.bottleneck import Bottleneck  # noqa: E402
from archonsim.zoo.fused import FusedSettings, fusible, slice_channels  # noqa: E402

#: (C, M, O, groups, size, stride): channels in multiples of 8 and of 4, a tile that is cut short,
#: both strides, lanes of one chunk and of several.
SHAPES = [
    (16, 32, 8, 2, 8, 1),
    (8, 32, 8, 2, 6, 2),
    (8, 16, 24, 1, 7, 1),
    (16, 64, 16, 2, 16, 2),
    (12, 112, 20, 1, 8, 1),
]


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


def trained(module: Bottleneck, x: Tensor) -> list[Tensor | None]:
    """Output, gradients of the input and of all parameters, and all running means, of one step.

    (Running variances differ: torch's are those of a sample, the kernel's of the batch.)
    """
    module.zero_grad()
    leaf = x.clone().requires_grad_()
    y = module(leaf)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    means = [one.clone() for name, one in module.named_buffers() if name.endswith("running_mean")]
    return [y.detach(), leaf.grad, *(one.grad for one in module.parameters()), *means]


@pytest.mark.compiles
@pytest.mark.parametrize("shape", SHAPES)
def test_training_agrees_with_plain_torch(shape: tuple[int, int, int, int, int, int]) -> None:
    module = make(shape).train()
    assert fusible(module.block)
    x = torch.randn(5, shape[0], shape[4], shape[4])
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    outcomes = []
    for settings in (None, FusedSettings()):
        module.load_state_dict(before, strict=False)
        module.fused = settings
        outcomes.append(trained(module, x))
    for plain, fused in zip(*outcomes, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-4)


def predicted(shape: tuple[int, int, int, int, int, int], x: Tensor, kernels: bool) -> Bottleneck:
    """A block that trains as in the phase `pred`: real PW1 and DW frozen, the rest free."""
    module = make(shape, predicted=True)
    assert module.predictor1 is not None
    assert module.predictor2 is not None
    settle(module, x)
    for predictor, unit in ((module.predictor1, module.pw1), (module.predictor2, module.dw)):
        predictor.copy_from(unit)
        # Small enough for some levels to be clipped.
        predictor.step.fill_(0.25)
        torch.nn.init.uniform_(predictor.bn.weight, 0.5, 1.5)
        if kernels:
            predictor.train_kernel(unit)
        unit.requires_grad_(False)
    module.train()
    module.pw1.eval()
    module.dw.eval()
    return module


@pytest.mark.compiles
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize("pw2", [False, True])
def test_training_of_predictors_agrees_with_plain_torch(
    shape: tuple[int, int, int, int, int, int],
    kernels: bool,
    pw2: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.randn(5, shape[0], shape[4], shape[4], generator=torch.Generator().manual_seed(5))
    module = predicted(shape, x, kernels)
    module.pw2.conv.requires_grad_(pw2)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    plain = trained(module, x)
    assert plain[1] is not None
    assert plain[1].abs().max() > 0
    module.load_state_dict(before, strict=False)
    module.fused = FusedSettings()
    calls: list[object] = []
    kernel = gated_kernel.predicted_backward

    def listen(*args: Any) -> None:
        calls.append(args)
        kernel(*args)

    monkeypatch.setattr(gated_kernel, "predicted_backward", listen)
    fused = trained(module, x)
    assert len(calls) == 1
    for one, other in zip(fused, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.full
@pytest.mark.parametrize("flavour", ["real", "predicted"])
@pytest.mark.parametrize("shape", SHAPES[-2:])
def test_training_does_not_depend_on_the_number_of_threads(
    shape: tuple[int, int, int, int, int, int], flavour: str
) -> None:
    numba = pytest.importorskip("numba")
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread is all there is")
    x = torch.randn(5, shape[0], shape[4], shape[4])
    outcomes = []
    for threads in (1, 2):
        module = make(shape).train() if flavour == "real" else predicted(shape, x, kernels=True)
        module.fused = FusedSettings()
        numba.set_num_threads(threads)
        outcomes.append(trained(module, x))
    for one, other in zip(*outcomes, strict=True):
        assert one is other is None or torch.equal(one, other)


@pytest.mark.compiles
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


@pytest.mark.compiles
@pytest.mark.parametrize("shape", [(8, 32, 8, 1, 6, 2), SHAPES[-1]])
@pytest.mark.parametrize("momentum", [0.01, None])
def test_plain_layers_train_a_slice_as_the_kernel_does(
    shape: tuple[int, int, int, int, int, int], momentum: float | None
) -> None:
    module = make(shape).train()
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = momentum  # None: averages, as statistics are estimated
    x = torch.randn(5, shape[0], shape[4], shape[4])
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    outcomes = []
    for plain in (False, True):
        module.load_state_dict(before, strict=False)
        module.fused = FusedSettings(width=0.5, fixed=True, plain=plain)
        outcomes.append(trained(module, x))
    for kernel, plain_one in zip(*outcomes, strict=True):
        torch.testing.assert_close(plain_one, kernel, rtol=1e-4, atol=1e-4)


def test_slices_are_whole_chunks() -> None:
    assert [slice_channels(592, width) for width in (0.001, 0.125, 0.25, 1.0)] == [16, 80, 144, 592]
