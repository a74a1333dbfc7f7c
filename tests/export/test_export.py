"""Exported networks: the arrays alone reproduce what the modules computed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.export.exporter import export_network  # noqa: E402
from archonsim.network.block import Block  # noqa: E402
from archonsim.network.layer import Layer  # noqa: E402
from archonsim.network.workload import Workload  # noqa: E402
from archonsim.trace.tensors import PredictorTensors  # noqa: E402
from archonsim.tracefile.check import validate  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402
from archonsim.tracefile.writer import write_workload  # noqa: E402
from archonsim.zoo.network import Network, build  # noqa: E402

NAME, IMAGES = "fusionet_digits", 2


def scrambled(flavour: str) -> Network:
    """A random network with pruned weights and with statistics of its own."""
    torch.manual_seed(5)
    network = build(NAME, flavour)  # type: ignore[arg-type]
    for block in network.bottlenecks():
        for unit in (block.pw1, block.dw, block.pw2):
            unit.conv.weight.data *= torch.rand_like(unit.conv.weight) < 0.4
        if block.predictor1 is not None and block.predictor2 is not None:
            block.predictor1.copy_from(block.pw1)
            block.predictor2.copy_from(block.dw)
            block.predictor1.step.fill_(0.37)
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = None
            torch.nn.init.normal_(norm.bias, 0.0, 0.3)
    network.train()
    with torch.no_grad():
        network(torch.randn(16, 1, 8, 8))
    return network


def checkpoint(folder: Path, flavour: str, claimed: str = "") -> Path:
    path = folder / f"{flavour}.pt"
    about = {
        "network": NAME,
        "flavour": claimed or flavour,
        "seed": 5,
        "test_accuracy": 0.125,
        "test_images": 450,
        "note": "random",
    }
    torch.save({"meta": about, "model": scrambled(flavour).state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    path = checkpoint(tmp_path_factory.mktemp("checkpoint"), "pred")
    return export_network(NAME, path, torch.randn(IMAGES, 1, 8, 8))


def convolve(layer: Layer, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Definition of a grouped convolution of one map ``(C, H, W)``, zeros outside."""
    top, bottom, left, right = layer.padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    y = np.zeros((layer.out_channels, layer.out_h, layer.out_w), np.result_type(weight, x))
    ins, outs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    for o in range(layer.out_channels):
        for c in range(ins):
            for r in range(layer.kernel_h):
                for s in range(layer.kernel_w):
                    rows, columns = (
                        slice(r, r + layer.out_h * layer.stride_h),
                        slice(s, s + layer.out_w * layer.stride_w),
                    )
                    source = x[o // outs * ins + c, rows, columns]
                    y[o] += weight[o, c, r, s] * source[:: layer.stride_h, :: layer.stride_w]
    return y


def predicted(layer: Layer, predictor: PredictorTensors, x: np.ndarray) -> np.ndarray:
    """A predictor's output, its sums in integers."""
    levels = np.clip(np.rint(x / np.float32(predictor.step)), predictor.low, predictor.high).astype(
        np.int32
    )
    sums = convolve(layer, predictor.ternary.astype(np.int32), levels).astype(np.float32)
    return np.maximum(
        predictor.scale[:, None, None] * sums + predictor.shift[:, None, None], np.float32(0)
    )


def blocks(workload: Workload) -> list[tuple[Block, int]]:
    return [(block, image) for block in workload.blocks() for image in range(IMAGES)]


def test_integers_reproduce_every_bit_of_the_predicted_masks(workload: Workload) -> None:
    assert workload.trace is not None
    for block, image in blocks(workload):
        trace, (one, two) = (
            workload.trace.block(block.name, image),
            workload.trace.predictors(block.name),
        )
        first = predicted(block.pw1, one, trace.input)
        second = predicted(block.dw, two, first)
        np.testing.assert_array_equal(trace.keep1.unpack(), first > 0)
        np.testing.assert_array_equal(trace.keep2.unpack(), second > 0)
        assert 0.1 < trace.keep1.density() < 0.9
        assert 0.1 < trace.keep2.density() < 0.9


def test_masked_algebra_reproduces_the_blocks_output(workload: Workload) -> None:
    trace = workload.trace
    assert trace is not None
    for block, image in blocks(workload):
        one = trace.block(block.name, image)
        x = one.input.astype(np.float64)
        for layer, keep, true in (
            (block.pw1, one.keep1, one.true1),
            (block.dw, one.keep2, one.true2),
        ):
            tensors = trace.layer(layer.name)
            pre = (
                tensors.scale[:, None, None] * convolve(layer, tensors.weight, x)
                + tensors.shift[:, None, None]
            )
            # A sum that is zero but for rounding may have either sign.
            assert ((pre > 0) != true.unpack())[np.abs(pre) > 1e-5].sum() == 0
            x = pre * keep.unpack()
        tensors = trace.layer(block.pw2.name)
        y = (
            tensors.scale[:, None, None] * convolve(block.pw2, tensors.weight, x)
            + tensors.shift[:, None, None]
        )
        y = y.reshape(block.shuffle, -1, *y.shape[1:]).swapaxes(0, 1).reshape(y.shape)
        if block.residual == "add":
            y += one.input
        np.testing.assert_allclose(one.output, y, rtol=1e-3, atol=1e-3)


def test_each_block_reads_exactly_what_the_one_before_wrote(workload: Workload) -> None:
    assert workload.trace is not None
    names = [block.name for block in workload.blocks()]
    for before, after in pairwise(names):
        for image in range(IMAGES):
            written, read = (
                workload.trace.block(before, image).output,
                workload.trace.block(after, image).input,
            )
            np.testing.assert_array_equal(written, read)
            np.testing.assert_array_equal(read, read.astype(np.float16))


def test_exported_weights_fit_16_bit_words_and_keep_their_zeros(workload: Workload) -> None:
    assert workload.trace is not None
    for layer in workload.layers():
        if layer.is_compute:
            weight = workload.trace.layer(layer.name).weight
            np.testing.assert_array_equal(weight, weight.astype(np.float16))
    block = next(workload.blocks())
    assert 0.3 < (workload.trace.layer(block.pw1.name).weight != 0).mean() < 0.5


def test_export_says_where_it_comes_from(workload: Workload) -> None:
    about = workload.provenance
    assert (about.flavour, about.mask_source, about.test_accuracy, about.test_images) == (
        "pred",
        "trained",
        0.125,
        450,
    )
    assert (about.seed, about.note) == (5, "random")


def test_an_exported_file_reads_back(workload: Workload, tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    digest = write_workload(path, workload, workload.trace)
    back = open_workload(path)
    validate(back)
    assert back.digest == digest
    assert workload.trace is not None
    assert back.trace is not None
    np.testing.assert_array_equal(
        back.trace.block("b2", 1).keep2.packed, workload.trace.block("b2", 1).keep2.packed
    )


def test_pruned_networks_export_weights_alone(tmp_path: Path) -> None:
    found = export_network(NAME, checkpoint(tmp_path, "pruned"), torch.randn(1, 1, 8, 8))
    assert (found.images, found.provenance.mask_source) == (0, "none")
    assert write_workload(tmp_path / "out.h5", found, found.trace)


def test_checkpoints_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    images = torch.randn(1, 1, 8, 8)
    with pytest.raises(WorkloadError, match="no such file"):
        export_network(NAME, tmp_path / "absent.pt", images)
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(WorkloadError, match="not a checkpoint"):
        export_network(NAME, tmp_path / "text.pt", images)
    with pytest.raises(WorkloadError, match="asked for 'fusionet_c10'"):
        export_network("fusionet_c10", checkpoint(tmp_path, "pred"), images)
    path = checkpoint(tmp_path, "vanilla", claimed="pred")
    with pytest.raises(WorkloadError, match=r"does not fit Network: missing .*predict"):
        export_network(NAME, path, images)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(WorkloadError, match="not a checkpoint") as caught:
        export_network(NAME, tmp_path / "array.npy", images)
    assert "\n" not in str(caught.value)
