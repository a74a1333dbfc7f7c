"""``.tflite`` files: the values are the runtime's own, 8-bit ones to the last bit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tflite", reason="tflite is not installed (extra 'tflite')")

from archonsim.errors import UserError, WorkloadError
from archonsim.export import export_model
from archonsim.export.program import ProgramRunner, trace_program
from archonsim.export.tflite_file import read_tflite
from archonsim.export.tflite_graph import tflite_program
from archonsim.network.workload import Workload
from archonsim.runs.verify import verify
from archonsim.trace.algebra import preactivations
from archonsim.tracefile.reader import open_workload
from archonsim.tracefile.writer import write_workload
from tests.export.tflite_files import RELU, RELU6, File, Spec, bottleneck

IMAGES = np.random.default_rng(3).standard_normal((2, 4, 9, 9)).astype(np.float32)
KINDS = ("float32", "int8", "uint8")


def saved(net: File, folder: Path) -> Path:
    path = folder / "net.tflite"
    path.write_bytes(net.content())
    return path


def runtime_values(path: Path, image: np.ndarray[Any, Any]) -> dict[int, np.ndarray[Any, Any]]:
    """Return what LiteRT's reference kernels make of an image, by tensor, as stored."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is missing")
    resolvers = litert.OpResolverType
    lacking = {"ELU"} & {one.name for one in read_tflite(path).operators}
    runner = litert.Interpreter(
        str(path),
        experimental_op_resolver_type=resolvers.BUILTIN if lacking else resolvers.BUILTIN_REF,
        experimental_preserve_all_tensors=not lacking,
    )
    runner.allocate_tensors()
    (about,) = runner.get_input_details()
    given = image.transpose(0, 2, 3, 1)
    if about["dtype"] != np.float32:
        scale, zero = about["quantization"]
        limits = np.iinfo(about["dtype"])
        given = np.clip(np.rint(given / scale) + zero, limits.min, limits.max)
    runner.set_tensor(about["index"], given.astype(about["dtype"]))
    runner.invoke()
    made = [one.outputs[0].index for one in read_tflite(path).operators]
    return {index: runner.get_tensor(index).copy() for index in made}


def assert_equal_to_runtime(path: Path, image: np.ndarray[Any, Any]) -> None:
    model, program = read_tflite(path), tflite_program(path)
    theirs = runtime_values(path, image)
    outputs = [one.outputs[0] for one in model.operators]
    made = {one.index: one for one in outputs if one.type != "int32"}  # shapes are no values
    ours = ProgramRunner(program).evaluate({program.image: image}, [f"t{at}" for at in made])
    for index, tensor in made.items():
        value = ours[f"t{index}"]
        value = value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
        if tensor.is_quantised:
            whole = np.rint(value / np.float64(tensor.scales[0])) + tensor.zeros[0]
            np.testing.assert_array_equal(whole, theirs[index], err_msg=tensor.name)
        else:
            np.testing.assert_allclose(value, theirs[index], rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", [RELU, RELU6])
def test_each_value_is_the_runtimes(kind: str, activation: int, tmp_path: Path) -> None:
    path = saved(bottleneck(kind, activation), tmp_path)
    for image in IMAGES:
        assert_equal_to_runtime(path, image[None])


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_those_of_the_runtime_and_the_block_verifies(kind: str, tmp_path: Path) -> None:
    path = saved(bottleneck(kind), tmp_path)
    workload = export_model(path, IMAGES)
    (block,) = workload.blocks()
    assert (block.residual, block.dw.padding) == ("add", (1, 1, 1, 1))
    kinds = [layer.kind for layer in workload.layers()]
    assert kinds == ["conv", "depthwise", "conv", "pool", "fc"]
    assert workload.macs == 81 * (12 * 4 + 12 * 9 + 4 * 12) + 12
    assert workload.params == 12 * 4 + 12 + 12 * 9 + 12 + 4 * 12 + 4 + 12 + 3
    assert workload.trace is not None
    convolutions = [one.outputs[0] for one in read_tflite(path).operators if "CONV_2D" in one.name]
    for number, image in enumerate(IMAGES):
        trace = workload.trace.block("b1", number)
        values = runtime_values(path, image[None])
        for mask, tensor in zip((trace.keep1, trace.keep2), convolutions, strict=False):
            zero = tensor.zeros[0] if tensor.is_quantised else 0
            theirs = values[tensor.index].transpose(0, 3, 1, 2)[0] > zero
            np.testing.assert_array_equal(mask.unpack(), theirs)
            assert 0.1 < mask.density() < 0.9
    write_workload(tmp_path / "net.h5", workload, workload.trace)
    written = open_workload(tmp_path / "net.h5")
    assert [check.passed for check in verify(written, images=range(2))] == [True, True]


def only_block(workload: Workload) -> Any:
    (block,) = workload.blocks()
    return block


def test_a_grid_that_ends_at_zero_is_a_relu(tmp_path: Path) -> None:
    """Converters leave the activation out where the output's grid makes it."""
    named = saved(bottleneck("int8"), tmp_path)
    assert only_block(export_model(named, IMAGES)).pw1.activation == "relu"
    unnamed = bottleneck("int8", fused=False)
    assert only_block(export_model(saved(unnamed, tmp_path), IMAGES)).pw1.activation == "relu"


def test_relu6_of_8_bits_clips_where_the_real_sum_is_above_6(tmp_path: Path) -> None:
    """What is stored as the block's output is what the real weights make of those masks."""
    path = saved(bottleneck("int8", RELU6), tmp_path)
    exact = export_model(path, IMAGES * 5)
    block = only_block(exact)
    assert (block.clips, block.pw1.activation, block.dw.activation) == ((6, 6), "relu6", "relu6")
    assert exact.trace is not None
    trace = exact.trace.block(block.name, 0)
    tensors = tuple(exact.trace.layer(layer.name) for layer in block.layers)
    pre1, _ = preactivations(block, tensors, trace.keep1, trace.input)
    np.testing.assert_array_equal(trace.keep1.states() == 2, pre1 > 6)
    assert min(trace.keep1.clipped(), trace.keep2.clipped()) > 0
    assert all(check.passed for check in verify(exact, images=[0, 1], fused=True))
    assert only_block(export_model(path, IMAGES * 5, relu6="relu")).dw.activation == "relu"


def test_predictors_are_fitted_to_an_8_bit_network(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra 'train')")
    path = saved(bottleneck("int8"), tmp_path)
    workload = export_model(path, IMAGES, predictors="ternary", calibration=IMAGES)
    assert workload.trace is not None
    assert workload.provenance.flavour == "pred"
    trace = workload.trace.block("b1", 0)
    assert (trace.keep1.unpack() != trace.true1.unpack()).any()


def made_real(net: File) -> None:
    """Make all maps, but no weights, float32."""
    for one in net.tensors:
        if one.data is None:
            one.type, one.scales = "float32", []


HOSTILE: dict[str, Callable[[File], Any]] = {
    "two inputs": lambda net: net.inputs.append(2),
    "an output that nothing makes": lambda net: net.outputs.__setitem__(0, 1),
    "a tensor that is not there": lambda net: net.operators[1][2].__setitem__(0, 99),
    "a value before it is made": lambda net: net.operators[0][2].__setitem__(0, 9),
    "a huge map": lambda net: setattr(net.tensors[3], "shape", [1, 2**20, 2**20, 12]),
    "a negative size": lambda net: setattr(net.tensors[3], "shape", [1, 9, -9, 12]),
    "fewer weights than their shape": lambda net: setattr(net.tensors[1], "shape", [99, 1, 1, 4]),
    "a scale of zero": lambda net: setattr(net.tensors[0], "scales", [0.0]),
    "a scale that is none": lambda net: setattr(net.tensors[0], "scales", [np.nan]),
    "a zero point out of range": lambda net: setattr(net.tensors[0], "zeros", [999]),
    "a batch of two": lambda net: setattr(net.tensors[0], "shape", [2, 9, 9, 4]),
    "an operator that is not run": lambda net: net.operators.__setitem__(
        4, ("SPACE_TO_DEPTH", None, *net.operators[4][2:])
    ),
    "weights of 8 bits on real maps": lambda net: made_real(net),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_wrong_file_is_one_line(case: str, tmp_path: Path) -> None:
    net = bottleneck("int8")
    HOSTILE[case](net)
    with pytest.raises(WorkloadError) as error:
        export_model(saved(net, tmp_path), IMAGES)
    assert "net.tflite" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_weight_that_is_no_number_is_named(tmp_path: Path) -> None:
    net = bottleneck("float32")
    assert net.tensors[1].data is not None
    net.tensors[1].data[2, 0, 0, 3] = np.nan
    with pytest.raises(WorkloadError, match=r"layer1: value at \(2, 0, 0, 3\) is nan"):
        read_tflite(saved(net, tmp_path))


def test_damaged_files_are_one_line_in_bounded_time(tmp_path: Path) -> None:
    """Any bytes of a file changed, cut or repeated: a network, or one line; nothing else."""
    rng = np.random.default_rng(17)
    whole = bottleneck("int8").content()
    path, refused, lines, start = tmp_path / "net.tflite", 0, 0, time.process_time()
    rounds = 300
    for _ in range(rounds):
        content = bytearray(whole)
        for place in rng.integers(0, len(content), rng.integers(1, 6)):
            content[place] = rng.integers(0, 256)
        for place in 4 * rng.integers(0, len(content) // 4, rng.integers(0, 3)):
            wild = rng.choice(np.array([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 20]))
            content[place : place + 4] = int(wild).to_bytes(4, "little")
        cut = len(content) if rng.random() < 0.8 else int(rng.integers(0, len(content)))
        path.write_bytes(content[:cut])
        try:
            program = tflite_program(path)
            assert program.size is not None
            if np.prod(program.size) < 1 << 20:
                trace_program(program, np.zeros((1, *program.size), np.float32), str(path))
        except UserError as error:
            refused += 1
            lines += str(error).count("\n") + 1
    assert lines == refused
    assert refused > rounds // 4
    assert time.process_time() - start < 60


def test_a_tensor_of_sizes_is_no_map(tmp_path: Path) -> None:
    net = bottleneck("float32")
    sizes = net.call("SHAPE", None, [net.inputs[0]], Spec(shape=[4], type="int32"))
    net.operators.insert(0, net.operators.pop())
    net.operators[1][2][0] = sizes
    with pytest.raises(WorkloadError, match=r"CONV_2D .* computed from sizes"):
        tflite_program(saved(net, tmp_path))
