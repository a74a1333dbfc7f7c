"""Blocks with predicted ReLUs, to the bit, against a plain numpy statement of the rules."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch.nn import BatchNorm2d  # noqa: E402

from archonsim.export.tap import trace_network  # noqa: E402
from archonsim.network.block import Block  # noqa: E402
from archonsim.network.workload import Provenance, Workload  # noqa: E402
from archonsim.runs.verify import verify  # noqa: E402
from archonsim.trace.algebra import predict  # noqa: E402
from archonsim.zoo.bottleneck import Bottleneck  # noqa: E402
from archonsim.zoo.network import Network  # noqa: E402
from tests.present import present  # noqa: E402
from tests.strategies import make_block  # noqa: E402

BLOCKS = [
    make_block(channels=8, mid=24, out=8, groups=4, size=(6, 5), residual=True, shuffle=4),
    make_block(channels=4, mid=12, out=6, size=(7, 7), kernel=5, stride=2),
    make_block(
        channels=6, mid=18, out=6, groups=3, size=(6, 6), residual=True, shuffle=3, late=True
    ),
    make_block(channels=6, mid=9, out=3, groups=3, size=(5, 6), stride=2, shuffle=3, late=True),
]
NAMES = ["FusioNet", "MnasNet", "ShuffleNet", "ShuffleNet, stride 2"]


def exact(block: Block, seed: int) -> Bottleneck:
    """Random weights that are few-bit binary fractions.

    Every sum is exact in float32, so order does not matter.
    """
    torch.manual_seed(seed)
    module = Bottleneck(block, predicted=True)
    for unit in module.stages:
        torch.nn.init.uniform_(unit.conv.weight, -1, 1)
        unit.conv.weight.data = (
            (unit.conv.weight * 2).round() / 2 * (torch.rand_like(unit.conv.weight) < 0.6)
        )
    for predictor, unit in zip((module.predictor1, module.predictor2), module.stages, strict=False):
        assert predictor is not None
        predictor.copy_from(unit)
        predictor.alpha.fill_(0.5)
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.eps = 0.0
            norm.running_var.fill_(4.0)
            norm.weight.data = torch.randint(1, 3, norm.weight.shape).float()
            norm.bias.data = torch.randint(-4, 5, norm.bias.shape) / 8
    return module.eval()


def convolve(x: np.ndarray, weight: np.ndarray, block: Block, depthwise: bool) -> np.ndarray:
    """A 1x1 convolution in groups or a depthwise one, in float64."""
    if not depthwise:
        groups = block.groups
        parts = zip(np.split(weight[:, :, 0, 0], groups), np.split(x, groups), strict=True)
        return np.concatenate([np.tensordot(rows, maps, 1) for rows, maps in parts])
    layer = block.dw
    padded = np.pad(x, ((0, 0), layer.padding[:2], layer.padding[2:]))
    y = np.zeros((len(x), layer.out_h, layer.out_w))
    for p, q in np.ndindex(layer.out_h, layer.out_w):
        top, left = p * layer.stride_h, q * layer.stride_w
        y[:, p, q] = (
            padded[:, top : top + layer.kernel_h, left : left + layer.kernel_w] * weight[:, 0]
        ).sum((1, 2))
    return y


def normalise(x: np.ndarray, norm: BatchNorm2d | None) -> np.ndarray:
    assert norm is not None
    gamma, beta, mean, var = (
        present(one).detach().double().numpy()[:, None, None]
        for one in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    return gamma * (x - mean) / np.sqrt(var) + beta


def quantise(x: np.ndarray) -> np.ndarray:
    """Four bits: levels 0.8 apart from -6.4 to 5.6, of a float32 quotient."""
    return np.clip(np.rint(x.astype(np.float32) / np.float32(0.8)), -8, 7)


def shuffle(x: np.ndarray, groups: int) -> np.ndarray:
    return (
        np.stack(
            [part for place in range(len(x) // groups) for part in x[place :: len(x) // groups]]
        )
        if groups
        else x
    )


def rules(module: Bottleneck, x: np.ndarray) -> Iterator[np.ndarray]:
    """Both predicted activations, then the output, as ICS'21 states them (float64, one image)."""
    block = module.block
    late = block.order == "pw-pw-dw"
    passed, seen = x, x
    for unit, predictor in zip(module.stages, (module.predictor1, module.predictor2), strict=False):
        assert predictor is not None
        depthwise = unit is module.dw
        sums = convolve(quantise(seen), predictor.signs.numpy().astype(float), block, depthwise)
        # Scale and shift are applied in float32, one after the other, as the machine does.
        scale, shift = (one.detach().numpy()[:, None, None] for one in predictor.folded())
        predicted = np.maximum(sums.astype(np.float32) * scale + shift, 0)
        yield predicted
        real = normalise(
            convolve(passed, unit.conv.weight.detach().double().numpy(), block, depthwise), unit.bn
        )
        passed = np.where(predicted > 0, real, 0)  # no ReLU: a wrongly kept negative value passes
        first = unit is module.stages[0]
        passed, seen = (
            shuffle(one, block.shuffle) if late and first else one for one in (passed, predicted)
        )
    last = module.stages[2]
    y = normalise(
        convolve(passed, last.conv.weight.detach().double().numpy(), block, last is module.dw),
        last.bn,
    )
    y = y if late else shuffle(y, block.shuffle)
    yield y + x if block.residual == "add" else y


@pytest.mark.parametrize("block", BLOCKS, ids=NAMES)
@pytest.mark.parametrize("seed", range(5))
def test_forward_pass_follows_the_rules_to_the_bit(block: Block, seed: int) -> None:
    module = exact(block, seed)
    x = torch.randint(-16, 17, (1, block.in_channels, block.pw1.in_h, block.pw1.in_w)) / 2
    with torch.no_grad():
        _, _, predicted1, predicted2 = module.wide_maps(x)
        found = [predicted1, predicted2, module(x)]
    expected = list(rules(module, x[0].double().numpy()))
    for one, other in zip(found, expected, strict=True):
        assert one is not None
        np.testing.assert_array_equal(one[0].numpy(), other.astype(np.float32))
    kept = expected[0] > 0
    assert 0 < kept.sum() < kept.size


@pytest.mark.sampled(2)
@pytest.mark.parametrize("block", BLOCKS, ids=NAMES)
def test_traces_of_every_order_of_layers_verify(block: Block) -> None:
    """What the module decides is what the file's arrays say, to the bit.

    The masked fused sum gives the block's output.
    """
    work = Workload(
        name="one",
        items=(block,),
        provenance=Provenance(network="one", flavour="pred", mask_source="trained"),
    )
    network = Network(work, "pred")
    network.items[block.name] = exact(block, 9)
    trace = trace_network(
        network, torch.randn(2, block.in_channels, block.pw1.in_h, block.pw1.in_w) * 3
    )
    for image in range(2):
        one = trace.block(block.name, image)
        keep1, keep2 = predict(block, trace.predictors(block.name), one.input)
        assert np.array_equal(keep1.packed, one.keep1.packed)
        assert np.array_equal(keep2.packed, one.keep2.packed)
    traced = Workload(name="one", items=(block,), provenance=work.provenance, trace=trace)
    assert all(check.passed for check in verify(traced, images=[0, 1]))
    assert not all(check.passed for check in verify(traced, images=[0, 1], clip=True))
