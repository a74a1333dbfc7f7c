"""Users' PyTorch modules: what is exported is what the module itself computes, to the bit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch import Tensor, nn  # noqa: E402

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.export import export_module  # noqa: E402
from archonsim.machines.registry import machine, machine_spec  # noqa: E402
from archonsim.network.networks import network  # noqa: E402
from archonsim.network.workload import Workload  # noqa: E402
from archonsim.result.inspect import inspect_workload  # noqa: E402
from archonsim.runs.simulate import simulate  # noqa: E402
from archonsim.runs.verify import verify  # noqa: E402
from archonsim.trace.algebra import branch_output, preactivations, predict  # noqa: E402
from archonsim.tracefile.check import validate  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402
from archonsim.tracefile.writer import write_workload  # noqa: E402
from archonsim.zoo.network import build  # noqa: E402
from tests.export.nets import (  # noqa: E402
    Branching,
    Excited,
    Inverted,
    MobileNetV2,
    Shuffled,
    ready,
)

IMAGES = 3


def pictures(count: int = IMAGES, size: int = 16, seed: int = 7) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def hooked_signs(module: nn.Module, kind: type[nn.Module], image: Tensor) -> list[np.ndarray]:
    """Signs of what the module's own ReLUs make."""
    return [made > 0 for made in hooked(module, kind, image)]


def hooked(module: nn.Module, kind: type[nn.Module], image: Tensor) -> list[np.ndarray]:
    """What the module's own ReLUs make, in order, by hooks and nothing of ours."""
    found: list[np.ndarray] = []
    handles = [
        one.register_forward_hook(lambda _, __, made: found.append(made[0].clone().numpy()))
        for one in module.modules()
        if isinstance(one, kind)
    ]
    with torch.no_grad():
        module(image[None])
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("inplace", [False, True])
def test_masks_are_the_signs_of_the_modules_own_relus(inplace: bool) -> None:
    module, images = ready(MobileNetV2(inplace=inplace)), pictures()
    workload = export_module(module, images)
    assert [block.name for block in workload.blocks()] == ["b1", "b2", "b3"]
    assert workload.trace is not None
    for number, image in enumerate(images):
        signs = hooked_signs(module, nn.ReLU, image)[1:-1]
        for place, block in enumerate(workload.blocks()):
            trace = workload.trace.block(block.name, number)
            for mask, expected in (
                (trace.keep1, signs[2 * place]),
                (trace.keep2, signs[2 * place + 1]),
            ):
                np.testing.assert_array_equal(mask.unpack(), expected)
                assert 0.1 < mask.density() < 0.9
            np.testing.assert_array_equal(trace.keep1.packed, trace.true1.packed)
            np.testing.assert_array_equal(trace.keep2.packed, trace.true2.packed)


def test_block_outputs_are_the_modules_own_to_the_bit() -> None:
    module: Any
    module, images = ready(MobileNetV2()), pictures(1)
    workload = export_module(module, images)
    assert workload.trace is not None
    with torch.no_grad():
        x = module.head(images)
        for name, block in (("b1", module.one), ("b2", module.two), ("b3", module.three)):
            np.testing.assert_array_equal(workload.trace.block(name, 0).input, x[0].numpy())
            x = block(x)
            np.testing.assert_array_equal(workload.trace.block(name, 0).output, x[0].numpy())


@pytest.mark.parametrize("predictors", ["none", "ternary"])
def test_an_exported_file_passes_verify(predictors: str, tmp_path: Path) -> None:
    workload = export_module(
        ready(MobileNetV2()), pictures(), predictors=predictors, calibration=pictures(8, seed=1)
    )
    write_workload(tmp_path / "w.h5", workload, workload.trace)
    back = open_workload(tmp_path / "w.h5")
    validate(back)
    assert back.provenance == workload.provenance
    assert back.provenance.flavour == ("pred" if predictors == "ternary" else "pruned")
    assert all(check.passed for check in verify(back, images=range(IMAGES)))
    clipped = verify(back, images=range(IMAGES), clip=True)
    assert all(check.passed for check in clipped) == (
        predictors == "none"
    )  # only a misprediction lets a negative value pass


def test_exporting_leaves_the_module_as_it_was() -> None:
    module = ready(MobileNetV2(inplace=True)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    export_module(module, pictures(1))
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_fitted_predictors_decide_the_masks_and_are_better_than_chance() -> None:
    workload = export_module(
        ready(MobileNetV2()), pictures(), predictors="ternary", calibration=pictures(16, seed=1)
    )
    assert workload.trace is not None
    for block in workload.blocks():
        pair = workload.trace.predictors(block.name)
        for layer, one in zip(block.layers, pair, strict=False):
            weight = workload.trace.layer(layer.name).weight
            kept = np.abs(weight) > 0.7 * np.abs(weight).mean()
            np.testing.assert_array_equal(one.ternary, np.sign(weight) * kept)
        for number in range(IMAGES):
            trace = workload.trace.block(block.name, number)
            keep1, keep2 = predict(block, pair, trace.input)
            np.testing.assert_array_equal(trace.keep1.packed, keep1.packed)
            np.testing.assert_array_equal(trace.keep2.packed, keep2.packed)
    for content in inspect_workload(workload).blocks:
        for relu in (content.relu1, content.relu2):
            assert relu is not None
            assert relu.hit_rate > relu.false_alarm_rate + 0.2
    for before, after in pairwise(block.name for block in workload.blocks()):
        read, made = workload.trace.block(after, 0).input, workload.trace.block(before, 0).output
        np.testing.assert_array_equal(read, made)  # what follows sees what mispredictions do


def test_predictors_need_images_to_be_fitted_to() -> None:
    with pytest.raises(WorkloadError, match="at least one for calibration"):
        export_module(ready(MobileNetV2()), pictures(), predictors="ternary")


def test_shuffles_and_both_orders_are_found_and_reproduce_the_output() -> None:
    module, images = ready(Shuffled(), 8), pictures(2, 8)
    workload = export_module(module, images)
    late, early = workload.blocks()
    assert (late.order, late.shuffle, late.residual, late.groups) == ("pw-pw-dw", 3, "add", 3)
    assert (early.order, early.shuffle, early.residual, early.groups) == ("pw-dw-pw", 3, "add", 3)
    assert [layer.name for layer in workload.layers()] == [
        "head.0",
        "pw1.0",
        "pw2.0",
        "dw.0",
        "wide.0",
        "mid.0",
        "narrow.0",
    ]
    trace = workload.trace
    assert trace is not None
    for block in (late, early):
        one, two, three = (trace.layer(layer.name) for layer in block.layers)
        image = trace.block(block.name, 1)
        _, pre2 = preactivations(block, (one, two, three), image.keep1, image.input)
        y = branch_output(block, three, pre2, image.keep2) + image.input
        np.testing.assert_allclose(image.output, y, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        np.testing.assert_array_equal(trace.block("b2", 1).output, module(images[1:])[0].numpy())


def test_both_orders_pass_verify_and_run_on_archon_with_fitted_predictors() -> None:
    images = pictures(9, 8)
    workload = export_module(
        ready(Shuffled(), 8), images[:1], predictors="ternary", calibration=images[1:]
    )
    assert all(check.passed for check in verify(workload, images=[0]))
    archon = machine("archon")
    report = simulate(workload, archon, machine_spec(archon))
    assert {layer.block for layer in report.layers if layer.phase == "main"} == {1, 2}


def test_our_own_networks_come_back_as_their_tables_say() -> None:
    """The tracer, which does not import the zoo, finds what the network's table states."""
    table = network("fusionet_digits")
    module = build("fusionet_digits").eval()
    workload = export_module(module, torch.randn(1, 1, 8, 8))
    for found, expected in zip(workload.blocks(), table.blocks(), strict=True):
        assert (found.order, found.residual, found.shuffle, found.groups) == (
            expected.order,
            expected.residual,
            expected.shuffle,
            expected.groups,
        )
        for one, other in zip(found.layers, expected.layers, strict=True):
            assert (one.weight_shape, one.in_h, one.out_h, one.stride_h, one.padding) == (
                other.weight_shape,
                other.in_h,
                other.out_h,
                other.stride_h,
                other.padding,
            )
    assert workload.macs == table.macs


def shares(workload: Workload) -> int:
    return sum(1 for _ in workload.blocks())


def test_masks_say_what_relu6_clips(tmp_path: Path) -> None:
    """Exactly the activations that the module's own ReLU6 makes 6, in blocks where it does."""
    module: Any = ready(MobileNetV2(nn.ReLU6))
    images = pictures()
    quiet = export_module(module, images / 100)
    assert [block.clips for block in quiet.blocks()] == [(0.0, 0.0)] * 3
    module.one.branch[1].weight.data *= 8
    workload = export_module(module, images)
    write_workload(tmp_path / "w.h5", workload, workload.trace)
    back = open_workload(tmp_path / "w.h5")
    assert next(iter(back.blocks())).clips[0] == 6.0
    assert back.trace is not None
    clipped = 0
    for number, image in enumerate(images):
        values = hooked(module, nn.ReLU6, image)[1:-1]
        for place, block in enumerate(back.blocks()):
            trace = back.trace.block(block.name, number)
            for relu, mask in enumerate((trace.keep1, trace.keep2)):
                value = values[2 * place + relu]
                np.testing.assert_array_equal(mask.unpack(), value > 0)
                if block.clips[relu]:
                    np.testing.assert_array_equal(mask.states() == 2, value == 6)
                assert block.clips[relu] or not (value == 6).any()
                clipped += mask.clipped()
    assert clipped > 100
    for fused in (False, True):
        assert all(one.passed for one in verify(back, images=range(IMAGES), fused=fused))


def test_relu6_becomes_relu_on_request() -> None:
    module: Any = ready(MobileNetV2(nn.ReLU6))
    module.one.branch[1].weight.data *= 8
    replaced = export_module(module, pictures(), relu6="relu")
    assert [block.clips for block in replaced.blocks()] == [(0.0, 0.0)] * 3
    assert {layer.activation for layer in replaced.layers()} <= {"none", "relu"}
    assert all(check.passed for check in verify(replaced, images=range(IMAGES)))


def test_predictors_of_a_relu6_predict_what_it_clips(tmp_path: Path) -> None:
    """Masks stand in the ReLUs' place, both ends of it, while the network runs."""
    module: Any = ready(MobileNetV2(nn.ReLU6))
    module.one.branch[1].weight.data *= 8
    calibration = pictures(8, seed=1)
    workload = export_module(module, pictures(), predictors="ternary", calibration=calibration)
    write_workload(tmp_path / "w.h5", workload, workload.trace)
    back = open_workload(tmp_path / "w.h5")
    validate(back)
    block = next(iter(back.blocks()))
    assert back.trace is not None
    one = back.trace.block(block.name, 0)
    both = one.keep1.clip is not None and one.true1.clip is not None
    assert both
    assert 0 < one.keep1.clipped() != one.true1.clipped() > 0
    agreed = (one.keep1.states() == one.true1.states()).mean()
    assert agreed > 0.6  # three values at random: 0.33
    assert all(check.passed for check in verify(back, images=range(IMAGES)))


def test_layers_without_masks_export_and_say_so() -> None:
    workload = export_module(ready(Excited(), 8), pictures(2, 8))
    assert "no masks for hswish (2 layers), hsigmoid (1 layers)" in workload.provenance.note
    assert shares(workload) == 1
    assert [layer.kind for layer in workload.layers()][2:5] == ["avgpool", "conv", "conv"]
    assert "multiply" in [layer.kind for layer in workload.layers()]
    assert all(check.passed for check in verify(workload, images=[0, 1]))


def test_what_fx_cannot_follow_is_traced_by_export() -> None:
    module, images = ready(Branching()), pictures(1)
    workload, plain = export_module(module, images), export_module(ready(MobileNetV2()), images)
    assert "torch.export" in workload.provenance.framework
    assert "torch.fx" in plain.provenance.framework
    assert [layer.name for layer in workload.layers() if layer.is_compute] == [
        layer.name for layer in plain.layers() if layer.is_compute
    ]
    assert workload.trace is not None
    assert plain.trace is not None
    for block in workload.blocks():
        mine, other = workload.trace.block(block.name, 0), plain.trace.block(block.name, 0)
        np.testing.assert_array_equal(mine.keep2.packed, other.keep2.packed)
        np.testing.assert_array_equal(mine.output, other.output)


def test_networks_without_blocks_export_their_weights() -> None:
    module = ready(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding="same"),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Flatten(),
        )
    )
    workload = export_module(module, pictures(1))
    assert (
        workload.images,
        workload.provenance.mask_source,
        workload.provenance.image_indices,
    ) == (0, "none", "")
    assert [(layer.kind, layer.out_h) for layer in workload.layers()] == [("conv", 16), ("pool", 8)]


def test_layers_compute_what_the_module_does() -> None:
    """Folding: bias, normalisation and a constant factor become one scale and shift."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pad, self.conv, self.bn = (
                nn.ZeroPad2d((0, 1, 0, 1)),
                nn.Conv2d(3, 5, 3, 2),
                nn.BatchNorm2d(5),
            )

        def forward(self, x: Tensor) -> Tensor:
            return (2 * self.bn(self.conv(self.pad(x))) - 0.5) / 4

    module, images = ready(Scaled()), pictures(1)
    workload = export_module(module, images)
    (layer,) = workload.layers()
    assert layer.padding == (0, 1, 0, 1)
    assert workload.trace is not None
    tensors = workload.trace.layer("conv")
    with torch.no_grad():
        padded = nn.functional.pad(images, (0, 1, 0, 1))
        sums = nn.functional.conv2d(padded, torch.from_numpy(tensors.weight), None, 2)[0].numpy()
        np.testing.assert_allclose(
            sums * tensors.scale[:, None, None] + tensors.shift[:, None, None],
            module(images)[0].numpy(),
            rtol=1e-4,
            atol=1e-5,
        )


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")),
            "padding mode is reflect",
        ),
        (
            nn.Sequential(nn.ConvTranspose2d(3, 4, 1, 2)),  # one of four phases meets a pixel
            "nothing to export: the network has no layer",
        ),
        (nn.Sequential(nn.PixelUnshuffle(2)), "operator 'PixelUnshuffle' is not supported"),
        (nn.Conv2d(1, 4, 3), "Conv2d does not take images of 3x16x16"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3)).double(),
            "0.weight: is float64; the exporter runs float32",
        ),
    ],
)
def test_what_cannot_be_described_is_refused_in_one_line(module: nn.Module, message: str) -> None:
    with pytest.raises(WorkloadError, match=message) as caught:
        export_module(module, pictures(1))
    assert "\n" not in str(caught.value)


def test_a_weight_that_is_no_number_is_named() -> None:
    module: Any = ready(MobileNetV2())
    module.two.branch[3].weight.data[5, 0, 1, 1] = float("nan")
    with pytest.raises(
        WorkloadError, match=r"two\.branch\.3\.weight: value at \(5, 0, 1, 1\) is nan"
    ):
        export_module(module, pictures(1))


def test_images_that_are_no_numbers_are_refused() -> None:
    images = pictures(1)
    images[0, 1, 2, 3] = float("inf")
    with pytest.raises(WorkloadError, match=r"pixel at \(0, 1, 2, 3\) is inf"):
        export_module(ready(MobileNetV2()), images)
    with pytest.raises(WorkloadError, match=r"must be \(N, C, H, W\)"):
        export_module(ready(MobileNetV2()), images[0])


def test_a_module_used_twice_is_two_layers() -> None:
    block = ready(Inverted(3, 6, 3))
    workload = export_module(nn.Sequential(block, block).eval(), pictures(1))
    assert [layer.name for layer in workload.layers()][:4] == [
        "0.branch.0",
        "0.branch.3",
        "0.branch.6",
        "0.branch.0#2",
    ]
    assert shares(workload) == 2


def test_what_depends_on_shapes_alone_is_a_constant() -> None:
    """An average that leaves padding out, as some frameworks' is written in PyTorch."""

    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            pool = nn.functional.avg_pool2d
            return pool(y, 3, 1, 1) / pool(torch.ones_like(y), 3, 1, 1)

    workload = export_module(ready(Counted()), pictures(1))
    assert [layer.kind for layer in workload.layers()] == ["conv", "pool"]


@pytest.mark.parametrize("relu", [nn.LeakyReLU(0.0), nn.Threshold(0.0, 0.0)])
def test_other_activations_that_are_relus_fuse(relu: nn.Module) -> None:
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 1), relu, nn.Conv2d(8, 8, 3, padding=1, groups=8), relu, nn.Conv2d(8, 4, 1)
    )
    workload = export_module(net, torch.randn(1, 3, 8, 8))
    (block,) = workload.blocks()
    assert (block.pw1.activation, block.dw.activation) == ("relu", "relu")
    sloped = nn.Sequential(nn.Conv2d(3, 8, 1), nn.LeakyReLU(0.1), nn.Conv2d(8, 4, 1))
    (first, _) = export_module(sloped, torch.randn(1, 3, 8, 8)).layers()
    assert first.activation == "none"


def test_adaptive_pools_and_enlarged_maps_of_any_size_are_passed_through() -> None:
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.AdaptiveMaxPool2d(4), nn.AdaptiveAvgPool2d(3), nn.Upsample(size=8),
        nn.AdaptiveMaxPool2d(5), nn.Conv2d(4, 2, 1),
    )  # fmt: skip
    layers = list(export_module(net, torch.randn(1, 3, 8, 8)).layers())
    assert [(one.kind, one.in_h) for one in layers] == [("conv", 8), ("pool", 8), ("conv", 5)]
