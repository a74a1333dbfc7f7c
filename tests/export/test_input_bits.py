"""Non-zero bits of what every layer reads, of networks with and without blocks."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch import Tensor, nn  # noqa: E402

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.export import export_module  # noqa: E402
from archonsim.export.exporter import export_network  # noqa: E402
from archonsim.machines.registry import machine, machine_spec  # noqa: E402
from archonsim.network.workload import Flavour, Workload  # noqa: E402
from archonsim.runs.simulate import simulate  # noqa: E402
from archonsim.trace.tensors import Trace  # noqa: E402
from archonsim.tracefile.check import validate  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402
from archonsim.tracefile.writer import write_workload  # noqa: E402
from archonsim.zoo.network import build, round_weights  # noqa: E402
from archonsim.zoo.unit import ConvUnit, Dense  # noqa: E402
from tests.export.nets import MobileNetV2, ready  # noqa: E402
from tests.export.test_module import pictures  # noqa: E402
from workloads.checkpoint import save_network  # noqa: E402
from workloads.parts import predictors  # noqa: E402

Bits = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def read_by_module(module: nn.Module, image: Tensor) -> list[Bits]:
    """What the module's own layers with weights read and is not zero, in order, by hooks."""
    found: list[Bits] = []
    handles = [
        one.register_forward_pre_hook(lambda _, read: found.append((read[0][0] != 0).numpy()))
        for one in module.modules()
        if isinstance(one, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        module(image[None])
    for handle in handles:
        handle.remove()
    return found


def stored(workload: Workload, image: int) -> list[Bits]:
    found = []
    for layer in workload.layers():
        if layer.is_compute:
            assert workload.trace is not None
            mask = workload.trace.activations(layer.name, image)
            assert mask is not None
            found.append(mask.unpack().astype(np.bool_))
    return found


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 12, 1, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


@pytest.mark.parametrize("make", [plain, MobileNetV2])
def test_bits_are_what_the_module_s_layers_read(make: type[nn.Module], tmp_path: Path) -> None:
    module, images = ready(make()), pictures(2)
    workload = export_module(module, images, activations=True)
    assert workload.images == 2
    for number, image in enumerate(images):
        ours, theirs = stored(workload, number), read_by_module(module, image)
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one.ravel(), other.ravel())
    write_workload(tmp_path / "w.h5", workload, workload.trace)
    found = open_workload(tmp_path / "w.h5")
    validate(found)
    known = simulate(found, machine("eyerissv2"), machine_spec(machine("eyerissv2")))
    blind = export_module(module, images)
    more = simulate(blind, machine("eyerissv2"), machine_spec(machine("eyerissv2")))
    assert known.total_macs < more.total_macs
    assert any("as traced in all" in line for line in known.includes)


def test_masks_in_a_relu_s_place_show_in_the_bits() -> None:
    module = ready(MobileNetV2())
    workload = export_module(
        module, pictures(1), calibration=pictures(4, seed=8), predictors="ternary", activations=True
    )
    assert workload.trace is not None
    for block in workload.blocks():
        keep = workload.trace.block(block.name, 0)
        for layer, mask in zip(block.layers[1:], (keep.keep1, keep.keep2), strict=True):
            read = workload.trace.activations(layer.name, 0)
            assert read is not None
            assert not (read.packed & ~mask.packed).any()


def test_values_are_what_layers_before_a_relu_read(tmp_path: Path) -> None:
    """To 16 bits, where nothing is negative: here, what the second layer reads."""
    module, images = ready(plain()), pictures(2)
    write_workload(tmp_path / "w.h5", *with_trace(export_module(module, images, values=True)))
    work = open_workload(tmp_path / "w.h5")
    validate(work)
    assert work.trace is not None
    layers = list(work.layers())
    first, relu, *_ = module.children()
    expected = relu(first(images[:1]))[0].detach().numpy()
    (read,) = [
        one for x in layers if x.is_compute and (one := work.trace.values(x.name, 0)) is not None
    ]
    np.testing.assert_array_equal(read, expected.astype(np.float16))
    report = simulate(work, machine("snapea"), machine_spec(machine("snapea")))
    assert any("sums may stop in 1 of 3 layers; 1 have no ReLU" in x for x in report.includes)
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        file["layers"][layers[1].name]["input_values"][0, 0, 0, 0] += 1
    with pytest.raises(WorkloadError, match="input_values of image 0 does not match its SHA-256"):
        validate(open_workload(tmp_path / "w.h5"))


def with_trace(work: Workload) -> tuple[Workload, Trace | None]:
    return work, work.trace


@pytest.mark.parametrize("flavour", ["vanilla", "pred"])
def test_a_network_of_ours_tells_which_inputs_are_not_zero(
    flavour: Flavour, tmp_path: Path
) -> None:
    torch.manual_seed(4)
    network = build("fusionet_digits", flavour)
    for predictor, unit in predictors(network):
        predictor.copy_from(unit)
    meta = {"network": "fusionet_digits", "flavour": flavour}
    save_network(tmp_path / "net.pt", meta, network.state_dict())
    images = torch.randn(2, 1, 8, 8)
    work = export_network("fusionet_digits", tmp_path / "net.pt", images, activations=True)
    trace = work.trace
    assert trace is not None
    assert trace.images == 2
    round_weights(network)
    network.eval()
    network.use_half_words()
    layers = [one.name for one in work.layers() if one.is_compute]
    inside = [layer.name for block in work.blocks() if flavour == "pred" for layer in block.layers]
    heard: dict[str, Tensor] = {}
    for module in network.modules():
        if isinstance(module, ConvUnit | Dense):
            module.register_forward_hook(
                lambda one, given, _: heard.update({one.layer.name: given[0][0]})
            )
    for number in range(2):
        network(images[number : number + 1])
        for name in layers:
            mask = trace.activations(name, number)
            if mask is None:
                assert name in inside
            else:
                expected = (heard[name] != 0).numpy()
                np.testing.assert_array_equal(mask.unpack().reshape(expected.shape), expected)
    assert trace.activations("head_conv", 0) is not None
