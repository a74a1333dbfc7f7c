"""Starting from torchvision's weights: the same function, but for strides and epsilons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch.nn import functional  # noqa: E402

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.zoo.network import Network, build  # noqa: E402
from workloads.data import Split  # noqa: E402
from workloads.recipe import FOLDER, parse_recipe  # noqa: E402
from workloads.start import start_from  # noqa: E402
from workloads.trainer import Trainer  # noqa: E402

State = dict[str, Any]
#: Output channels and number of blocks of each width, the expansion being 6 after the first block:
#: table 2 of the MobileNetV2 paper (Sandler et al., CVPR 2018).
WIDTHS = ((16, 1), (24, 2), (32, 3), (64, 4), (96, 3), (160, 3), (320, 1))


def add(state: State, conv: str, norm: str, shape: tuple[int, ...]) -> None:
    """Add a convolution and its normalisation, with random statistics."""
    state[f"{conv}.weight"] = torch.randn(shape) / np.sqrt(np.prod(shape[1:]))
    for name, low, high in (("weight", 0.5, 1.5), ("bias", -0.5, 0.5)):
        state[f"{norm}.{name}"] = torch.empty(shape[0]).uniform_(low, high)
    state[f"{norm}.running_mean"] = torch.randn(shape[0])
    state[f"{norm}.running_var"] = torch.empty(shape[0]).uniform_(0.01, 2)


@pytest.fixture(scope="module")
def state() -> State:
    """Weights under torchvision's names."""
    torch.manual_seed(0)
    state: State = {}
    add(state, "features.0.0", "features.0.1", (32, 3, 3, 3))
    number, inputs = 1, 32
    for outputs, count in WIDTHS:
        for _ in range(count):
            base, mid = f"features.{number}.conv", inputs * (1 if number == 1 else 6)
            if number == 1:
                add(state, f"{base}.0.0", f"{base}.0.1", (mid, 1, 3, 3))
                add(state, f"{base}.1", f"{base}.2", (outputs, mid, 1, 1))
            else:
                add(state, f"{base}.0.0", f"{base}.0.1", (mid, inputs, 1, 1))
                add(state, f"{base}.1.0", f"{base}.1.1", (mid, 1, 3, 3))
                add(state, f"{base}.2", f"{base}.3", (outputs, mid, 1, 1))
            number, inputs = number + 1, outputs
    add(state, "features.18.0", "features.18.1", (1280, inputs, 1, 1))
    return state


@pytest.fixture
def data() -> Split:
    rng = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8, generator=rng)
    return Split(images, torch.zeros(16, dtype=torch.long), 120.7, 64.2)


@pytest.fixture
def network(state: State, data: Split, tmp_path: Path) -> Network:
    torch.manual_seed(2)
    torch.save(state, tmp_path / "weights.pth")
    network = build("mobilenetv2_c10")
    start_from(network, tmp_path / "weights.pth", data)
    return network.eval()


def normalised(x: Any, state: State, norm: str) -> Any:
    """Normalise as torchvision's network does."""
    mean, variance, weight, bias = (
        state[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
    )
    return functional.batch_norm(x, mean, variance, weight, bias, eps=1e-5)


def test_the_head_sees_images_as_torchvision_normalises_them(
    network: Network, state: State, data: Split
) -> None:
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    theirs = (data.images / 255 - mean) / deviation
    weight = state["features.0.0.weight"]
    expected = normalised(functional.conv2d(theirs, weight), state, "features.0.1").relu()
    with torch.no_grad():
        found = next(iter(network.items.values()))(data.batch(slice(None)))
    # At the border, zeros stand for another colour.
    torch.testing.assert_close(found[:, :, 1:-1, 1:-1], expected, rtol=1e-4, atol=1e-4)


def test_blocks_compute_what_torchvisions_compute(network: Network, state: State) -> None:
    blocks = list(network.bottlenecks())
    assert len(blocks) == 17
    for number, block in enumerate(blocks, start=1):
        base, x = f"features.{number}.conv", torch.randn(2, block.block.in_channels, 8, 8)
        y = x
        if number > 1:
            y = normalised(functional.conv2d(y, state[f"{base}.0.0.weight"]), state, f"{base}.0.1")
        y = y.relu()
        inner, last = ("0", "1") if number == 1 else ("1", "2")
        kernel, stride = state[f"{base}.{inner}.0.weight"], block.dw.layer.stride_h
        top, bottom, left, right = block.dw.layer.padding
        y = functional.pad(y, (left, right, top, bottom))
        y = functional.conv2d(y, kernel, None, stride, 0, 1, len(kernel))
        y = normalised(y, state, f"{base}.{inner}.1").relu()
        y = functional.conv2d(y, state[f"{base}.{last}.weight"])
        expected = normalised(y, state, f"{base}.{int(last) + 1}")
        with torch.no_grad():
            found = block.branch(x.relu() if number == 1 else x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda state: state.pop("features.5.conv.1.0.weight"),
            "features.5.conv.1.0.weight is absent",
        ),
        (lambda state: state.pop("features.0.0.weight"), "no features.0.0.weight"),
        (
            lambda state: state.update({"features.3.conv.2.weight": torch.zeros(24, 100, 1, 1)}),
            "features.3.conv.2.weight is 24x100x1x1; layer b2.pw2 needs 24x144x1x1",
        ),
    ],
)
def test_other_weights_are_refused(
    change: Any, said: str, state: State, data: Split, tmp_path: Path
) -> None:
    changed = dict(state)
    change(changed)
    torch.save(changed, tmp_path / "weights.pth")
    with pytest.raises(WorkloadError, match=said):
        start_from(build("mobilenetv2_c10"), tmp_path / "weights.pth", data)


def test_a_foreign_file_is_refused(data: Split, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_text("no weights\n")
    with pytest.raises(WorkloadError, match=r"weights\.pth: not a PyTorch state"):
        start_from(build("mobilenetv2_c10"), tmp_path / "weights.pth", data)


def test_a_recipe_that_starts_from_weights_asks_for_them(data: Split, tmp_path: Path) -> None:
    path = FOLDER / "mobilenetv2_c10-cpu.toml"
    recipe = parse_recipe(path.read_text("utf-8"), path.name)
    with pytest.raises(WorkloadError, match="--start must name its weights"):
        Trainer(recipe, data, data, tmp_path / "run", None, None).run()  # type: ignore[arg-type]
