"""Keras models: read without Keras, from either of its files."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from archonsim.cli.app import run_command
from archonsim.errors import WorkloadError
from archonsim.export import export_model
from archonsim.runs.verify import verify
from archonsim.tracefile.reader import open_workload
from archonsim.tracefile.writer import write_workload

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(8)
IMAGES = RNG.standard_normal((2, 3, 10, 10)).astype(np.float32)


def some(*shape: int) -> Array:
    return (0.4 * RNG.standard_normal(shape)).astype(np.float32)


def norm(channels: int) -> list[Array]:
    """Gain, offset, mean and variance."""
    return [some(channels) + 1, some(channels), some(channels), np.abs(some(channels)) + 0.5]


#: Name, class, configuration, inputs and weights of each layer.
Listed = tuple[str, str, dict[str, Any], list[str], list[Array]]


def layers(activation: str = "relu") -> list[Listed]:
    """Write a bottleneck behind a stem of TensorFlow's padding, and a classifier."""
    return [
        ("image", "InputLayer", {"batch_shape": [None, 10, 10, 3]}, [], []),
        (
            "stem",
            "Conv2D",
            {"strides": [2, 2], "padding": "same", "activation": activation},
            ["image"],
            [some(3, 3, 3, 6), some(6)],
        ),
        ("wide", "Conv2D", {"use_bias": False}, ["stem"], [some(1, 1, 6, 12)]),
        ("wide_bn", "BatchNormalization", {"axis": [3], "epsilon": 0.01}, ["wide"], norm(12)),
        (
            "wide_relu",
            "ReLU",
            {"max_value": 6.0 if activation == "relu6" else None},
            ["wide_bn"],
            [],
        ),
        (
            "dw",
            "DepthwiseConv2D",
            {"padding": "same", "use_bias": False},
            ["wide_relu"],
            [some(3, 3, 12, 1)],
        ),
        ("dw_bn", "BatchNormalization", {}, ["dw"], norm(12)),
        ("dw_relu", "Activation", {"activation": activation}, ["dw_bn"], []),
        ("narrow", "Conv2D", {}, ["dw_relu"], [some(1, 1, 12, 6), some(6)]),
        ("joined", "Add", {}, ["stem", "narrow"], []),
        ("pad", "ZeroPadding2D", {"padding": [[0, 1], [0, 1]]}, ["joined"], []),
        ("pool", "MaxPooling2D", {"pool_size": [2, 2], "strides": [2, 2]}, ["pad"], []),
        ("flat", "Flatten", {}, ["pool"], []),
        ("scores", "Dense", {"activation": "softmax"}, ["flat"], [some(54, 4), some(4)]),
    ]


def config_of(listed: list[Listed], version: int) -> dict[str, Any]:
    def node(inputs: list[str]) -> list[Any]:
        if not inputs:
            return []
        if version == 2:
            return [[[name, 0, 0, {}] for name in inputs]]
        values = [
            {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}
            for name in inputs
        ]
        return [{"args": [values] if len(values) > 1 else values, "kwargs": {}}]

    written = [
        {
            "class_name": kind,
            "name": name,
            "config": {"name": name} | config,
            "inbound_nodes": node(inputs),
        }
        for name, kind, config, inputs, _ in listed
    ]
    last = [listed[-1][0], 0, 0]
    inner = {"layers": written, "output_layers": [last] if version == 2 else last}
    return {"class_name": "Functional", "config": inner}


def saved(listed: list[Listed], folder: Path, suffix: str) -> Path:
    """Write a file as Keras 2 (``.h5``) or 3 (``.keras``) does."""
    path = folder / f"net{suffix}"
    if suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps(config_of(listed, 2))
            file.attrs["keras_version"] = "2.4.0"
            for name, _, _, _, weights in listed:
                group = file.create_group(f"model_weights/{name}")
                names = [f"{name}/{place}:0" for place in range(len(weights))]
                group.attrs["weight_names"] = np.array(names, "S")
                for one, weight in zip(names, weights, strict=True):
                    group.create_dataset(one, data=weight)
        return path
    stored, taken = io.BytesIO(), dict[str, int]()
    with h5py.File(stored, "w") as file:
        for _, kind, _, _, weights in listed:
            classes = {"DepthwiseConv2D": "depthwise_conv2d", "Conv2D": "conv2d"}
            short = classes.get(kind, kind.lower())
            short = "batch_normalization" if kind == "BatchNormalization" else short
            taken[short] = taken.get(short, -1) + 1
            at = f"layers/{short}_{taken[short]}" if taken[short] else f"layers/{short}"
            for place, weight in enumerate(weights):
                file.create_dataset(f"{at}/vars/{place}", data=weight)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config_of(listed, 3)))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.9.0"}))
        archive.writestr("model.weights.h5", stored.getvalue())
    return path


def by_torch(listed: list[Listed], image: Array) -> dict[str, Array]:
    """Compute the layers by PyTorch's operators."""
    torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")
    f = torch.nn.functional
    given = {name: [torch.from_numpy(one) for one in weights] for name, _, _, _, weights in listed}
    relu = f.relu6 if listed[4][2]["max_value"] else f.relu

    def normed(x: Any, name: str, eps: float) -> Any:
        gain, shift, mean, var = given[name]
        return f.batch_norm(x, mean, var, gain, shift, eps=eps)

    x = torch.from_numpy(image[None])
    kernel, bias = given["stem"]
    # 10 pixels, stride 2, a window of 3: one zero, and it goes behind.
    stem = relu(f.conv2d(f.pad(x, (0, 1, 0, 1)), kernel.permute(3, 2, 0, 1), bias, 2))
    wide = relu(normed(f.conv2d(stem, given["wide"][0].permute(3, 2, 0, 1)), "wide_bn", 0.01))
    dw = f.conv2d(wide, given["dw"][0].permute(2, 3, 0, 1), padding=1, groups=12)
    mid = relu(normed(dw, "dw_bn", 1e-3))
    narrow = f.conv2d(mid, given["narrow"][0].permute(3, 2, 0, 1), given["narrow"][1])
    joined = stem + narrow
    pooled = f.max_pool2d(f.pad(joined, (0, 1, 0, 1)), 2)
    scores = pooled.permute(0, 2, 3, 1).reshape(1, -1) @ given["scores"][0] + given["scores"][1]
    named = {"wide_relu": wide, "dw_relu": mid, "joined": joined, "scores": scores.softmax(1)}
    return {name: value[0].numpy() for name, value in named.items()}


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_masks_and_values_are_those_of_the_same_network_in_pytorch(
    suffix: str, tmp_path: Path
) -> None:
    from archonsim.export.keras_graph import keras_program
    from archonsim.export.program import ProgramRunner

    listed = layers()
    path = saved(listed, tmp_path, suffix)
    workload = export_model(path, IMAGES)
    (block,) = workload.blocks()
    assert (block.residual, block.order) == ("add", "pw-dw-pw")
    assert next(workload.layers()).padding == (0, 1, 0, 1)
    weights = sum(weight.size for *_, stored in listed for weight in stored)
    assert workload.params == weights  # as Keras counts: means and variances, too
    assert workload.macs == 25 * (27 * 6 + 6 * 12 + 9 * 12 + 12 * 6) + 54 * 4
    program = keras_program(path)
    assert workload.trace is not None
    for number, image in enumerate(IMAGES):
        theirs = by_torch(listed, image)
        trace = workload.trace.block("b1", number)
        np.testing.assert_array_equal(trace.keep1.unpack(), theirs["wide_relu"] > 0)
        np.testing.assert_array_equal(trace.keep2.unpack(), theirs["dw_relu"] > 0)
        np.testing.assert_allclose(trace.output, theirs["joined"], atol=1e-5)
        ours = ProgramRunner(program).evaluate({program.image: image[None]}, program.outputs)
        np.testing.assert_allclose(ours["scores"][0], theirs["scores"], atol=1e-6)
        assert 0.1 < trace.keep1.density() < 0.9
    write_workload(tmp_path / "out.h5", workload, workload.trace)
    checks = list(verify(open_workload(tmp_path / "out.h5"), images=range(2)))
    assert [check.passed for check in checks] == [True, True]


def test_relu6_becomes_relu_on_request(tmp_path: Path) -> None:
    path = saved(layers("relu6"), tmp_path, ".keras")
    large = IMAGES * 20
    (block,) = export_model(path, large).blocks()
    assert (block.clips, block.dw.activation) == ((6.0, 6.0), "relu6")
    (block,) = export_model(path, large, relu6="relu").blocks()
    assert (block.pw1.activation, block.dw.activation) == ("relu", "relu")


def test_a_sequential_model_is_a_chain(tmp_path: Path) -> None:
    listed = layers()[1:4]
    config = config_of(listed, 2)
    config["class_name"] = "Sequential"
    config["config"]["layers"][0]["config"]["batch_input_shape"] = [None, 10, 10, 3]
    path = saved(listed, tmp_path, ".h5")
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps(config)
    names = [layer.name for layer in export_model(path, IMAGES).layers()]
    assert names == ["stem", "wide"]


def changed(place: int, **config: Any) -> Callable[[list[Listed]], None]:
    """Change the configuration of a layer."""

    def change(listed: list[Listed]) -> None:
        name, kind, given, inputs, weights = listed[place]
        listed[place] = (name, config.get("kind", kind), given | config, inputs, weights)

    return change


REFUSED: dict[str, tuple[Callable[[list[Listed]], None], str]] = {
    "a lambda": (changed(10, kind="Lambda"), "pad: layer 'Lambda' is not supported"),
    "channels first": (changed(2, data_format="channels_first"), "wide: .*channels are first"),
    "an open size": (changed(0, batch_shape=[None, None, None, 3]), "must be fixed"),
    "a huge image": (changed(0, batch_shape=[None, 9**9, 9**9, 3]), "maps have up to"),
    "a huge padding": (changed(10, padding=10**9), "maps have up to"),
    "a huge dilation": (changed(5, dilation_rate=10**6), "reaches .* pixels beyond"),
    "a stride of 0": (changed(1, strides=[0, 0]), "stem: Conv2D is not supported here"),
    "no padding": (changed(10, padding=None), "pad: .* not as Keras writes them"),
    "an unknown activation": (changed(1, activation="gelu_ish"), "its activation is 'geluish'"),
    "an input that is not made": (lambda net: net.insert(1, net.pop(3)), "before it is made"),
    "another bias": (lambda net: net[1][4].__setitem__(1, some(5)), "stem: .*its weights are"),
    "a missing kernel": (lambda net: net[5][4].clear(), "dw: .*its weights are"),
    "no number": (
        lambda net: net[2][4].__setitem__(0, np.full((1, 1, 6, 12), np.nan, np.float32)),
        r"wide: .*value at \(0, 0, 0, 0\) is nan",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_what_is_not_read_is_one_line(case: str, suffix: str, tmp_path: Path) -> None:
    change, message = REFUSED[case]
    listed = layers()
    change(listed)
    with pytest.raises(WorkloadError, match=message) as caught:
        export_model(saved(listed, tmp_path, suffix), IMAGES)
    assert "\n" not in str(caught.value)


def test_foreign_and_damaged_files_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(4)
    for suffix in (".h5", ".keras"):
        path = saved(layers(), tmp_path, suffix)
        whole = path.read_bytes()
        for number in range(12):
            content = bytearray(whole)
            for place in rng.integers(0, len(content), 8):
                content[place] = rng.integers(0, 256)
            cut = len(content) if number % 3 else int(rng.integers(0, len(content)))
            path.write_bytes(content[:cut])
            status = run_command(
                ["export", "--model", str(path), "-o", str(tmp_path / "out.h5"), "--no-check"]
            )
            lines = capsys.readouterr().err.strip().splitlines()
            assert status == 0 or (status == 2 and len(lines) == 1), lines


def test_a_workload_is_no_keras_model(tmp_path: Path) -> None:
    workload = export_model(saved(layers(), tmp_path, ".h5"), IMAGES)
    assert workload.trace is not None
    write_workload(tmp_path / "out.h5", workload, workload.trace)
    with pytest.raises(WorkloadError, match="holds no Keras model: attribute model_config"):
        export_model(tmp_path / "out.h5", IMAGES)


def test_a_dataset_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    path = saved(layers(), tmp_path, ".h5")
    with h5py.File(path, "a") as file:
        del file["model_weights/wide/wide/0:0"]
        file.create_dataset("model_weights/wide/wide/0:0", (2**20, 2**10), np.float32, chunks=True)
    with pytest.raises(WorkloadError, match="more than the file can hold"):
        export_model(path, IMAGES)
