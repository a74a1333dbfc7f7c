"""``--runtime``: outputs beside those of the file's own runtime, and the layer that differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tflite", reason="tflite is not installed (extra 'tflite')")
pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

from archonsim.cli.app import run_command
from archonsim.export.model_file import model_kind
from archonsim.export.runtime_check import compare_with_runtime
from tests.export.tflite_files import bottleneck

IMAGES = np.random.default_rng(3).standard_normal((2, 4, 9, 9)).astype(np.float32)


def test_outputs_equal_the_runtimes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, images = tmp_path / "net.tflite", tmp_path / "x.npy"
    path.write_bytes(bottleneck("int8").content())
    np.save(images, IMAGES)
    command = ["export", "--model", str(path), "--images", str(images), "--count", "2"]
    assert run_command([*command, "--runtime", "-o", str(tmp_path / "out.h5")]) == 0
    assert "outputs equal those of LiteRT" in capsys.readouterr().err


def test_the_first_layer_that_differs_is_named(tmp_path: Path) -> None:
    path, other = tmp_path / "net.tflite", tmp_path / "other.tflite"
    net = bottleneck("float32")
    path.write_bytes(net.content())
    weights = net.tensors[net.operators[1][2][1]].data
    assert weights is not None
    weights += 0.5
    other.write_bytes(net.content())
    source = model_kind(path).source(path, IMAGES[:1], "exact")
    found = compare_with_runtime(other, ".tflite", source.graph, source.runner, IMAGES)
    depthwise = net.operators[1][3][0]
    assert found.differences[0].label == f"layer{depthwise}"
    assert found.differences[0].share > 0.1
    assert f"first layer{depthwise}: " in found.text()
    same = compare_with_runtime(path, ".tflite", source.graph, source.runner, IMAGES)
    assert (same.images, same.differences) == (2, [])


def test_other_files_have_no_runtime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = ["export", "--module", "tests.export.nets:blockless", "--input", "3x8x8"]
    pytest.importorskip("torch", reason="torch is not installed (extra 'train')")
    assert run_command([*module, "--runtime", "-o", str(tmp_path / "out.h5")]) == 2
    assert "--runtime compares a --model file" in capsys.readouterr().err


def test_outputs_of_an_onnx_file_equal_onnxruntimes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra 'onnx')")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
    from tests.export.test_onnx import bottleneck, saved

    path, images = saved(bottleneck(), tmp_path), tmp_path / "x.npy"
    np.save(images, IMAGES)
    command = ["export", "--model", str(path), "--images", str(images), "--count", "2"]
    assert run_command([*command, "--runtime", "-o", str(tmp_path / "out.h5")]) == 0
    assert "outputs equal those of onnxruntime" in capsys.readouterr().err

    source = model_kind(path).source(path, IMAGES[:1], "exact")
    other = onnx.load(path)
    (weight,) = (one for one in other.graph.initializer if one.name == "expand.weight")
    weight.CopyFrom(
        onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) + 0.5, "expand.weight")
    )
    onnx.save(other, tmp_path / "other.onnx")
    found = compare_with_runtime(
        tmp_path / "other.onnx", ".onnx", source.graph, source.runner, IMAGES
    )
    assert found.differences[0].label == "expand"
