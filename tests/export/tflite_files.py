"""Small ``.tflite`` files, written with the schema's own builders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

RNG = np.random.default_rng(5)
TYPES = {
    "float32": tflite.TensorType.FLOAT32,
    "int8": tflite.TensorType.INT8,
    "uint8": tflite.TensorType.UINT8,
    "int32": tflite.TensorType.INT32,
}
#: Of operators, the first with int8, by channel where there are channels.
_VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "TRANSPOSE_CONV": 3,
    "ADD": 2,
    "AVERAGE_POOL_2D": 2,
}
SAME, VALID = 0, 1
RELU, RELU6 = 1, 3


@dataclass(kw_only=True)
class Spec:
    """A tensor to write."""

    shape: Sequence[int]
    type: str = "float32"
    scales: Sequence[float] = ()
    zeros: Sequence[int] = ()
    axis: int = 0
    data: NDArray[Any] | None = None


@dataclass
class File:
    """A file to write: tensors, and operators as (name, options, inputs, outputs)."""

    tensors: list[Spec] = field(default_factory=list)
    operators: list[tuple[str, Any, list[int], list[int]]] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def tensor(self, spec: Spec) -> int:
        """Add a tensor; return its number."""
        self.tensors.append(spec)
        return len(self.tensors) - 1

    def call(self, name: str, options: Any, inputs: list[int], out: Spec) -> int:
        """Add an operator with one output; return that."""
        made = self.tensor(out)
        self.operators.append((name, options, inputs, [made]))
        return made

    def content(self) -> bytes:
        """Return the file."""
        b = flatbuffers.Builder(1024)
        names = sorted({name for name, *_ in self.operators})
        codes = [_code(b, name) for name in names]
        buffers = [_buffer(b, None), *(_buffer(b, one.data) for one in self.tensors)]
        tensors = [_tensor(b, one, at) for at, one in enumerate(self.tensors)]
        operators = [_operator(b, one, names) for one in self.operators]
        parts = [
            _offsets(b, tensors, tflite.SubGraphStartTensorsVector),
            _numbers(b, self.inputs),
            _numbers(b, self.outputs),
            _offsets(b, operators, tflite.SubGraphStartOperatorsVector),
        ]
        tflite.SubGraphStart(b)
        for add, part in zip(
            (
                tflite.SubGraphAddTensors,
                tflite.SubGraphAddInputs,
                tflite.SubGraphAddOutputs,
                tflite.SubGraphAddOperators,
            ),
            parts,
            strict=True,
        ):
            add(b, part)
        graphs = _offsets(b, [tflite.SubGraphEnd(b)], tflite.ModelStartSubgraphsVector)
        kinds = _offsets(b, codes, tflite.ModelStartOperatorCodesVector)
        stored = _offsets(b, buffers, tflite.ModelStartBuffersVector)
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, kinds)
        tflite.ModelAddSubgraphs(b, graphs)
        tflite.ModelAddBuffers(b, stored)
        b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
        return bytes(b.Output())


def _offsets(b: Any, offsets: Sequence[int], start: Any) -> int:
    start(b, len(offsets))
    for one in reversed(offsets):
        b.PrependUOffsetTRelative(one)
    return int(b.EndVector())


def _numbers(b: Any, numbers: Sequence[int]) -> int:
    return int(b.CreateNumpyVector(np.asarray(numbers, np.int32)))


def _code(b: Any, name: str) -> int:
    number = getattr(tflite.BuiltinOperator, name)
    tflite.OperatorCodeStart(b)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
    tflite.OperatorCodeAddBuiltinCode(b, number)
    tflite.OperatorCodeAddVersion(b, _VERSIONS.get(name, 1))
    return int(tflite.OperatorCodeEnd(b))


def _buffer(b: Any, data: NDArray[Any] | None) -> int:
    content = None
    if data is not None:
        content = b.CreateNumpyVector(np.frombuffer(data.tobytes(), np.uint8))
    tflite.BufferStart(b)
    if content is not None:
        tflite.BufferAddData(b, content)
    return int(tflite.BufferEnd(b))


def _tensor(b: Any, one: Spec, at: int) -> int:
    name, shape = b.CreateString(f"layer{at}"), _numbers(b, one.shape)
    grid = None
    if len(one.scales):
        scales = b.CreateNumpyVector(np.asarray(one.scales, np.float32))
        zeros = b.CreateNumpyVector(np.asarray(one.zeros or [0] * len(one.scales), np.int64))
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, scales)
        tflite.QuantizationParametersAddZeroPoint(b, zeros)
        tflite.QuantizationParametersAddQuantizedDimension(b, one.axis)
        grid = tflite.QuantizationParametersEnd(b)
    tflite.TensorStart(b)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, TYPES[one.type])
    tflite.TensorAddBuffer(b, at + 1)
    tflite.TensorAddName(b, name)
    if grid is not None:
        tflite.TensorAddQuantization(b, grid)
    return int(tflite.TensorEnd(b))


def _operator(b: Any, one: tuple[str, Any, list[int], list[int]], names: list[str]) -> int:
    name, options, inputs, outputs = one
    table = None
    if options is not None:
        kind, values = options
        getattr(tflite, f"{kind}Start")(b)
        for key, value in values.items():
            getattr(tflite, f"{kind}Add{key}")(b, value)
        table = getattr(tflite, f"{kind}End")(b)
    read, made = _numbers(b, inputs), _numbers(b, outputs)
    tflite.OperatorStart(b)
    tflite.OperatorAddOpcodeIndex(b, names.index(name))
    tflite.OperatorAddInputs(b, read)
    tflite.OperatorAddOutputs(b, made)
    if table is not None:
        tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, options[0]))
        tflite.OperatorAddBuiltinOptions(b, table)
    return int(tflite.OperatorEnd(b))


def weights(shape: Sequence[int], kind: str, axis: int) -> Spec:
    """Random weights: float32, int8 by channel, or uint8 with one scale."""
    values = RNG.standard_normal(shape)
    values *= RNG.random(shape) < 0.7
    if kind == "float32":
        return Spec(shape=shape, axis=axis, data=values.astype(np.float32))
    if kind == "uint8":
        whole = RNG.integers(0, 256, shape).astype(np.uint8)
        return Spec(shape=shape, type=kind, scales=[0.011], zeros=[121], axis=axis, data=whole)
    scales = (0.004 + 0.01 * RNG.random(shape[axis])).astype(np.float32)
    whole = RNG.integers(-127, 128, shape).astype(np.int8)
    return Spec(shape=shape, type=kind, scales=list(scales), axis=axis, data=whole)


def _map(shape: Sequence[int], kind: str, scale: float, zero: int) -> Spec:
    if kind == "float32":
        return Spec(shape=shape)
    return Spec(shape=shape, type=kind, scales=[scale], zeros=[zero])


def _weighted(net: File, source: int, weight: Spec) -> list[int]:
    """Add weights and biases; return the inputs of their layer."""
    count, at = weight.shape[weight.axis], net.tensor(weight)
    if weight.type == "float32":
        bias = Spec(shape=[count], data=RNG.standard_normal(count).astype(np.float32))
    else:
        whole = RNG.integers(-3000, 3000, count).astype(np.int32)
        scales = [net.tensors[source].scales[0] * one for one in weight.scales]
        bias = Spec(shape=[count], type="int32", scales=scales, data=whole)
    return [source, at, net.tensor(bias)]


def bottleneck(kind: str, activation: int = RELU, *, fused: bool = True) -> File:
    """Write a bottleneck with a residual sum on 9x9 maps of 4 channels, pooling and a classifier.

    Parameters
    ----------
    kind : {"float32", "int8", "uint8"}
    activation : int
        Of the two ReLUs.
    fused : bool
        Whether the layers name their activation; else the output's grid alone makes it.
    """
    low = 0 if kind == "uint8" else -128
    act = activation if fused else 0
    net = File()
    window = {"StrideH": 1, "StrideW": 1, "Padding": SAME}
    plain = {"FusedActivationFunction": act}
    image = net.tensor(_map([1, 9, 9, 4], kind, 0.03, low + 120))
    net.inputs = [image]
    one = _weighted(net, image, weights([12, 1, 1, 4], kind, 0))
    top = 6 / 255 if activation == RELU6 else 0.05
    wide = net.call(
        "CONV_2D", ("Conv2DOptions", window | plain), one, _map([1, 9, 9, 12], kind, top, low)
    )
    two = _weighted(net, wide, weights([1, 3, 3, 12], kind, 3))
    options = ("DepthwiseConv2DOptions", window | plain | {"DepthMultiplier": 1})
    mid = net.call("DEPTHWISE_CONV_2D", options, two, _map([1, 9, 9, 12], kind, top, low))
    three = _weighted(net, mid, weights([4, 1, 1, 12], kind, 0))
    narrow = net.call(
        "CONV_2D", ("Conv2DOptions", window), three, _map([1, 9, 9, 4], kind, 0.11, low + 131)
    )
    joined = net.call(
        "ADD", ("AddOptions", {}), [image, narrow], _map([1, 9, 9, 4], kind, 0.12, low + 125)
    )
    pool = {"StrideH": 9, "StrideW": 9, "Padding": VALID, "FilterHeight": 9, "FilterWidth": 9}
    pooled = net.call(
        "AVERAGE_POOL_2D",
        ("Pool2DOptions", pool),
        [joined],
        _map([1, 1, 1, 4], kind, 0.12, low + 125),
    )
    shape = net.tensor(Spec(shape=[2], type="int32", data=np.array([1, 4], np.int32)))
    flat = net.call("RESHAPE", None, [pooled, shape], _map([1, 4], kind, 0.12, low + 125))
    last = weights([3, 4], kind, 0)
    if kind == "int8":
        last.scales = [0.007]
    four = _weighted(net, flat, last)
    options = ("FullyConnectedOptions", {})
    net.outputs = [net.call("FULLY_CONNECTED", options, four, _map([1, 3], kind, 0.06, low + 128))]
    return net
