"""Networks agree with their tables, and the tables with the published ones."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from archonsim.workload.networks import network as table  # noqa: E402
from archonsim.zoo.network import Network, build, to_half  # noqa: E402
from archonsim.zoo.unit import channel_shuffle  # noqa: E402

NAMES = ["fusionet_c10", "fusionet_c100", "fusionet_digits", "mobilenetv2mod_c10"]
#: Folder with layers.csv: facts of the ICS'21 networks, traced from the authors' code.
FACTS = Path(os.environ.get("ARCHONSIM_REFERENCE", "../shared/reference")) / "networks" / "layers.csv"
#: (data set, network, variant) there, by name here.
PUBLISHED = {
    "fusionet_c10": ("cifar10", "fusionet", "fusionet"),
    "fusionet_c100": ("cifar100", "fusionet", "fusionet"),
    "mobilenetv2mod_c10": ("cifar10", "mobilenet", "modified"),
}


@pytest.mark.parametrize("name", NAMES)
def test_module_has_as_many_parameters_as_its_table(name: str) -> None:
    module = build(name)
    found = sum(parameter.numel() for parameter in module.parameters())
    found += sum(buffer.numel() for key, buffer in module.named_buffers() if "running_" in key)
    assert found == table(name).params


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_makes_the_map_that_its_table_says(name: str) -> None:
    module = build(name).eval()
    seen: dict[str, tuple[int, ...]] = {}

    def note(unit: torch.nn.Module, _: object, y: torch.Tensor) -> None:
        seen[unit.layer.name] = tuple(y.shape[1:])

    for unit in module.modules():
        if hasattr(unit, "layer"):
            unit.register_forward_hook(note)
    first = next(iter(table(name).layers()))
    for block in module.bottlenecks():
        block.pw1.register_forward_hook(note)
    module(torch.randn(1, first.in_channels, first.in_h, first.in_w))
    for layer in module.workload.layers():
        if layer.name in seen:
            expected = (layer.out_channels,) if layer.kind == "fc" else (layer.out_channels, layer.out_h, layer.out_w)
            assert seen[layer.name] == expected
    assert len(seen) >= len(list(module.workload.layers())) - 2 * len(list(module.bottlenecks()))


@pytest.mark.parametrize("name", PUBLISHED)
def test_tables_agree_with_the_published_layers(name: str) -> None:
    if not FACTS.is_file():
        pytest.skip(f"{FACTS} is not at hand (set ARCHONSIM_REFERENCE to the folder of reference data)")
    with FACTS.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["dataset"], row["network"], row["variant"]) == PUBLISHED[name]]
    rows = [row for row in rows if int(row["macs"])]
    layers = [layer for layer in table(name).layers() if layer.is_compute]
    assert len(layers) == len(rows)
    for layer, row in zip(layers, rows, strict=True):
        assert layer.role == row["role"]
        assert (layer.in_channels, layer.out_channels) == (int(row["in_channels"]), int(row["out_channels"]))
        assert layer.macs == int(row["macs"])
        assert layer.params == int(row["params"]) + int(row["bn_params"])
        assert layer.activation == row["activation"].replace("softmax", "none")


def test_shuffle_interleaves_groups() -> None:
    x = torch.arange(6.0).view(1, 6, 1, 1)
    assert channel_shuffle(x, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_block_adds_its_input_after_the_shuffle() -> None:
    block = next(one for one in build("fusionet_digits").eval().bottlenecks() if one.block.residual == "add")
    x = torch.randn(1, block.block.in_channels, 8, 8)
    torch.testing.assert_close(block(x), x + channel_shuffle(block.branch(x), 4))


def test_stride_two_pads_behind_as_tensorflow_does() -> None:
    block = next(one for one in build("fusionet_digits").eval().bottlenecks() if one.block.dw.stride_h == 2)
    assert block.block.dw.padding == (0, 1, 0, 1)
    with torch.no_grad():
        block.dw.conv.weight.zero_()
        block.dw.conv.weight[:, 0, 0, 0] = 1.0
        x = torch.randn(1, block.block.mid_channels, 8, 8)
        torch.testing.assert_close(block.dw.convolve(x), x[:, :, ::2, ::2])


def test_half_words_round_what_passes_between_blocks() -> None:
    module: Network = build("fusionet_digits").eval()
    module.half_words = True
    block = next(module.bottlenecks())
    y = module.step(block, torch.randn(1, 16, 8, 8))
    assert torch.equal(y, to_half(y))
