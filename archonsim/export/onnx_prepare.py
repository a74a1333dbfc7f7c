"""ONNX models made ready: images of any type and layout, 16-bit floats widened, 8-bit layers real.

What an 8-bit operator reads and makes becomes real numbers: it is given what its input rounds to
and its output's integers are put back, so that each node still computes what it did. Beside it
stands the same operator on real numbers, which tells what is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from archonsim.errors import WorkloadError

Array = NDArray[Any]
#: Operators that move integers and change none.
_MOVES: Final = (
    "MaxPool", "Split", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity",
    "Concat", "Slice",
)  # fmt: skip
#: Operators of 8 bits: the real one, and the places of what it reads (value, scale, zero point).
_QUANTISED: Final = {
    "QLinearConv": ("Conv", (0, 3), 6),
    "QLinearMatMul": ("MatMul", (0, 3), 6),
    "QLinearAdd": ("Add", (0, 3), 6),
    "QLinearMul": ("Mul", (0, 3), 6),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,), 3),
}
_WHOLE: Final = (TensorProto.UINT8, TensorProto.INT8)
#: What an image goes through before it is brought into our layout.
_BEFORE: Final = ("Cast", "Sub", "Add", "Mul", "Div", "Identity", "DequantizeLinear")


@dataclass(frozen=True, slots=True)
class Rounding:
    """What a value of an 8-bit network rounds.

    Attributes
    ----------
    source : str
        The real value.
    low, high, step : float
        Ends and step of the grid.
    """

    source: str
    low: float
    high: float
    step: float


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A model of real values.

    Attributes
    ----------
    model : onnx.ModelProto
    roundings : dict of value to Rounding
    internal : set of str
        Integers between real values, which no graph shows.
    """

    model: onnx.ModelProto
    roundings: dict[str, Rounding] = field(default_factory=dict)
    internal: set[str] = field(default_factory=set)


def prepare(model: onnx.ModelProto, path: Path) -> Prepared:
    """Return a model that takes one image (1, C, H, W) of float32 and has real values.

    Parameters
    ----------
    path : Path
        Named in errors.

    Raises
    ------
    WorkloadError
        The scale of an 8-bit value is not constant.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    _leave_open(changed)
    _widen(changed)
    _take_floats(changed)
    return _Rewriting(changed, path).prepared()


def _leave_open(model: onnx.ModelProto) -> None:
    """Leave batch, height and width open where the input is a batch of several images.

    Such a shape is that of the example that the model was exported with, and says nothing of the
    images that it takes; where it is written into the model, too (a constant shape of a Reshape),
    onnxruntime refuses to run it.
    """
    constants = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in constants]
    dims = inputs[0].type.tensor_type.shape.dim if len(inputs) == 1 else []
    if len(dims) != 4 or dims[0].dim_value < 2:
        return
    for place, name in ((0, "n"), (2, "h"), (3, "w")):
        dims[place].dim_param = name  # of the two, a dimension has one
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]


def _widen(model: onnx.ModelProto) -> None:
    """Make all 16-bit floats of a model that takes such 32-bit ones."""
    graph = model.graph
    if all(one.type.tensor_type.elem_type != TensorProto.FLOAT16 for one in graph.input):
        return
    for one in graph.initializer:
        if one.data_type == TensorProto.FLOAT16:
            one.CopyFrom(_floats(one))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
            if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT16:
                attribute.t.CopyFrom(_floats(attribute.t))
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del graph.value_info[:]


def _floats(tensor: onnx.TensorProto) -> onnx.TensorProto:
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)


def _take_floats(model: onnx.ModelProto) -> None:
    """Put before the model what makes of an image (1, C, H, W) float32 the one that it takes."""
    constants = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in constants]
    if len(inputs) != 1:
        return
    (given,) = inputs
    name, kind = given.name, given.type.tensor_type.elem_type
    dims = given.type.tensor_type.shape.dim
    last = len(dims) == 4 and _channels_last(model, name)
    whole = kind in _WHOLE
    if not (last or whole):
        return
    made, nodes = f"{name}.image", list[onnx.NodeProto]()
    at = made
    if last:
        nodes.append(helper.make_node("Transpose", [at], [f"{at}.nhwc"], perm=[0, 2, 3, 1]))
        at = f"{at}.nhwc"
    if whole:
        limits = np.iinfo(np.uint8 if kind == TensorProto.UINT8 else np.int8)
        for end in ("min", "max"):
            value = np.array(getattr(limits, end), np.float32)
            model.graph.initializer.append(numpy_helper.from_array(value, f"{made}.{end}"))
        nodes += [
            helper.make_node("Round", [at], [f"{at}.round"]),
            helper.make_node("Clip", [f"{at}.round", f"{made}.min", f"{made}.max"], [f"{at}.clip"]),
            helper.make_node("Cast", [f"{at}.clip"], [f"{at}.cast"], to=kind),
        ]
        at = f"{at}.cast"
    nodes[-1].output[0] = name
    sizes = [one.dim_value if one.HasField("dim_value") else (one.dim_param or "n") for one in dims]
    sizes = [sizes[axis] for axis in (0, 3, 1, 2)] if last else sizes
    given.CopyFrom(helper.make_tensor_value_info(made, TensorProto.FLOAT, sizes))
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])


def _channels_last(model: onnx.ModelProto, name: str) -> bool:
    """Whether the image is (N, H, W, C): the first thing that is done is to put channels first."""
    for node in model.graph.node:
        if name in node.input:
            if node.op_type == "Transpose":
                order = [list(one.ints) for one in node.attribute if one.name == "perm"]
                return order == [[0, 3, 1, 2]]
            if node.op_type not in _BEFORE:
                return False
            name = node.output[0]
    return False


class _Rewriting:
    """Rewrites the nodes of a model, in order."""

    def __init__(self, model: onnx.ModelProto, path: Path) -> None:
        self._path = path
        self._made = Prepared(model)
        self._constants: dict[str, Array] = {
            one.name: numpy_helper.to_array(one) for one in model.graph.initializer
        }
        for node in model.graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self._nodes: list[onnx.NodeProto] = []
        #: Real values of 8-bit ones, and the grid of each: scale, zero point.
        self._real: dict[str, str] = {}
        self._grids: dict[str, tuple[str, str]] = {}
        self._new: list[onnx.TensorProto] = []

    def prepared(self) -> Prepared:
        """Return the model of real values."""
        graph = self._made.model.graph
        if not any(node.op_type in ("QuantizeLinear", *_QUANTISED) for node in graph.node):
            return self._made
        for node in graph.node:
            self._rewrite(node)
        del graph.node[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend(self._new)
        del graph.value_info[:]
        for one in graph.output:
            if one.name in self._real:
                one.CopyFrom(onnx.ValueInfoProto(name=self._real[one.name]))
        return self._made

    def _rewrite(self, node: onnx.NodeProto) -> None:
        if node.op_type == "QuantizeLinear" and node.input[0] not in self._constants:
            self._nodes.append(node)
            scale, zero = self._grid_of(node, 1)
            self._restore(node.output[0], node.input[0], scale, zero)
        elif node.op_type == "DequantizeLinear" and node.input[0] in self._real:
            real = self._real[node.input[0]]
            self._nodes.append(helper.make_node("Identity", [real], list(node.output)))
        elif node.op_type in _QUANTISED and all(
            one in self._real or one in self._constants for one in self._values(node)
        ):
            self._quantised(node)
        elif node.input and node.input[0] in self._real:
            self._moved(node)
        else:
            self._nodes.append(node)

    def _values(self, node: onnx.NodeProto) -> list[str]:
        return [node.input[place] for place in _QUANTISED[node.op_type][1]]

    def _grid_of(self, node: onnx.NodeProto, place: int) -> tuple[str, str]:
        """Return the names of a scale and a zero point, both constant single numbers."""
        scale = node.input[place]
        zero = node.input[place + 1] if len(node.input) > place + 1 else ""
        if not zero:
            zero = "archonsim.zero"
            if zero not in self._constants:
                self._constants[zero] = np.array(0, np.uint8)
                self._new.append(numpy_helper.from_array(self._constants[zero], zero))
        for name in (scale, zero):
            if name not in self._constants or self._constants[name].size != 1:
                raise WorkloadError(
                    f"{self._path}: {node.name or node.output[0]}: {node.op_type} is not supported"
                    f" here: {name} must be one constant number"
                )
        return scale, zero

    def _restore(self, name: str, source: str, scale: str, zero: str) -> None:
        """Append what makes real values of integers, and note what they round."""
        real = f"{name}.real"
        self._nodes.append(helper.make_node("DequantizeLinear", [name, scale, zero], [real]))
        self._real[name], self._grids[name] = real, (scale, zero)
        self._made.internal.add(name)
        step = float(self._constants[scale].reshape(-1)[0])
        point = self._constants[zero].reshape(-1)[0]
        limits = np.iinfo(point.dtype)
        low, high = (step * (end - int(point)) for end in (int(limits.min), int(limits.max)))
        self._made.roundings[real] = Rounding(source, low, high, step)

    def _quantised(self, node: onnx.NodeProto) -> None:
        """Keep an operator of 8 bits between real values, and its real twin beside it."""
        kind, places, end = _QUANTISED[node.op_type]
        out, reads = node.output[0], list[str]()
        inputs = list(node.input)
        for place in places:
            name = node.input[place]
            if name in self._constants:
                reads.append(self._constant(node, place))
                inputs[place], inputs[place + 2] = self._unsigned(node, place)
                continue
            reads.append(self._real[name])
            whole = f"{out}.in{place}"
            scale, zero = self._grid_of(node, place + 1)
            self._nodes.append(
                helper.make_node("QuantizeLinear", [self._real[name], scale, zero], [whole])
            )
            self._made.internal.add(whole)
            inputs[place] = whole
        if kind == "Conv" and len(node.input) > 8 and node.input[8]:
            reads.append(self._bias(node))
        attributes = [one for one in node.attribute if one.name != "channels_last"]
        twin = helper.make_node(kind, reads, [f"{out}.sum"], name=node.name)
        twin.attribute.extend(attributes)
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        del copy.input[:]
        copy.input.extend(inputs)
        copy.name = f"{out}.integers"
        self._nodes += [twin, copy]
        self._restore(out, f"{out}.sum", *self._grid_of(node, end))

    def _constant(self, node: onnx.NodeProto, place: int) -> str:
        """Return the name of a constant's real values; weights have a scale for each channel."""
        whole, scale, zero = (self._constants[name] for name in node.input[place : place + 3])
        shape = [1] * whole.ndim
        if scale.size > 1:
            shape[0 if node.op_type == "QLinearConv" else -1] = -1
        steps = whole.astype(np.int64) - zero.astype(np.int64).reshape(
            shape if zero.size > 1 else ()
        )
        real = (steps * scale.astype(np.float64).reshape(shape if scale.size > 1 else ())).astype(
            np.float32
        )
        return self._stored(node.input[place], real)

    def _unsigned(self, node: onnx.NodeProto, place: int) -> tuple[str, str]:
        """Return a constant and its zero point with 128 added to int8 weights.

        The products are the same; but of uint8 and int8, onnxruntime adds pairs in 16 bits on
        processors without VNNI, and they overflow.
        """
        name, zero = node.input[place], node.input[place + 2]
        if self._constants[name].dtype != np.int8 or not node.op_type.startswith(
            ("QLinearConv", "QLinearMatMul")
        ):
            return name, zero
        for one in (name, zero):
            if f"{one}.unsigned" not in self._constants:
                moved = (self._constants[one].astype(np.int16) + 128).astype(np.uint8)
                self._constants[f"{one}.unsigned"] = moved
                self._new.append(numpy_helper.from_array(moved, f"{one}.unsigned"))
        return f"{name}.unsigned", f"{zero}.unsigned"

    def _bias(self, node: onnx.NodeProto) -> str:
        bias, x, w = (self._constants[node.input[place]] for place in (8, 1, 4))
        real = bias.astype(np.float64) * x.astype(np.float64).reshape(-1) * w.reshape(-1)
        return self._stored(node.input[8], real.astype(np.float32))

    def _stored(self, name: str, value: Array) -> str:
        name = f"{name}.real"
        if name not in self._constants:
            self._constants[name] = value
            self._new.append(numpy_helper.from_array(value, name))
        return name

    def _moved(self, node: onnx.NodeProto) -> None:
        """Let an operator that moves integers move real values."""
        grids = {self._grids[one] for one in node.input if one in self._grids}
        numbers = {
            (
                float(self._constants[scale].reshape(-1)[0]),
                int(self._constants[zero].reshape(-1)[0]),
            )
            for scale, zero in grids
        }
        if node.op_type not in _MOVES or len(numbers) != 1:
            raise WorkloadError(
                f"{self._path}: {node.name or node.output[0]}: {node.op_type} of 8-bit integers is"
                " not supported"
            )
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for place, one in enumerate(node.input):
            copy.input[place] = self._real.get(one, one)
        for place, one in enumerate(node.output):
            copy.output[place] = self._real[one] = f"{one}.real"
            self._grids[one] = next(iter(grids))
        self._nodes.append(copy)


def rounding_arguments(rounding: Rounding, kind: str) -> Mapping[str, Any]:
    """Return the arguments of a rounding for :mod:`archonsim.export.nodes`."""
    return {"kind": kind, "min": rounding.low, "max": rounding.high, "step": rounding.step}
