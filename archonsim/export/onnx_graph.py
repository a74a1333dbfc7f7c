"""ONNX files as graphs, run by onnxruntime."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from archonsim.errors import WorkloadError
from archonsim.export.calls import Call, first_line
from archonsim.export.graph import Graph, Node, merge_clamps
from archonsim.export.nodes import make_node
from archonsim.export.onnx_arguments import arguments_of
from archonsim.export.onnx_prepare import Prepared, prepare, rounding_arguments
from archonsim.export.operators import operator, rounded_kind
from archonsim.trace.tensors import Floats

Array = NDArray[Any]
#: Operators that read nothing, or constants, and yet differ from run to run.
_RANDOM = ("RandomNormal", "RandomUniform", "Bernoulli", "Multinomial", "Dropout")
#: Inputs of operators that are parameters; those of others are parameters if they are constants of
#: more than one value.
_PARAMETERS = {
    "Conv": (1, 2), "ConvTranspose": (1, 2), "Gemm": (1, 2), "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2), "LayerNormalization": (1, 2), "PRelu": (1,),
}  # fmt: skip
_OPERANDS = ("MatMul", "Add", "Sub", "Mul", "Div")
#: Operators whose result follows from a shape alone.
_SHAPE_QUERIES = ("Shape", "Size")
#: Types no narrower than the maps'.
_EXACT = {np.dtype(np.float32), np.dtype(np.float64)}


class OnnxRunner:
    """Runs parts of an ONNX model in onnxruntime, its optimisations off.

    Each node is then computed as it stands.

    Parameters
    ----------
    model : onnx.ModelProto
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._made_by = {output: node for node in model.graph.node for output in node.output}
        self._constants = {one.name: one for one in model.graph.initializer}
        self._sessions: dict[
            tuple[frozenset[str], tuple[str, ...]], onnxruntime.InferenceSession
        ] = {}

    def evaluate(self, known: Mapping[str, Floats], wanted: Sequence[str]) -> dict[str, Floats]:
        """Return values by name; see :class:`~archonsim.export.graph.Runner`."""
        missing = [name for name in wanted if name not in known]
        found = {name: known[name] for name in wanted if name in known}
        if missing:
            feeds, session = self._session(frozenset(known), tuple(missing), known)
            found |= zip(
                missing, session.run(missing, {name: known[name] for name in feeds}), strict=True
            )
        return found

    def _session(
        self, known: frozenset[str], wanted: tuple[str, ...], values: Mapping[str, Floats]
    ) -> tuple[list[str], onnxruntime.InferenceSession]:
        nodes, feeds = self._needed(known, wanted)
        key = (frozenset(feeds), wanted)
        if key not in self._sessions:
            inputs = [
                helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, values[name].shape)
                for name in feeds
            ]
            outputs = [onnx.ValueInfoProto(name=name) for name in wanted]
            read = {name for node in nodes for name in _reads(node)}
            constants = [one for name, one in self._constants.items() if name in read]
            part = helper.make_model(
                helper.make_graph(nodes, "part", inputs, outputs, constants),
                opset_imports=self._model.opset_import,
            )
            part.ir_version = self._model.ir_version
            self._sessions[key] = open_session(part)
        return feeds, self._sessions[key]

    def _needed(
        self, known: frozenset[str], wanted: tuple[str, ...]
    ) -> tuple[list[onnx.NodeProto], list[str]]:
        """Return the nodes between known and wanted values, in order, and the values they read."""
        open_, seen, feeds = list(wanted), set[str](), dict[str, None]()
        while open_:
            name = open_.pop()
            if name in known:
                feeds[name] = None
            elif name in self._made_by and name not in seen:
                seen |= set(self._made_by[name].output)
                open_ += _reads(self._made_by[name])
        return [node for node in self._model.graph.node if seen.intersection(node.output)], sorted(
            feeds
        )


def _reads(node: onnx.NodeProto) -> list[str]:
    """Return the values that a node reads, itself and within its branches or loop bodies."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            inside = {one.name for one in (*body.input, *body.initializer)}
            inside |= {name for one in body.node for name in one.output}
            names += [name for one in body.node for name in _reads(one) if name not in inside]
            names += [one.name for one in body.output if one.name not in inside]
    return names


def open_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Return a session whose nodes are computed one by one, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # what goes wrong is our error's one line
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read an ONNX file and check it.

    Raises
    ------
    WorkloadError
        It is missing, truncated or no ONNX model, or one of its weights is not finite.
    """
    if not path.is_file():
        raise WorkloadError(f"{path}: no such file")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:
        raise WorkloadError(
            f"{path}: not a whole ONNX model ({first_line(error)}); export it again"
        ) from error
    constants = {one.name: one for one in model.graph.initializer}
    constants |= {
        node.output[0]: one.t
        for node in model.graph.node
        if node.op_type == "Constant"
        for one in node.attribute
    }
    for name, one in constants.items():
        try:
            value = numpy_helper.to_array(one) if one.data_type else np.zeros(0)
        except (ValueError, TypeError, KeyError) as error:
            raise WorkloadError(f"{path}: {name}: {first_line(error)}; export it again") from error
        # A single number may be a limit, or what pads a map before a maximum: infinity.
        if value.dtype.kind == "f" and value.size > 1 and not np.isfinite(value).all():
            place = tuple(int(axis[0]) for axis in np.nonzero(~np.isfinite(value)))
            raise WorkloadError(
                f"{path}: {name}: value at {place} is {value[place]}; all must be finite"
            )
    return model


def file_sha256(model: onnx.ModelProto, path: Path) -> str:
    """Return the digest of an ONNX file and of its external weight files."""
    digest = hashlib.sha256(path.read_bytes())
    beside = {
        one.name
        for one in onnx.load(path, load_external_data=False).graph.initializer
        if uses_external_data(one)
    }
    for one in model.graph.initializer:
        if one.name in beside:
            digest.update(one.raw_data)
    return digest.hexdigest()


def parameters(model: onnx.ModelProto) -> int:
    """Return how many parameters a model has: an ONNX file does not tell them from constants.

    Counted, each once, are the weights and biases of layers, gains and offsets of normalisations
    and slopes, and operands of sums and products of more than one value.
    """
    constants = {one.name: int(np.prod(one.dims)) for one in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = int(np.prod(node.attribute[0].t.dims))
        elif node.input and node.op_type in ("DequantizeLinear", "Identity", "Transpose", "Cast"):
            source = node.input[0]
            constants |= {node.output[0]: constants[source]} if source in constants else {}
    read = {
        name
        for node in model.graph.node
        for place, name in enumerate(node.input)
        if place in _PARAMETERS.get(node.op_type, ())
        or (node.op_type in _OPERANDS and constants.get(name, 0) > 1)
    }
    return sum(constants.get(name, 0) for name in read)


def input_size(model: onnx.ModelProto, path: Path) -> tuple[str, tuple[int | None, ...]]:
    """Return name and (N, C, H, W) of the model's one image; None for what it leaves open."""
    constants = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in constants]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        names = ", ".join(one.name for one in inputs)
        raise WorkloadError(
            f"{path}: inputs are {names or 'none'}; it must have one, of floats or 8-bit integers:"
            " the image"
        )
    size = tuple(
        one.dim_value if one.HasField("dim_value") else None
        for one in inputs[0].type.tensor_type.shape.dim
    )
    if len(size) != 4 or size[0] not in (1, None):
        raise WorkloadError(
            f"{path}: input {inputs[0].name} is {size}; it must be (1, C, H, W), batch open or not"
        )
    return inputs[0].name, size


def trace_onnx(
    model: onnx.ModelProto, path: Path, image: Floats, *, relu6_as_relu: bool = False
) -> tuple[Graph, OnnxRunner]:
    """Turn a model into a graph.

    Parameters
    ----------
    path : Path
        Named in errors.
    image : (1, C, H, W) float32
        Says the size of all maps.
    relu6_as_relu : bool
        Put a ReLU in the place of every ReLU6.

    Raises
    ------
    WorkloadError
        The model does not take the image, or it holds something that no workload can describe.
    """
    ready = prepare(model, path)
    model = ready.model
    name, size = input_size(model, path)
    if any(want not in (None, have) for want, have in zip(size, image.shape, strict=True)):
        wanted, found = (
            "x".join("?" if one is None else str(one) for one in shape[1:])
            for shape in (size, image.shape)
        )
        raise WorkloadError(f"{path}: takes images of {wanted}; these are {found}")
    graph = _Translation(model, name, _record(model, path, name, image), ready).graph()
    if relu6_as_relu:
        model = _without_relu6(model, merge_clamps(graph))
        graph = _Translation(model, name, _record(model, path, name, image), ready).graph()
    return graph, OnnxRunner(model)


def _record(model: onnx.ModelProto, path: Path, name: str, image: Floats) -> dict[str, Array]:
    """Run the model once; return every value."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    names = [output for node in model.graph.node for output in node.output if output]
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=one) for one in names)
    try:
        values = open_session(probe).run(names, {name: image})
    except Exception as error:
        found = "x".join(map(str, image.shape[1:]))
        raise WorkloadError(
            f"{path}: onnxruntime does not run it on images of {found}: {first_line(error)}"
        ) from error
    return dict(zip(names, values, strict=True)) | {name: image}


def _without_relu6(model: onnx.ModelProto, graph: Graph) -> onnx.ModelProto:
    clipped = {
        node.name: node.inputs[0]
        for node in graph.nodes
        if node.kind == "relu6" and not node.step  # 8 bits end where they do
    }
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for node in changed.graph.node:
        if node.output[0] in clipped:
            node.CopyFrom(
                helper.make_node(
                    "Relu", [clipped[node.output[0]]], list(node.output), name=node.name
                )
            )
    return changed


@dataclass(frozen=True, slots=True, eq=False)
class _Translation:
    """Turns the nodes of a model into ours, in order."""

    model: onnx.ModelProto
    image: str
    values: Mapping[str, Array]
    ready: Prepared

    def graph(self) -> Graph:
        """Return the graph, without constant nodes and nodes without floating-point numbers."""
        constants: dict[str, Array] = {
            one.name: numpy_helper.to_array(one) for one in self.model.graph.initializer
        }
        made = {
            self.image: Node(
                name=self.image,
                op="input",
                inputs=(),
                shape=self.values[self.image].shape,
                label=self.image,
            )
        }
        hidden: dict[str, tuple[str, ...]] = {}
        for node in self._used():
            reads = _reads(node)
            settled = node.op_type not in _RANDOM and all(one in constants for one in reads)
            behind = [source for one in reads for source in hidden.get(one, ())]
            sources = (*(one for one in reads if one in made), *behind)
            for output in node.output:
                value = self.values.get(output)
                if value is None:
                    continue
                if output in self.ready.roundings:
                    made[output] = make_node(self._rounded(output), made)
                elif output in self.ready.internal:
                    continue
                elif settled or node.op_type in _SHAPE_QUERIES:
                    constants[output] = value
                elif value.dtype in (np.float16, np.float32, np.float64):
                    call = self._call(node, output, sources, constants)
                    made[output] = make_node(replace(call, hidden=bool(behind)), made)
                else:
                    operator(node.op_type, node.name or output)  # it may multiply
                    hidden[output] = sources
        return Graph(tuple(made.values()), tuple(one.name for one in self.model.graph.output))

    def _rounded(self, output: str) -> Call:
        """Return an 8-bit grid's rounding: what it reads is the real value beside it."""
        found = self.ready.roundings[output]
        kind = rounded_kind((), (found.low, found.high), found.step)
        return Call(
            name=output,
            label=output.removesuffix(".real"),
            operator="requantise",
            inputs=(found.source,),
            shape=self.values[output].shape,
            arguments=rounding_arguments(found, kind),
        )

    def _used(self) -> list[onnx.NodeProto]:
        wanted, used = {one.name for one in self.model.graph.output}, []
        for node in reversed(self.model.graph.node):
            if wanted.intersection(node.output):
                used.append(node)
                wanted.update(_reads(node))
                wanted.update(
                    self.ready.roundings[one].source
                    for one in node.output
                    if one in self.ready.roundings
                )
        return used[::-1]

    def _call(
        self,
        node: onnx.NodeProto,
        output: str,
        sources: tuple[str, ...],
        constants: Mapping[str, Array],
    ) -> Call:
        label = node.name or output
        if (
            len(node.input) > 1
            and node.op_type in ("Conv", "Gemm", "MatMul")
            and node.input[1].endswith(".weight")
        ):
            label = node.input[1].removesuffix(".weight")
        operator = "add" if node.op_type == "Sum" else node.op_type
        value = self.values[output]
        arguments = arguments_of(node, [constants.get(one) for one in node.input], value.ndim)
        read = self.values[sources[0]] if len(sources) == 1 else None
        same = (
            read is not None and {value.dtype, read.dtype} <= _EXACT and value.shape == read.shape
        )
        return Call(
            name=output,
            label=label,
            operator=operator,
            inputs=sources,
            shape=value.shape,
            arguments=arguments,
            unchanged=same and read is not None and np.array_equal(value, read, equal_nan=True),
        )
