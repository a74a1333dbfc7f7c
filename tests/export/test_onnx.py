"""ONNX files: the same search, the masks those of onnxruntime's own run."""

from __future__ import annotations

import warnings
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
from archonsim.export import export_onnx  # noqa: E402
from archonsim.runs.verify import verify  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402
from archonsim.tracefile.writer import write_workload  # noqa: E402

RNG = np.random.default_rng(11)
SHARED_CASES = Path(__file__).parents[3] / "shared" / "cases"
IMAGES = RNG.standard_normal((2, 4, 9, 9)).astype(np.float32)


def weights(*shape: int) -> np.ndarray[Any, Any]:
    return (RNG.standard_normal(shape) * (RNG.random(shape) < 0.6)).astype(np.float32)


def bottleneck(activation: str = "Relu", dilation: int = 1, batch: Any = "n") -> ModelProto:
    """Build a bottleneck, then a classifier.

    A folded normalisation and an explicit one, TensorFlow's padding, and a residual sum.
    """
    constants = {
        "expand.weight": weights(12, 4, 1, 1),
        "expand.bias": weights(12),
        "dw.weight": weights(12, 1, 3, 3),
        "narrow.weight": weights(4, 12, 1, 1),
        "fc.weight": weights(3, 4),
        "fc.bias": weights(3),
        "gain": weights(12) + 1,
        "offset": weights(12),
        "mean": weights(12),
        "var": np.abs(weights(12)) + 1,
        "zero": np.array(0, np.float32),
        "six": np.array(6, np.float32),
    }
    clip = ["zero", "six"] if activation == "Clip" else []
    padding: dict[str, Any] = (
        {"auto_pad": "SAME_UPPER"}
        if dilation == 1
        else {"pads": [dilation] * 4, "dilations": [dilation] * 2}
    )
    nodes = [
        helper.make_node("Conv", ["image", "expand.weight", "expand.bias"], ["wide"], name="conv0"),
        helper.make_node(activation, ["wide", *clip], ["wide_relu"]),
        helper.make_node(
            "Conv", ["wide_relu", "dw.weight"], ["sums"], group=12, kernel_shape=[3, 3], **padding
        ),
        helper.make_node("BatchNormalization", ["sums", "gain", "offset", "mean", "var"], ["mid"]),
        helper.make_node(activation, ["mid", *clip], ["mid_relu"]),
        helper.make_node("Conv", ["mid_relu", "narrow.weight"], ["narrow"]),
        helper.make_node("Add", ["image", "narrow"], ["joined"]),
        helper.make_node("GlobalAveragePool", ["joined"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "bottleneck",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 4, 9, 9])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def saved(model: ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def own_values(
    path: Path, image: np.ndarray[Any, Any], names: list[str]
) -> list[np.ndarray[Any, Any]]:
    """Run the whole file in onnxruntime with its inner values as outputs."""
    model = onnx.load(path)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    values: list[np.ndarray[Any, Any]] = session.run(names, {"image": image[None]})
    return values


@pytest.mark.parametrize("batch", [1, "n"])
def test_masks_and_outputs_are_those_of_onnxruntime(tmp_path: Path, batch: Any) -> None:
    path = saved(bottleneck(batch=batch), tmp_path)
    workload = export_onnx(path, IMAGES)
    (block,) = workload.blocks()
    assert (block.order, block.residual, block.dw.padding) == ("pw-dw-pw", "add", (1, 1, 1, 1))
    assert [layer.name for layer in workload.layers()] == ["expand", "dw", "narrow", "pooled", "fc"]
    assert workload.trace is not None
    for number, image in enumerate(IMAGES):
        trace = workload.trace.block("b1", number)
        wide, mid, joined = own_values(path, image, ["wide_relu", "mid_relu", "joined"])
        np.testing.assert_array_equal(trace.keep1.unpack(), wide[0] > 0)
        np.testing.assert_array_equal(trace.keep2.unpack(), mid[0] > 0)
        np.testing.assert_array_equal(trace.output, joined[0])
        assert 0.1 < trace.keep2.density() < 0.9


@pytest.mark.parametrize("predictors", ["none", "ternary"])
def test_an_exported_file_passes_verify(tmp_path: Path, predictors: str) -> None:
    if predictors == "ternary":
        pytest.importorskip("torch", reason="torch is not installed (extra 'train')")
    workload = export_onnx(
        saved(bottleneck(), tmp_path), IMAGES, predictors=predictors, calibration=IMAGES[::-1] * 0.9
    )
    write_workload(tmp_path / "w.h5", workload, workload.trace)
    back = open_workload(tmp_path / "w.h5")
    assert all(check.passed for check in verify(back, images=[0, 1]))
    about = back.provenance
    assert about.framework == f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}"
    assert (about.model, about.network) == ("net.onnx", "net.onnx")


def test_clips_at_6_are_relu6(tmp_path: Path) -> None:
    path = saved(bottleneck("Clip"), tmp_path)
    quiet = export_onnx(path, IMAGES / 100 - 1)
    assert {layer.activation for layer in quiet.layers() if layer.kind == "depthwise"} == {"relu6"}
    exact = export_onnx(path, IMAGES * 10)
    assert [max(block.clips) for block in exact.blocks()] == [6.0]
    assert all(check.passed for check in verify(exact, images=[0, 1]))
    replaced = export_onnx(path, IMAGES * 10, relu6="relu")
    assert sum(1 for _ in replaced.blocks()) == 1
    assert all(check.passed for check in verify(replaced, images=[0, 1]))


def test_pytorchs_own_exporter_gives_the_same_blocks(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")
    from archonsim.export import export_module
    from tests.export.nets import MobileNetV2, Shuffled, ready

    for number, module in enumerate((ready(MobileNetV2(), 8), ready(Shuffled(), 8))):
        images, path = torch.randn(1, 3, 8, 8), tmp_path / f"{number}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(module, (images,), path, dynamo=False)
        ours, theirs = export_module(module, images), export_onnx(path, images.numpy())
        assert ours.trace is not None
        assert theirs.trace is not None
        for mine, other in zip(ours.blocks(), theirs.blocks(), strict=True):
            assert (mine.order, mine.shuffle, mine.residual, mine.groups) == (
                other.order,
                other.shuffle,
                other.residual,
                other.groups,
            )
            one, two = ours.trace.block(mine.name, 0), theirs.trace.block(other.name, 0)
            np.testing.assert_allclose(one.output, two.output, rtol=1e-3, atol=1e-4)
            differing = np.bitwise_count(one.keep2.packed ^ two.keep2.packed).sum()
            assert (
                differing <= 2
            )  # the exporter folded normalisations, so a sum near 0 may have either sign


def test_damaged_and_unfit_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = saved(bottleneck(), tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WorkloadError, match=r"net\.onnx: not a whole ONNX model") as caught:
        export_onnx(path, IMAGES)
    assert "\n" not in str(caught.value)
    path.write_bytes(whole)
    with pytest.raises(WorkloadError, match="takes images of 4x9x9; these are 4x8x9"):
        export_onnx(path, IMAGES[:, :, :8])
    with pytest.raises(WorkloadError, match=r"absent\.onnx: cannot be read: No such file"):
        export_onnx(tmp_path / "absent.onnx", IMAGES)
    model = bottleneck()
    spoiled = numpy_helper.to_array(model.graph.initializer[2]).copy()
    spoiled[3, 0, 1, 2] = np.nan
    model.graph.initializer[2].CopyFrom(numpy_helper.from_array(spoiled, "dw.weight"))
    with pytest.raises(WorkloadError, match=r"dw.weight: value at \(3, 0, 1, 2\) is nan"):
        export_onnx(saved(model, tmp_path), IMAGES)


def test_a_batch_of_several_is_an_examples_shape(tmp_path: Path) -> None:
    """Batch, height and width are then left open; a Reshape that knows them is refused."""
    model = bottleneck(batch=1)
    one = export_onnx(saved(model, tmp_path), IMAGES)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    several = export_onnx(saved(model, tmp_path), IMAGES)
    (mine,), (other,) = one.blocks(), several.blocks()
    assert one.trace is not None
    assert several.trace is not None
    masks = [trace.block(mine.name, 1).keep1.unpack() for trace in (one.trace, several.trace)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (mine.pw1.in_h, other.pw1.in_h) == (9, 9)
    wide = RNG.standard_normal((1, 4, 12, 7)).astype(np.float32)
    (block,) = export_onnx(saved(model, tmp_path), wide).blocks()
    assert (block.pw1.in_h, block.pw1.in_w) == (12, 7)
    model.graph.initializer.append(numpy_helper.from_array(np.array([4, 12]), "shape"))
    model.graph.node[-2].CopyFrom(helper.make_node("Reshape", ["pooled", "shape"], ["flat"]))
    with pytest.raises(WorkloadError, match=r"net\.onnx: onnxruntime does not run it on images"):
        export_onnx(saved(model, tmp_path), IMAGES)


def test_a_dilated_convolution_is_plain_ones_on_phases(tmp_path: Path) -> None:
    """A block whose window has gaps is no block of ours; its layers run as layers."""
    work = export_onnx(saved(bottleneck(dilation=2), tmp_path), IMAGES)
    assert not list(work.blocks())
    assert "NOT MODELLED" not in work.provenance.note
    assert sum(".phase" in layer.name for layer in work.layers()) == 4


def test_the_hash_follows_weights_in_a_file_beside(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(bottleneck(), path, save_as_external_data=True, location="net.bin", size_threshold=0)
    first = export_onnx(path, IMAGES).provenance.model_sha256
    beside = bytearray((tmp_path / "net.bin").read_bytes())
    beside[1] ^= 1
    (tmp_path / "net.bin").write_bytes(beside)
    assert export_onnx(path, IMAGES).provenance.model_sha256 != first


def test_a_constant_that_is_no_number_is_named(tmp_path: Path) -> None:
    model = bottleneck()
    spoiled = numpy_helper.to_array(model.graph.initializer[2]).copy()
    spoiled[3, 0, 1, 2] = np.inf
    model.graph.node.insert(
        0, helper.make_node("Constant", [], ["dw.weight"], value=numpy_helper.from_array(spoiled))
    )
    del model.graph.initializer[2]
    with pytest.raises(WorkloadError, match=r"dw.weight: value at \(3, 0, 1, 2\) is inf"):
        export_onnx(saved(model, tmp_path), IMAGES)


def test_a_normalisation_by_the_images_own_statistics_is_not_folded(tmp_path: Path) -> None:
    model = bottleneck()
    (norm,) = (node for node in model.graph.node if node.op_type == "BatchNormalization")
    norm.attribute.append(helper.make_attribute("training_mode", 1))
    norm.output.extend(["mean_now", "var_now"])
    assert list(export_onnx(saved(model, tmp_path), IMAGES).blocks()) == []


Nodes = list[tuple[str, list[str], str, dict[str, Any]]]


def between_relu_and_window(
    middle: Nodes,
    constants: dict[str, np.ndarray[Any, Any]],
    last: str,
    opset: int = 18,
    **window: Any,
) -> Any:
    """A bottleneck of 9 channels on maps of 9x9, with nodes between ReLU ("r") and window."""
    rng = np.random.default_rng(5)

    def normal(*shape: int) -> np.ndarray[Any, Any]:
        return (rng.standard_normal(shape) / 2).astype(np.float32)

    tensors = {
        "p1": normal(9, 4, 1, 1),
        "d": normal(9, 1, 3, 3),
        "p2": normal(4, 9, 1, 1),
    } | constants
    nodes: Nodes = [
        ("Conv", ["image", "p1"], "c", {}),
        ("Relu", ["c"], "r", {}),
        *middle,
        ("Conv", [last, "d"], "w", {"group": 9, **window}),
        ("Relu", ["w"], "v", {}),
        ("Conv", ["v", "p2"], "y", {}),
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, reads, [made], **given) for kind, reads, made, given in nodes],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4, 9, 9])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, "h", "w"])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def there_and_back(kind: int) -> Nodes:
    """Two casts, to a type and back to float."""
    back = {"to": TensorProto.FLOAT}
    return [("Cast", ["r"], "h", {"to": kind}), ("Cast", ["h"], "m", back)]


ROW = np.linspace(-1, 1, 9, dtype=np.float32)
PAD = {"pads": [1, 1, 1, 1]}
#: Nodes between a block's ReLU and its window, constants, the window's padding, the opset, and
#: whether the three layers still are a block. Every file is exported with the check on.
MIDDLES: dict[str, tuple[Nodes, dict[str, Any], dict[str, Any], int, bool]] = {
    "nothing": ([("Identity", ["r"], "m", {})], {}, PAD, 18, True),
    "a crop": (
        [("Pad", ["r", "n"], "m", {})],
        {"n": np.array([0, 0, -1, -1, 0, 0, -1, -1])},
        PAD, 13, False,
    ),
    "a pad": (
        [("Pad", ["r", "n"], "m", {})],
        {"n": np.array([0, 0, 1, 0, 0, 0, 1, 2])},
        {}, 13, True,
    ),
    "a pad of old": ([("Pad", ["r"], "m", {"pads": [0, 0, 1, 1, 0, 0, 1, 1]})], {}, {}, 9, True),
    "a pad by axes": (
        [("Pad", ["r", "n", "", "a"], "m", {})],
        {"n": np.array([1, 0, 1, 2]), "a": np.array([2, 3])},
        {}, 18, True,
    ),
    "a pad by axes from behind": (
        [("Pad", ["r", "n", "", "a"], "m", {})],
        {"n": np.array([1, 0, 1, 2]), "a": np.array([-1, -2])},
        {}, 18, True,
    ),
    "a crop by one axis": (
        [("Pad", ["r", "n", "", "a"], "m", {})],
        {"n": np.array([-1, -1]), "a": np.array([3])},
        PAD, 18, False,
    ),
    "a pad that shapes give": (
        [
            ("Shape", ["r"], "s", {}),
            ("Gather", ["s", "zero"], "batch", {}),
            ("Mul", ["pads", "batch"], "n", {}),
            ("Pad", ["r", "n"], "m", {}),
        ],
        {"zero": np.array(0), "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        {}, 18, True,
    ),
    "half and back": (
        there_and_back(TensorProto.FLOAT16),
        {}, PAD, 18, False,
    ),
    "double and back": (
        there_and_back(TensorProto.DOUBLE),
        {}, PAD, 18, True,
    ),
    "integers and back": (
        there_and_back(TensorProto.INT32),
        {}, PAD, 18, False,
    ),
    "dropout": (
        [("Dropout", ["r", "ratio", "on"], "m", {})],
        {"ratio": np.array(0.5, np.float32), "on": np.array(True)},
        PAD, 18, False,
    ),
    "dropout that is off": ([("Dropout", ["r"], "m", {})], {}, PAD, 18, True),
    "a mask": (
        [
            ("Greater", ["r", "q"], "g", {}),
            ("Where", ["g", "r", "nothing"], "m", {}),
        ],
        {"q": np.array(0.5, np.float32), "nothing": np.array(0, np.float32)},
        PAD, 18, False,
    ),
    "a product with a mask": (
        [
            ("Greater", ["r", "q"], "g", {}),
            ("Cast", ["g"], "f", {"to": TensorProto.FLOAT}),
            ("Mul", ["r", "f"], "m", {}),
        ],
        {"q": np.array(0.5, np.float32)},
        PAD, 18, False,
    ),
    "a limit from the image": (
        [
            ("GlobalAveragePool", ["r"], "top", {}),
            ("Min", ["r", "top"], "m", {}),
        ],
        {}, PAD, 18, False,
    ),
    "two clamps": (
        [("Max", ["r", "zero"], "a", {}), ("Min", ["a", "top"], "m", {})],
        {"zero": np.array(0, np.float32), "top": np.array(3e38, np.float32)},
        PAD, 18, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MIDDLES)
def test_what_changes_values_between_two_layers_is_seen(case: str, tmp_path: Path) -> None:
    middle, constants, window, opset, fuses = MIDDLES[case]
    path = saved(between_relu_and_window(middle, constants, "m", opset, **window), tmp_path)
    workload = export_onnx(path, IMAGES)
    assert sum(1 for _ in workload.blocks()) == fuses
    if fuses:
        assert all(check.passed for check in verify(workload, images=[0, 1]))
        assert workload.trace is not None
        (whole,) = own_values(path, IMAGES[1], [])
        np.testing.assert_array_equal(workload.trace.block("b1", 1).output, whole[0])


@pytest.mark.parametrize("operator", ["Add", "Mul", "Sub", "Div"])
@pytest.mark.parametrize(
    ("shape", "by_channel"),
    [((9,), False), ((9, 1), False), ((9, 1, 1), True), ((1, 9, 1, 1), True), ((), True)],
)
def test_a_constant_folds_by_channel_only_where_it_meets_one(
    operator: str, shape: tuple[int, ...], by_channel: bool, tmp_path: Path
) -> None:
    """Before the first ReLU, on maps of as many pixels a row as channels."""
    value = (ROW + 2).reshape(shape) if shape else np.array(2, np.float32)
    model = between_relu_and_window([("Identity", ["r"], "m", {})], {"k": value}, "m", pads=[1] * 4)
    first, relu = model.graph.node[:2]
    model.graph.node.insert(1, helper.make_node(operator, ["c", "k"], ["ck"]))
    relu.input[0] = "ck"
    assert first.output[0] == "c"
    workload = export_onnx(saved(model, tmp_path), IMAGES)
    assert sum(1 for _ in workload.blocks()) == by_channel


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("pad_axes_opset18", 1),
        ("pad_negative", 0),
        ("pad_then_conv", 1),
        ("relu_as_max", 1),
        ("relu6_maxmin", 1),
    ],
)
def test_shared_cases_export_and_verify(name: str, blocks: int) -> None:
    path = SHARED_CASES / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(
            f"{name}.onnx is not shipped with the repository: it is read from ../shared/cases"
        )
    images = np.random.default_rng(3).standard_normal((2, 3, 8, 8)).astype(np.float32)
    workload = export_onnx(path, images / 4)
    assert sum(1 for _ in workload.blocks()) == blocks
    if blocks:
        assert all(check.passed for check in verify(workload, images=[0, 1]))


def test_an_operator_over_constants_and_the_image_inside_its_branches_is_no_constant(
    tmp_path: Path,
) -> None:
    def branch(factor: float) -> Any:
        constant = numpy_helper.from_array(np.array(factor, np.float32), "factor")
        return helper.make_graph(
            [helper.make_node("Mul", ["r", "factor"], ["inner"])],
            "branch",
            [],
            [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1, 9, 9, 9])],
            [constant],
        )

    node = ("If", ["yes"], "m", {"then_branch": branch(1.0), "else_branch": branch(2.0)})
    model = between_relu_and_window([node], {"yes": np.array(True)}, "m", pads=[1] * 4)
    with pytest.raises(WorkloadError, match="operator 'If' is not supported"):
        export_onnx(saved(model, tmp_path), IMAGES)
