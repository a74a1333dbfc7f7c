"""Networks agree with their tables, and the tables with the published ones."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch import Tensor  # noqa: E402

from archonsim.network.layer import same_padding  # noqa: E402
from archonsim.network.networks import network as table  # noqa: E402
from archonsim.zoo.network import Network, build, to_half  # noqa: E402
from archonsim.zoo.unit import average_pool, channel_shuffle  # noqa: E402
from tests.published.sources import CIFAR, data_rows  # noqa: E402

#: The ten networks of ICS'21 and the digits'.
NAMES = [*CIFAR.values(), "fusionet_digits"]


def parameters(module: Network) -> int:
    """As Keras counts: running statistics included."""
    running = sum(buffer.numel() for key, buffer in module.named_buffers() if "running_" in key)
    return running + sum(parameter.numel() for parameter in module.parameters())


TOTALS = {
    CIFAR[row["dataset"], row["network"], row["variant"]]: row
    for row in data_rows("network_totals.csv")
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", TOTALS)
def test_parameters_and_macs_of_the_modules_are_the_published_ones(name: str) -> None:
    """Counted from the modules and the maps that they make, not from the tables."""
    module, row = build(name).eval(), TOTALS[name]
    assert parameters(module) == int(row["params_total"])
    macs = 0

    def count(unit: Any, _: object, y: Tensor) -> None:
        nonlocal macs
        pixels = y.shape[2] * y.shape[3] if y.ndim == 4 else 1
        macs += unit.weight.numel() * pixels

    for unit in module.modules():
        if isinstance(unit, torch.nn.Conv2d | torch.nn.Linear):
            unit.register_forward_hook(count)
    with torch.no_grad():
        logits = module(torch.randn(1, 3, 32, 32))
    assert logits.shape == (1, 10 if row["dataset"] == "cifar10" else 100)
    assert macs == int(row["macs_total"])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", NAMES)
def test_every_layer_makes_the_map_that_its_table_says(name: str) -> None:
    module = build(name).eval()
    seen: dict[str, tuple[int, ...]] = {}

    def note(unit: Any, _: object, y: Tensor) -> None:
        owner = unit if hasattr(unit, "layer") else owners[unit]
        seen[owner.layer.name] = tuple(y.shape[1:])

    owners: dict[Any, Any] = {}
    for unit in module.modules():
        if hasattr(unit, "layer"):
            # Blocks call a unit's convolution, not always the unit itself.
            watched: Any = unit.conv if hasattr(unit, "conv") else unit
            owners[watched] = unit
            watched.register_forward_hook(note)
    first = next(iter(table(name).layers()))
    with torch.no_grad():
        module(torch.randn(1, first.in_channels, first.in_h, first.in_w))
    assert set(seen) == {layer.name for layer in module.workload.layers()}
    for layer in module.workload.layers():
        expected = (
            (layer.out_channels,)
            if layer.kind == "fc"
            else (layer.out_channels, layer.out_h, layer.out_w)
        )
        assert seen[layer.name] == expected


@pytest.mark.parametrize("name", ["shufflenetmod_c10", "mnasnetmod_c10", "mobilenetv2mod_c10"])
def test_every_predicted_block_of_a_pred_network_has_predictors(name: str) -> None:
    module = build(name, "pred")
    for block in module.bottlenecks():
        assert (block.predictor1 is not None) == block.block.predicted
        if block.predictor2 is not None:
            assert block.predictor2.real_layer is block.block.layers[1]


@pytest.mark.parametrize("stride", [1, 2])
def test_pools_average_pixels_inside_the_map(stride: int) -> None:
    x = torch.randn(2, 3, 6, 7)
    y = average_pool(x, (stride, stride))
    before = [same_padding(size, 3, stride)[0] for size in (6, 7)]
    for p, q in itertools.product(range(y.shape[2]), range(y.shape[3])):
        top, left = p * stride - before[0], q * stride - before[1]
        window = x[:, :, max(top, 0) : top + 3, max(left, 0) : left + 3]
        torch.testing.assert_close(y[:, :, p, q], window.mean((2, 3)))


@pytest.mark.parametrize("name", ["fusionet_digits", "shufflenetmod_c10"])
def test_the_branch_is_what_its_block_makes_of_it(name: str) -> None:
    for module in build(name).eval().bottlenecks():
        x = torch.randn(2, module.block.in_channels, module.block.pw1.in_h, module.block.pw1.in_w)
        with torch.no_grad():
            y = module.branch(x)
            torch.testing.assert_close(
                module.branch_of(module.finish(y, x), x), y, atol=1e-4, rtol=1e-4
            )


def test_shuffle_interleaves_groups() -> None:
    x = torch.arange(6.0).view(1, 6, 1, 1)
    assert channel_shuffle(x, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_block_adds_its_input_after_the_shuffle() -> None:
    block = next(
        one for one in build("fusionet_digits").eval().bottlenecks() if one.block.residual == "add"
    )
    x = torch.randn(1, block.block.in_channels, 8, 8)
    torch.testing.assert_close(block(x), x + channel_shuffle(block.branch(x), 4))


def test_stride_two_pads_behind_as_tensorflow_does() -> None:
    block = next(
        one for one in build("fusionet_digits").eval().bottlenecks() if one.block.dw.stride_h == 2
    )
    assert block.block.dw.padding == (0, 1, 0, 1)
    with torch.no_grad():
        block.dw.conv.weight.zero_()
        block.dw.conv.weight[:, 0, 0, 0] = 1.0
        x = torch.randn(1, block.block.mid_channels, 8, 8)
        torch.testing.assert_close(block.dw.convolve(x), x[:, :, ::2, ::2])


def test_half_words_round_what_passes_between_blocks() -> None:
    module: Network = build("fusionet_digits").eval()
    module.use_half_words()
    x = torch.randn(1, 16, 8, 8)
    block = next(module.bottlenecks())
    assert torch.equal(block(x), to_half(block(x)))
    assert torch.equal(block(x), block(to_half(x)))
