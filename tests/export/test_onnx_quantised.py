"""ONNX files of 8 bits, of 16-bit floats and of other images: values are onnxruntime's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra 'onnx')")
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="onnxruntime is not installed (extra 'onnx')"
)

from onnx import ModelProto, TensorProto, helper, numpy_helper  # noqa: E402

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.export import export_model  # noqa: E402
from archonsim.export.model_file import model_kind  # noqa: E402

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(21)
IMAGES = RNG.standard_normal((2, 4, 9, 9)).astype(np.float32)
#: Grids of the image, the two wide maps and the block's output: scale, zero point.
GRIDS = {"x": (0.03, 121), "wide": (0.04, 0), "mid": (0.05, 0), "narrow": (0.06, 130)}
CONVOLUTIONS = {"wide": ("x", (12, 4, 1, 1), 1), "mid": ("wide", (12, 1, 3, 3), 12),
                "narrow": ("mid", (4, 12, 1, 1), 1)}  # fmt: skip


def stored() -> dict[str, Array]:
    """Return weights small enough for onnxruntime to add up exactly on any processor."""
    found: dict[str, Array] = {}
    for name, (scale, zero) in GRIDS.items():
        found[f"{name}.s"] = np.array(scale, np.float32)
        found[f"{name}.z"] = np.array(zero, np.uint8)
    for name, (source, shape, _) in CONVOLUTIONS.items():
        found[f"{name}.w"] = RNG.integers(-60, 61, shape).astype(np.int8)
        found[f"{name}.ws"] = (0.004 + 0.02 * RNG.random(shape[0])).astype(np.float32)
        found[f"{name}.wz"] = np.zeros(shape[0], np.int8)
        found[f"{name}.b"] = RNG.integers(-900, 900, shape[0]).astype(np.int32)
        found[f"{name}.bs"] = found[f"{name}.ws"] * np.float32(GRIDS[source][0])
        found[f"{name}.bz"] = np.zeros(shape[0], np.int32)
    return found


def window(name: str) -> dict[str, Any]:
    return {"group": CONVOLUTIONS[name][2], "pads": [1 if name == "mid" else 0] * 4}


def model(form: str) -> ModelProto:
    """Write a bottleneck with a residual sum, as QLinearConv or between pairs of Q and DQ."""
    constants = stored()
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "x.s", "x.z"], ["x.q"]),
        helper.make_node("DequantizeLinear", ["x.q", "x.s", "x.z"], ["x"]),
    ]
    for name, (source, _, _) in CONVOLUTIONS.items():
        grid, given = [f"{name}.s", f"{name}.z"], [f"{name}.ws", f"{name}.wz"]
        if form == "QOperator":
            reads = [f"{source}.q", f"{source}.s", f"{source}.z", f"{name}.w", *given, *grid]
            nodes.append(
                helper.make_node(
                    "QLinearConv", [*reads, f"{name}.b"], [f"{name}.q"], **window(name)
                )
            )
        else:
            nodes += [
                helper.make_node("DequantizeLinear", [f"{name}.w", *given], [f"{name}.wf"], axis=0),
                helper.make_node(
                    "DequantizeLinear",
                    [f"{name}.b", f"{name}.bs", f"{name}.bz"],
                    [f"{name}.bf"],
                    axis=0,
                ),
                helper.make_node(
                    "Conv", [source, f"{name}.wf", f"{name}.bf"], [f"{name}.f"], **window(name)
                ),
            ]
            last = f"{name}.f"
            if name != "narrow":
                nodes.append(helper.make_node("Relu", [last], [f"{name}.r"]))
                last = f"{name}.r"
            nodes.append(helper.make_node("QuantizeLinear", [last, *grid], [f"{name}.q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.q", *grid], [name]))
    nodes.append(helper.make_node("Add", ["narrow", "x"], ["joined"]))
    return made(nodes, constants, [1, 4, 9, 9], [1, 4, 9, 9])


def made(
    nodes: list[Any],
    constants: dict[str, Array],
    shape: list[int],
    out: list[int],
    kind: int = TensorProto.FLOAT,
    ends: int = TensorProto.FLOAT,
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("joined", ends, out)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def saved(net: ModelProto, folder: Path) -> Path:
    onnx.save(net, folder / "net.onnx")
    return folder / "net.onnx"


def own_values(path: Path, image: Array, names: list[str]) -> list[Array]:
    """Run the file as it is, with its inner values as outputs."""
    net = onnx.load(path)
    net.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        net.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    values: list[Array] = session.run(names, {"image": image})
    return values


@pytest.mark.parametrize("form", ["QOperator", "QDQ"])
def test_masks_of_8_bits_are_those_of_the_integers(form: str, tmp_path: Path) -> None:
    path = saved(model(form), tmp_path)
    workload = export_model(path, IMAGES)
    (block,) = workload.blocks()
    assert (block.residual, block.dw.activation) == ("add", "relu")
    assert workload.params == 12 * 4 + 12 * 9 + 4 * 12 + 12 + 12 + 4
    assert workload.macs == 81 * (12 * 4 + 12 * 9 + 4 * 12)
    assert workload.trace is not None
    weights = workload.trace.layer(block.pw1.name)
    constants = {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}
    whole = constants["wide.w"] * constants["wide.ws"][:, None, None, None]
    np.testing.assert_allclose(weights.weight, whole, rtol=1e-6)
    for number, image in enumerate(IMAGES):
        trace = workload.trace.block("b1", number)
        wide, mid = own_values(path, image[None], ["wide.q", "mid.q"])
        np.testing.assert_array_equal(trace.keep1.unpack(), wide[0] > 0)
        np.testing.assert_array_equal(trace.keep2.unpack(), mid[0] > 0)
        (x,) = own_values(path, image[None], ["x"])
        np.testing.assert_array_equal(trace.input, x[0])
        assert 0.1 < trace.keep2.density() < 0.9


def test_weights_that_overflow_16_bits_are_added_up_exactly(tmp_path: Path) -> None:
    """Without VNNI, onnxruntime itself adds pairs of products in 16 bits, which saturate."""
    net = model("QOperator")
    for one in net.graph.initializer:
        if one.name == "wide.w":
            one.CopyFrom(numpy_helper.from_array(np.full((12, 4, 1, 1), 127, np.int8), one.name))
    path = saved(net, tmp_path)
    image = np.full((1, 4, 9, 9), 4.0, np.float32)
    source = model_kind(path).source(path, image, "exact")
    unit = next(node for node in source.graph.nodes if node.op == "conv")
    values = source.runner.evaluate({source.graph.input.name: image}, [unit.name, "wide.q.real"])
    top = np.minimum(values[unit.name], 255 * np.float32(0.04)).clip(0)
    assert np.abs(values["wide.q.real"] - top).max() <= 0.021


def test_a_scale_that_is_computed_is_refused(tmp_path: Path) -> None:
    net = model("QDQ")
    net.graph.node.insert(0, helper.make_node("ReduceMax", ["image"], ["top"], keepdims=0))
    net.graph.node[1].input[1] = "top"
    with pytest.raises(WorkloadError, match="top must be one constant number"):
        export_model(saved(net, tmp_path), IMAGES)


def plain_net(kind: int, *, last: bool = False) -> ModelProto:
    """Write two convolutions behind an image of a type, its channels last or first."""
    half = kind == TensorProto.FLOAT16
    floats = np.float16 if half else np.float32
    constants = {
        "a": RNG.standard_normal((5, 4, 3, 3)).astype(floats),
        "b": RNG.standard_normal((2, 5, 1, 1)).astype(floats),
    }
    nodes, at = [], "image"
    if kind == TensorProto.UINT8:
        nodes, at = [helper.make_node("Cast", [at], ["cast"], to=TensorProto.FLOAT)], "cast"
    if last:
        nodes.append(helper.make_node("Transpose", [at], ["moved"], perm=[0, 3, 1, 2]))
        at = "moved"
    nodes += [
        helper.make_node("Conv", [at, "a"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "b"], ["joined"]),
    ]
    shape = [1, 9, 9, 4] if last else [1, 4, 9, 9]
    ends = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    return made(nodes, constants, shape, [1, 2, 7, 7], kind, ends)


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.FLOAT16, TensorProto.FLOAT])
@pytest.mark.parametrize("last", [True, False])
def test_images_of_any_type_and_layout_are_taken(kind: int, last: bool, tmp_path: Path) -> None:
    path = saved(plain_net(kind, last=last), tmp_path)
    image = RNG.integers(0, 256, (1, 4, 9, 9)).astype(np.float32)
    assert model_kind(path).size(path) == (4, 9, 9)
    source = model_kind(path).source(path, image, "exact")
    ours = source.runner.evaluate({source.graph.input.name: image}, ["joined"])["joined"]
    types: dict[int, str] = {TensorProto.UINT8: "uint8", TensorProto.FLOAT16: "float16"}
    given = image.transpose(0, 2, 3, 1) if last else image
    (theirs,) = own_values(path, given.astype(types.get(kind, "float32")), ["joined"])
    rounding = 0.01 if kind == TensorProto.FLOAT16 else 1e-6
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=rounding * np.abs(theirs).max())
    names = [layer.name for layer in export_model(path, image).layers()]
    assert len(names) == 2
