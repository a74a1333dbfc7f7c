"""The exporter's check of itself: it refuses what would not reproduce the network, and names it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from archonsim.cli.app import run_command  # noqa: E402
from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.export import export_module, recompute, self_check  # noqa: E402
from archonsim.export.examine import examine  # noqa: E402
from archonsim.export.source import module_source  # noqa: E402
from archonsim.network.layer import Layer  # noqa: E402
from archonsim.trace.tensors import LayerTensors  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402
from tests.export.nets import Excited, MobileNetV2, Shuffled, ready  # noqa: E402


def pictures(size: int = 16) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(7))


def doubled(module: nn.Module, given: Any, made: Tensor) -> Tensor:
    """A hook, which no tracer shows: it changes what a layer makes."""
    return made * 2


#: What a hook stands on, and what the check must name.
HOOKED = {
    "one.branch.0": "one.branch.0: as the conv layer",
    "two.branch.3": "two.branch.3: as the depthwise layer",
    "three.branch.4": "three.branch.3: as the depthwise layer",
    "one.branch.2": "one.branch.0: as the conv layer",
    "classifier": "classifier: as the fc layer",
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("place", HOOKED)
def test_a_layer_that_computes_something_else_is_named(place: str) -> None:
    module = ready(MobileNetV2())
    module.get_submodule(place).register_forward_hook(doubled)
    with pytest.raises(WorkloadError, match=HOOKED[place]) as caught:
        export_module(module, pictures())
    assert "nothing is written (--no-check writes it all the same)" in str(caught.value)
    assert "\n" not in str(caught.value)
    unchecked = export_module(module, pictures(), check=False, note="mine")
    assert unchecked.provenance.note == "mine; NOT CHECKED against the network"


def hooked() -> nn.Module:
    """A factory for the command."""
    module = ready(MobileNetV2())
    module.get_submodule("two.branch.0").register_forward_hook(doubled)
    return module


def test_the_command_writes_nothing_unless_it_is_told_not_to_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", pictures().numpy())
    command = ["export", "--module", "tests.export.test_self_check:hooked", "--count", "1"]
    command += ["--images", str(tmp_path / "x.npy"), "-o", str(tmp_path / "w.h5")]
    assert run_command(command) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "two.branch.0: as the conv layer that would be stored" in line
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]
    assert run_command([*command, "--no-check"]) == 0
    about = open_workload(tmp_path / "w.h5").provenance
    assert "NOT CHECKED" in about.note
    assert "--no-check" in about.command


def test_weights_alone_are_checked_on_noise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "--module", "tests.export.test_self_check:hooked"]
    assert run_command([*command, "--input", "3x16x16", "-o", str(tmp_path / "w.h5")]) == 2
    assert "two.branch.0: as the conv layer" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [MobileNetV2, Shuffled, Excited])
def test_every_layer_is_compared_and_is_far_within_the_tolerance(kind: type[nn.Module]) -> None:
    source = module_source(ready(kind(), 8), pictures(8)[:1].numpy(), "")
    layers = examine(source).layers
    found = self_check.check_layers(source.graph, source.runner, layers, source.image)
    names = [one.layer.name if hasattr(one, "layer") else one.name for one in layers.values()]
    assert list(dict.fromkeys(one.name for one in found)) == names
    assert max(one.error / one.scale for one in found) < self_check.TOLERANCE / 20


def test_a_block_that_is_joined_otherwise_is_named() -> None:
    source = module_source(ready(MobileNetV2()), pictures()[:1].numpy(), "")
    tap = examine(source).items()[1][0]
    workload = export_module(ready(MobileNetV2()), pictures()[:1])
    assert workload.trace is not None
    trace = workload.trace.block("b1", 0)
    assert self_check.check_block(tap.block, tap.tensors, trace).passed
    alone = dataclasses.replace(tap.block, residual="none")
    with pytest.raises(
        WorkloadError, match=r"b1 \(one\.branch\.0, one\.branch\.3, one\.branch\.6\): as"
    ):
        self_check.check_block(alone, tap.tensors, trace)


def test_maps_are_held_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With little memory for maps the network runs more often; the result is the same."""
    source = module_source(ready(MobileNetV2()), pictures()[:1].numpy(), "")
    layers = examine(source).layers
    whole = self_check.check_layers(source.graph, source.runner, layers, source.image)
    monkeypatch.setattr(self_check, "HELD", 10_000)
    assert len(list(self_check._batches(source.graph, layers))) > 3
    assert self_check.check_layers(source.graph, source.runner, layers, source.image) == whole


def test_values_that_overflow_in_the_network_are_left_out() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)).eval()
    nn.init.constant_(next(module.parameters()), 3e38)
    workload = export_module(module, pictures())
    assert [layer.name for layer in workload.layers()] == ["0", "1"]


sizes = st.integers(1, 3)


@given(
    sizes, sizes, sizes, st.tuples(sizes, sizes), st.tuples(sizes, sizes),
    st.tuples(*[st.integers(0, 2)] * 4), st.integers(0, 1 << 30),
)  # fmt: skip
def test_layers_are_recomputed_as_pytorch_computes_them(
    groups: int,
    into: int,
    out: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    layer = Layer(
        name="x",
        kind="depthwise" if into == out == 1 and groups > 1 else "conv",
        role="x",
        in_channels=groups * into,
        out_channels=groups * out,
        in_h=5,
        in_w=4,
        kernel_h=kernel[0],
        kernel_w=kernel[1],
        stride_h=stride[0],
        stride_w=stride[1],
        padding=padding,
        groups=groups,
    )
    weight = torch.randn(layer.weight_shape, generator=generator)
    scale, shift = torch.randn(2, layer.out_channels, generator=generator)
    x = torch.randn(1, layer.in_channels, 5, 4, generator=generator)
    top, bottom, left, right = padding
    padded = functional.pad(x, (left, right, top, bottom))
    expected = functional.conv2d(padded, weight, None, stride, groups=groups)[0]
    expected = expected * scale[:, None, None] + shift[:, None, None]
    tensors = LayerTensors(weight=weight.numpy(), scale=scale.numpy(), shift=shift.numpy())
    y, magnitude = recompute.weighted(layer, tensors, x[0].numpy())
    np.testing.assert_allclose(y, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert magnitude >= np.abs(y).max() * (1 - 1e-5)


@pytest.mark.parametrize("name", ["relu", "relu6", "hswish", "sigmoid", "hsigmoid", "none"])
def test_activations_are_recomputed_as_pytorch_computes_them(name: str) -> None:
    x = torch.linspace(-90, 90, 1801)
    own = {
        "relu": functional.relu,
        "relu6": functional.relu6,
        "hswish": functional.hardswish,
        "sigmoid": torch.sigmoid,
        "hsigmoid": functional.hardsigmoid,
        "none": lambda y: y,
    }[name]
    np.testing.assert_allclose(
        recompute.activated(x.numpy(), name), own(x).numpy(), rtol=1e-5, atol=1e-6
    )


def test_an_error_that_is_no_number_does_not_pass() -> None:
    assert not self_check.Deviation("x", "conv layer", math.nan, 1.0, 1.0).passed
    assert not self_check.Deviation("x", "conv layer", math.inf, 1.0, 1.0).passed


def test_the_rounding_of_a_large_value_of_a_small_sum_is_allowed() -> None:
    """As of a squeeze and excitation with random weights: sigmoids of about 0.5."""
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sigmoid()).eval()
    with torch.no_grad():
        for one in module.parameters():
            one.mul_(1e-7)
    assert export_module(module, pictures()).provenance.note.find("NOT CHECKED") < 0
