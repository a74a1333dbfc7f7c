"""Linear layers over tokens are 1x1 convolutions; attention is named, not modelled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.export.foreign import export_module, unmodelled  # noqa: E402
from archonsim.export.source import Source, module_source, onnx_source  # noqa: E402
from archonsim.export.tokens import token_map  # noqa: E402
from archonsim.export.units import Unit, find_layers  # noqa: E402
from archonsim.network.layer import Layer  # noqa: E402
from archonsim.runs.scenario import Scenario  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402
from archonsim.tracefile.writer import write_workload  # noqa: E402

IMAGE = np.random.default_rng(0).random((1, 3, 16, 16), dtype=np.float32)


class ConvNext(nn.Module):
    """A block of ConvNeXt: depthwise, then two linear layers over pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.dw = nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 32), nn.Linear(32, 8)
        self.scale = nn.Parameter(torch.rand(8))
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.dw(x).permute(0, 2, 3, 1)
        y = self.down(functional.gelu(self.up(self.norm(y)))) * self.scale
        return self.fc((x + y.permute(0, 3, 1, 2)).mean((2, 3)))


class Vit(nn.Module):
    """Patches, a class token, attention, and a feed-forward network with ReLU."""

    def __init__(self, attention: str = "fused") -> None:
        super().__init__()
        self.attention = attention
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.token, self.place = (nn.Parameter(torch.randn(1, n, 16)) for n in (1, 17))
        self.n1, self.n2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.up, self.down, self.fc = nn.Linear(16, 40), nn.Linear(40, 16), nn.Linear(16, 10)

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).reshape(1, 17, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        if self.attention == "fused":
            y = functional.scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax(q @ k.transpose(-2, -1) / 8**0.5, -1) @ v
        return self.out(y.transpose(1, 2).reshape(1, 17, 16))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token, x], 1) + self.place
        x = x + self.attend(self.n1(x))
        x = x + self.down(functional.relu(self.up(self.n2(x))))
        return self.fc(x[:, 0])


class Whole(nn.Module):
    """Attention as one module, over tokens without an image's dimension in between."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.fc = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 10)
        self.inner = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        y, _ = self.inner(x, x, x, need_weights=False)
        return self.fc((x + y).mean(1))


def traced(module: nn.Module) -> tuple[Source, dict[str, Layer]]:
    """A network's source, and its layers by name."""
    source = module_source(module.eval(), IMAGE, "test")
    found = find_layers(source.graph).values()
    layers = [one.layer if isinstance(one, Unit) else one for one in found]
    return source, {one.name: one for one in layers}


def test_pixels_whose_features_stand_last_are_pixels() -> None:
    torch.manual_seed(0)
    source, layers = traced(ConvNext())
    up, down = layers["up"], layers["down"]
    assert (up.kind, up.in_channels, up.out_channels, up.in_h, up.in_w) == ("conv", 8, 32, 4, 4)
    assert (down.in_channels, down.out_channels, down.macs) == (32, 8, 32 * 8 * 16)
    # What only turned the map around is no longer there, and the sum is one of maps.
    assert [one.op for one in source.graph.nodes if one.kind in ("permute", "transpose")] == []
    assert (layers["add"].in_channels, layers["add"].in_h) == (8, 4)
    assert unmodelled(source.graph) == ""


@pytest.mark.parametrize(
    ("attention", "macs"), [("fused", {2 * 17 * 17 * 16}), ("written out", {2 * 17 * 17 * 8})]
)
def test_a_transformer(attention: str, macs: set[int]) -> None:
    torch.manual_seed(0)
    source, layers = traced(Vit(attention))
    for name, inputs, outputs in (
        ("qkv", 16, 48),
        ("out", 16, 16),
        ("up", 16, 40),
        ("down", 40, 16),
    ):
        layer = layers[name]
        assert (layer.kind, layer.in_channels, layer.out_channels) == ("conv", inputs, outputs)
        assert (layer.in_h, layer.in_w, layer.macs) == (17, 1, inputs * outputs * 17)
    assert layers["up"].activation == "relu"
    assert layers["fc"].kind == "fc"
    found = [one for one in source.graph.nodes if one.op == "unmodelled"]
    assert {one.macs for one in found} == macs
    assert len(found) == (1 if attention == "fused" else 2)
    assert "MACs" in unmodelled(source.graph)


def test_attention_as_a_module_is_opened() -> None:
    torch.manual_seed(0)
    source, layers = traced(Whole())
    assert source.framework.endswith("traced by torch.export")
    inside = [one for one in layers.values() if one.in_channels == 16 and one.kind == "conv"]
    assert sum(one.weights for one in inside) == 16 * 48 + 16 * 16
    assert "MACs" in unmodelled(source.graph)


@pytest.mark.parametrize("make", [ConvNext, Vit, Whole])
def test_values_are_the_networks_own(make: type[nn.Module]) -> None:
    """Features become channels: what a layer reads and makes is what the network does."""
    torch.manual_seed(0)
    module = make().eval()
    source, _ = traced(module)
    for unit in find_layers(source.graph).values():
        if not isinstance(unit, Unit) or unit.layer.kind == "fc":
            continue
        values = source.runner.evaluate({source.graph.input.name: IMAGE}, [unit.source, unit.pre])
        layer, tensors = unit.layer, unit.tensors
        assert values[unit.source].shape[1:] == (layer.in_channels, layer.in_h, layer.in_w)
        made = functional.conv2d(
            torch.from_numpy(values[unit.source]),
            torch.from_numpy(tensors.weight),
            None,
            (layer.stride_h, layer.stride_w),
            (layer.padding[0], layer.padding[2]),
            1,
            layer.groups,
        ).numpy()
        made = made * tensors.scale[:, None, None] + tensors.shift[:, None, None]
        np.testing.assert_allclose(made, values[unit.pre], atol=1e-4)
    again = source.runner.evaluate({source.graph.input.name: IMAGE}, source.graph.outputs)
    with torch.no_grad():
        whole = module(torch.from_numpy(IMAGE)).numpy()
    np.testing.assert_allclose(next(iter(again.values())), whole, atol=1e-5)


def test_channels_of_one_layer_as_tokens_of_another_are_refused() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.linear = nn.Conv2d(3, 4, 1), nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.linear(x))

    with pytest.raises(WorkloadError, match="conv: reads as a map"):
        traced(Both())


@pytest.mark.parametrize(
    ("shape", "seen"),
    [
        ((1, 17, 16), (1, 16, 17, 1)),
        ((1, 4, 5, 8), (1, 8, 4, 5)),
        ((6, 49, 8), (1, 8, 294, 1)),
        ((16, 8), (1, 8, 16, 1)),
    ],
)
def test_tokens_are_seen_as_pixels(shape: tuple[int, ...], seen: tuple[int, ...]) -> None:
    assert token_map(shape) == seen


def test_a_file_of_tokens_is_written_and_runs(tmp_path: Path) -> None:
    """The workload says what is not modelled; it is checked as any other, and machines take it."""
    torch.manual_seed(0)
    work = export_module(Vit().eval(), images=np.repeat(IMAGE, 2, 0), name="vit")
    write_workload(tmp_path / "vit.h5", work, work.trace)
    read = open_workload(tmp_path / "vit.h5")
    assert "attention" in read.provenance.note
    macs = sum(layer.macs for layer in read.layers())
    for arch in ("archon", "dense", "sparse", "systolic"):
        report = Scenario(arch=arch, workload=str(tmp_path / "vit.h5")).prepare().execute()
        assert report.total_macs == macs


def test_a_matrix_product_of_an_onnx_file_is_one_too(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra 'onnx')")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
    helper = onnx.helper
    rng = np.random.default_rng(1)
    weights = {"w": (8, 12), "k": (8, 3, 4, 4)}
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Conv", ["image", "k"], ["map"], strides=[4, 4]),
                helper.make_node("Transpose", ["map"], ["last"], perm=[0, 2, 3, 1]),
                helper.make_node("MatMul", ["last", "w"], ["made"], name="linear"),
                helper.make_node("Relu", ["made"], ["out"]),
            ],
            "tokens",
            [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 16, 16])],
            [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1, 4, 4, 12])],
            [
                onnx.numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name)
                for name, size in weights.items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "tokens.onnx")
    source = onnx_source(tmp_path / "tokens.onnx", IMAGE)
    unit = list(find_layers(source.graph).values())[-1]
    assert isinstance(unit, Unit)
    assert (unit.layer.in_channels, unit.layer.out_channels, unit.layer.in_h) == (8, 12, 4)
    assert unit.activation == "relu"
