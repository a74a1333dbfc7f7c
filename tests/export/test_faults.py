"""What is like something that folds, and is not: each module's blocks and values are its own.

Every module is exported with the exporter's check of itself on, so that a rule that took one
operator for another would be refused here, and blocks are verified through the fused sum.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.export import export_module  # noqa: E402
from archonsim.export.examine import examine  # noqa: E402
from archonsim.export.source import module_source  # noqa: E402
from archonsim.network.workload import Workload  # noqa: E402
from archonsim.runs.verify import verify  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402
from archonsim.tracefile.writer import write_workload  # noqa: E402

SIZE = 16
Between = Callable[[Tensor], Tensor]


def vector(size: int, *shape: int) -> Tensor:
    return torch.linspace(-1, 1, size).reshape(shape or (size,))


class Block(nn.Module):
    """16 -> 16 -> 8 channels on maps of 16x16: a vector of 16 may be meant for any axis."""

    def __init__(self, between: Between, *, padding: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.pw1, self.n1 = nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16)
        self.dw = nn.Conv2d(16, 16, 3, padding=padding, groups=16, bias=False)
        self.n2 = nn.BatchNorm2d(16)
        self.pw2 = nn.Conv2d(16, 8, 1)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.n1(self.pw1(self.stem(x))))
        return self.pw2(functional.relu(self.n2(self.dw(self.between(x)))))


class Before(Block):
    """The same with an operator before the first ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.between(self.pw1(self.stem(x))))
        return self.pw2(functional.relu(self.n2(self.dw(x))))


def seeded(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for one in module.parameters():
        nn.init.normal_(one, std=0.3)
    return module.eval()


def pictures(count: int = 2) -> Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def exported(module: nn.Module, folder: Path, **options: Any) -> Workload:
    """Export, write, read; verify the blocks that there are."""
    workload = export_module(module, pictures(), **options)
    write_workload(folder / "x.h5", workload, workload.trace)
    back = open_workload(folder / "x.h5")
    if back.images:
        assert all(one.passed for one in verify(back, images=[0, 1]))
    return back


def blocks(workload: Workload) -> int:
    return sum(1 for _ in workload.blocks())


#: Constants that are added or multiplied: whether they are one number a channel.
CONSTANTS = {
    "a number": (torch.tensor(0.5), True),
    "by channel": (vector(16, 16, 1, 1), True),
    "by channel, with the batch": (vector(16, 1, 16, 1, 1), True),
    "along the width": (vector(16), False),
    "along the width, with axes": (vector(16, 1, 1, 16), False),
    "along the height": (vector(16, 16, 1), False),
    "channels by one": (vector(16, 1, 16, 1), False),
    "a map": (vector(256, 16, 16), False),
    "a map of one number": (torch.full((16, 16), 0.25), True),
    "a map a channel": (vector(4096, 16, 16, 16), False),
    "channels, repeated": (vector(16, 16, 1, 1).expand(16, 16, 16), True),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("operator", [torch.add, torch.mul, torch.sub, torch.div])
@pytest.mark.parametrize("case", CONSTANTS)
def test_a_constant_folds_by_channel_only_where_it_meets_one(
    case: str, operator: Callable[[Tensor, Tensor], Tensor], tmp_path: Path
) -> None:
    constant, by_channel = CONSTANTS[case]
    module = seeded(Before(lambda x: operator(x, constant + 0.01)))
    assert blocks(exported(module, tmp_path)) == by_channel


def test_divisions_that_round_and_factors_of_sums_do_not_fold(tmp_path: Path) -> None:
    for between in (
        lambda x: torch.div(x, 2.0, rounding_mode="floor"),
        lambda x: torch.sub(x, torch.ones(16, 1, 1), alpha=2),
        lambda x: 1 - x,
        lambda x: 1 / (x + 100),
    ):
        assert blocks(exported(seeded(Before(between)), tmp_path)) == 0


#: What stands between a block's first ReLU and its window: whether the three still are a block.
BETWEEN: dict[str, tuple[Between, bool]] = {
    "nothing": (lambda x: x, True),
    "dropout that is off": (lambda x: functional.dropout(x, 0.5, training=False), True),
    "dropout": (lambda x: functional.dropout(x, 0.5, training=True), False),
    "dropout by default": (lambda x: functional.dropout(x, 0.5), False),
    "dropout of nothing": (lambda x: functional.dropout(x, 0.0, training=True), True),
    "dropout of channels": (lambda x: functional.dropout2d(x, 0.5, training=True), False),
    "alpha dropout": (lambda x: functional.alpha_dropout(x, 0.5, training=True), False),
    "bfloat16 and back": (lambda x: x.to(torch.bfloat16).to(torch.float32), False),
    "half and back": (lambda x: x.half().float(), False),
    "float64 and back": (lambda x: x.double().float(), True),
    "a type of the same width": (lambda x: x.to(torch.float32).type(torch.float32), True),
    "rounding": (torch.round, False),
    "quantisation": (
        lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127),
        False,
    ),
    "a mask": (lambda x: torch.where(x > 0.5, x, torch.zeros(())), False),
    "a product with a mask": (lambda x: x * (x > 0.5), False),
    "a maximum with 0": (lambda x: torch.maximum(x, torch.zeros(())), True),
    "a maximum by channel": (lambda x: torch.maximum(x, vector(16, 16, 1, 1)), False),
    "a limit": (lambda x: x.clamp(max=0.5), False),
    "a limit from the image": (lambda x: x.clamp(max=x.mean()), False),
    "no limits": (lambda x: x.clamp(min=-float("inf")), True),
    "a crop": (lambda x: functional.pad(x, (-1, -1, -1, -1)), False),
    "a crop of one side": (lambda x: functional.pad(x, (0, -1, 0, 0)), False),
    "a crop and a pad": (lambda x: functional.pad(x, (-1, 1, 0, 0)), False),
    "a crop in two steps": (
        lambda x: functional.pad(functional.pad(x, (1, 1, 1, 1)), (-1, -1, -1, -1)),
        False,
    ),
    "a pad": (lambda x: functional.pad(x, (1, 2, 0, 1)), True),
    "two pads": (lambda x: functional.pad(functional.pad(x, (1, 0)), (0, 1, 2, 0)), True),
    "a pad of nothing": (lambda x: functional.pad(x, (0, 0, 0, 0)), True),
    "a slice of all": (lambda x: x[:, :, :], True),
    "a reversed order": (lambda x: x[:, torch.arange(15, -1, -1)], False),
    "rows": (lambda x: x[:, :, 1:-1], False),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("case", BETWEEN)
def test_what_changes_values_between_two_layers_is_seen(case: str, tmp_path: Path) -> None:
    between, fuses = BETWEEN[case]
    assert blocks(exported(seeded(Block(between)), tmp_path)) == fuses


@pytest.mark.parametrize("size", [0, 1])
def test_a_crop_is_no_padding_less_in_plain_layers_too(size: int, tmp_path: Path) -> None:
    """Known shapes: 16 - 2 = 14 wide behind the crop, whatever the window pads."""
    module = seeded(Block(lambda x: functional.pad(x, (-1, -1, -1, -1)), padding=size))
    layer = next(one for one in exported(module, tmp_path).layers() if one.name == "dw")
    assert (layer.in_h, layer.padding, layer.out_h) == (14, (size,) * 4, 12 + 2 * size)


def test_random_constants_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="Before: does not compute the same twice"):
        exported(seeded(Before(lambda x: x + torch.randn(16, 1, 1))), tmp_path)
    with pytest.raises(WorkloadError, match=r"operator 'randn_like' is not supported"):
        exported(seeded(Before(lambda x: x + torch.randn_like(x))), tmp_path)


def test_what_a_module_decides_while_it_is_traced_must_hold(tmp_path: Path) -> None:
    def deciding(x: Tensor) -> Tensor:
        return x * 2 if isinstance(x, torch.fx.Proxy) else x

    with pytest.raises(WorkloadError, match="Before: the traced network makes other values"):
        exported(seeded(Before(deciding)), tmp_path)


@pytest.mark.parametrize(
    "between",
    [
        lambda x: functional.pad(x, (1, 1, 1, 1), mode="reflect"),
        lambda x: functional.pad(x, (1, 1, 1, 1), mode="replicate"),
        lambda x: functional.pad(x, (1, 1, 1, 1), mode="circular"),
        lambda x: functional.pad(x, (1, 1, 1, 1), value=1.0),
    ],
)
def test_padding_with_other_values_is_refused(between: Between, tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="only padding with zeros is"):
        exported(seeded(Block(between)), tmp_path)


class Sliced(nn.Module):
    """A share of a stem's 16 channels, or of its pixels, goes through a block."""

    def __init__(self, take: Between, channels: int) -> None:
        super().__init__()
        self.stem, self.take = nn.Conv2d(3, 16, 3, padding=1), take
        self.pw1, self.pw2 = nn.Conv2d(channels, 24, 1), nn.Conv2d(24, channels, 1)
        self.dw = nn.Conv2d(24, 24, 3, padding=1, groups=24)

    def forward(self, x: Tensor) -> Tensor:
        y = self.take(self.stem(x))
        return y + self.pw2(functional.relu(self.dw(functional.relu(self.pw1(y)))))


@pytest.mark.parametrize(
    ("take", "shape"),
    [
        (lambda x: x[:, :8], (8, 16, 16)),
        (lambda x: x[:, 8:, ...], (8, 16, 16)),
        (lambda x: x[:, ::2], (8, 16, 16)),
        (lambda x: x[:, : x.size(1) // 2], (8, 16, 16)),
        (lambda x: x[:, :12], (12, 16, 16)),
        (lambda x: x[:, :, 1:-1, ::2], (16, 14, 8)),
        (lambda x: x[..., ::2, 3:], (16, 8, 13)),
        (lambda x: x[:, [3, 1, 2]], (3, 16, 16)),
        (lambda x: x.narrow(1, 4, 8), (8, 16, 16)),
        (lambda x: torch.split(x, [10, 6], 1)[1], (6, 16, 16)),
        (lambda x: x.chunk(2, 1)[0], (8, 16, 16)),
    ],
)
def test_slices_of_maps_go_through_blocks(
    take: Between, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    module = seeded(Sliced(take, shape[0]))
    workload = exported(module, tmp_path)
    (block,) = workload.blocks()
    assert (block.input_shape, block.residual) == (shape, "add")
    assert workload.trace is not None
    with torch.no_grad():
        whole = module(pictures()[:1])[0].numpy()
    # Maps are stored as float16 where they fit, so to the bit only where the file says so.
    np.testing.assert_allclose(workload.trace.block("b1", 0).output, whole, rtol=1e-3, atol=1e-3)


def test_a_shortcut_that_pads_channels_is_exported(tmp_path: Path) -> None:
    """Option A of the first residual networks: every other pixel, and channels of zeros."""

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.conv = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 3, 2, 1)
            self.last = nn.Conv2d(16, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            short = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
            return self.last(functional.relu(self.conv(x) + short))

    workload = exported(seeded(Residual()), tmp_path)
    assert [layer.kind for layer in workload.layers()] == ["conv", "conv", "add", "conv"]


POOLS: dict[str, Between] = {
    "max": nn.MaxPool2d(3, 2, 1),
    "max, rounding up": nn.MaxPool2d(3, 2, ceil_mode=True),
    "max behind zeros": lambda x: functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 2),
    "max behind a ReLU and zeros": lambda x: functional.max_pool2d(
        functional.pad(functional.relu(x), (1, 1, 1, 1)), 3, 2
    ),
    "max behind a crop": lambda x: functional.max_pool2d(functional.pad(x, (-1,) * 4), 3, 2, 1),
    "average": nn.AvgPool2d(3, 2, 1),
    "average of the map's pixels": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "average, rounding up": nn.AvgPool2d(3, 2, ceil_mode=True),
    "average, rounding up, padded": nn.AvgPool2d(2, 2, 1, ceil_mode=True),
    "average behind zeros": lambda x: functional.avg_pool2d(functional.pad(x, (0, 1, 0, 1)), 3, 2),
    "average of both": lambda x: functional.avg_pool2d(
        functional.pad(x, (1, 1, 1, 1)), 3, 2, 1, count_include_pad=False
    ),
    "average over all": nn.AdaptiveAvgPool2d(1),
    "average over equal windows": nn.AdaptiveAvgPool2d(4),
    "mean": lambda x: x.mean((2, 3), keepdim=True),
    "mean of two steps": lambda x: x.mean(3, keepdim=True).mean(2, keepdim=True),
}


@pytest.mark.parametrize("case", POOLS)
def test_pools_are_what_the_network_computes(case: str, tmp_path: Path) -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.last = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(POOLS[case](self.stem(x)))

    exported(seeded(Pooled()), tmp_path)


def test_a_mean_over_other_axes_is_no_average_of_pixels() -> None:
    class Across(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.fc = nn.Conv2d(3, 16, 3, padding=1), nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.stem(x).mean((1, 2)))

    workload = export_module(seeded(Across()), pictures())
    assert [layer.kind for layer in workload.layers()] == ["conv", "fc"]


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (nn.MaxPool2d(2, 3, dilation=2), "MaxPool2d is not supported here: dilation is 2"),
        (nn.AvgPool2d(2, 2, divisor_override=3), "divisor_override is 3"),
    ],
)
def test_pools_that_no_layer_describes_are_refused(pool: nn.Module, message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        export_module(seeded(nn.Sequential(nn.Conv2d(3, 4, 1), pool)), pictures())


RELUS: dict[str, tuple[Between, str]] = {
    "maximum": (lambda x: torch.maximum(x, torch.zeros(())), "relu"),
    "clamp_min": (lambda x: torch.clamp_min(x, 0), "relu"),
    "clamps": (lambda x: x.clamp(min=0).clamp(max=6), "relu6"),
    "clamps, the upper first": (lambda x: x.clamp(max=6).clamp(min=0), "relu6"),
    "minimum of a ReLU": (lambda x: torch.minimum(x.relu(), torch.tensor(6.0)), "relu6"),
    "hardtanh": (lambda x: functional.hardtanh(x, 0.0, 6.0), "relu6"),
    "hardtanh by default": (functional.hardtanh, "clamp(-1, 1)"),
    "two ReLUs": (lambda x: x.relu().relu(), "relu"),
    "a limit of 5": (lambda x: x.clamp(0, 5), "clamp(0, 5)"),
    "a limit above 0": (lambda x: x.clamp(0.1, 6), "clamp(0.1, 6)"),
}


@pytest.mark.parametrize("case", RELUS)
def test_relus_are_found_however_they_are_written(case: str) -> None:
    act, kind = RELUS[case]

    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pw1, self.pw2 = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 4, 1)
            self.dw = nn.Conv2d(16, 16, 3, padding=1, groups=16)

        def forward(self, x: Tensor) -> Tensor:
            return self.pw2(act(self.dw(act(self.pw1(x)))))

    module, images = seeded(Written()), pictures() / 10
    (found,) = examine(module_source(module, images[:1].numpy(), "")).candidates
    assert {unit.activation for unit in found.units[:2]} <= {kind}
    assert found.fusable == (kind in ("relu", "relu6", "clamp(0, 5)"))
    if found.fusable:
        ended = export_module(module, images * 1000)
        assert next(ended.blocks()).clips == ({"relu": 0, "relu6": 6}.get(kind, 5),) * 2
        assert all(one.passed for one in verify(ended, images=[0, 1], fused=True))
    if kind == "relu6":
        loud = export_module(module, images * 1000, relu6="relu")
        assert blocks(loud) == 1
        assert all(one.passed for one in verify(loud, images=[0, 1]))


def test_quantised_modules_are_refused_by_name() -> None:
    ao = pytest.importorskip("torch.ao.nn.qat", reason="this torch has no torch.ao.nn.qat")
    config = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    module = nn.Sequential(ao.Conv2d(3, 4, 1, qconfig=config)).eval()
    with pytest.raises(WorkloadError, match=r"torch\.ao\.nn\.qat\.modules\.conv\.Conv2d is not"):
        export_module(module, pictures())


def test_a_sum_that_broadcasts_is_no_residual() -> None:
    """A window as large as the map makes one pixel, to which a whole map is added."""

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pw1, self.pw2 = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 3, 1)
            self.dw = nn.Conv2d(16, 16, SIZE, groups=16)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.pw2(self.dw(self.pw1(x).relu()).relu())

    (block,) = export_module(seeded(Wide()), pictures()).blocks()
    assert (block.residual, block.output_shape) == ("none", (3, 1, 1))
