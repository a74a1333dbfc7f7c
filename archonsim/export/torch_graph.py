"""PyTorch modules as graphs.

Traced by torch.fx, or by torch.export where fx cannot follow the module's code.
"""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from archonsim.errors import WorkloadError
from archonsim.export.graph import Graph, Node
from archonsim.export.nodes import Call, first_line, make_node
from archonsim.export.operators import operator
from archonsim.export.torch_module import order_in_place, own_copy
from archonsim.trace.tensors import Floats

Shapes = dict[fx.Node, tuple[int, ...]]
Constants = dict[fx.Node, Tensor]


class TorchRunner:
    """Runs nodes of a traced module, the module's own operators on the module's own weights.

    Parameters
    ----------
    traced : torch.fx.GraphModule
    """

    def __init__(self, traced: fx.GraphModule) -> None:
        self._traced = traced
        self._nodes = {node.name: node for node in traced.graph.nodes}

    @torch.no_grad()
    def evaluate(self, known: Mapping[str, Floats], wanted: Sequence[str]) -> dict[str, Floats]:
        """Return values by name; see :class:`~archonsim.export.graph.Runner`."""
        interpreter = fx.Interpreter(self._traced)
        # Copies: an operator that works in place must change neither what the caller holds nor what
        # it asked for.
        interpreter.env = {
            self._nodes[name]: torch.from_numpy(value.copy()) for name, value in known.items()
        }
        nodes = [self._nodes[name] for name in wanted]
        needed = _needed(self._traced, nodes, {self._nodes[name] for name in known})
        found = {name: known[name] for name in wanted if name in known}
        last = {source: node for node in needed for source in node.all_input_nodes}
        for node in needed:
            value = interpreter.env[node] = interpreter.run_node(node)
            if node.name in wanted:
                found[node.name] = value.float().numpy().copy()
            for source in node.all_input_nodes:
                if last[source] is node:
                    del interpreter.env[source]
        return found


def _needed(
    traced: fx.GraphModule, wanted: Sequence[fx.Node], known: Set[fx.Node] = frozenset()
) -> list[fx.Node]:
    """Return the nodes between known and wanted ones, the latter included, in order."""
    open_, seen = list(wanted), set[fx.Node]()
    while open_:
        node = open_.pop()
        if node not in seen and node not in known:
            seen.add(node)
            open_ += node.all_input_nodes
    return [node for node in traced.graph.nodes if node in seen]


def trace_module(
    module: nn.Module, image: Floats, *, relu6_as_relu: bool = False
) -> tuple[Graph, TorchRunner, str]:
    """Trace a module in evaluation mode.

    Parameters
    ----------
    module : nn.Module
        Left as it is; float32.
    image : (1, C, H, W) float32
        Says the size of all maps.
    relu6_as_relu : bool
        Put a ReLU in the place of every ReLU6.

    Returns
    -------
    graph, runner, tracer : Graph, TorchRunner, str
        `tracer` says which one could follow the module.

    Raises
    ------
    WorkloadError
        No tracer can, the module does not take the image, or it holds something that no workload
        can describe.
    """
    module = own_copy(module)
    _check_takes(module, image)
    traced, tracer = _trace(module, torch.from_numpy(image))
    order_in_place(traced, torch.from_numpy(image))
    graph = _Translation(traced, *_record(traced, torch.from_numpy(image))).graph()
    if relu6_as_relu:
        _replace_relu6(traced, graph)
        graph = _Translation(traced, *_record(traced, torch.from_numpy(image))).graph()
    return graph, TorchRunner(traced), tracer


def _size(image: Floats) -> str:
    return "x".join(map(str, image.shape[1:]))


@torch.no_grad()
def _check_takes(module: nn.Module, image: Floats) -> None:
    try:
        module(torch.from_numpy(image.copy()))
    except Exception as error:
        raise WorkloadError(
            f"{type(module).__name__} does not take images of {_size(image)}: {first_line(error)}"
        ) from error


def _trace(module: nn.Module, image: Tensor) -> tuple[fx.GraphModule, str]:
    try:
        return fx.symbolic_trace(module), "torch.fx"
    except Exception as failure:
        try:
            with contextlib.redirect_stderr(
                io.StringIO()
            ):  # what goes wrong is our error's one line
                traced = torch.export.export(module, (image,), strict=False).module()
        except Exception as error:
            raise WorkloadError(
                f"{type(module).__name__}: cannot be traced; torch.fx: {first_line(failure)};"
                f" torch.export: {first_line(error)}"
            ) from error
        assert isinstance(traced, fx.GraphModule)
        return traced, "torch.export"


@torch.no_grad()
def _record(traced: fx.GraphModule, image: Tensor) -> tuple[Shapes, Constants]:
    """Run the traced module once.

    Return the shapes of all values that are tensors, and those that no image changes.
    """
    shapes: Shapes = {}
    constants: Constants = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, Tensor):
                shapes[n] = tuple(value.shape)
                settled = (
                    all(source in constants for source in n.all_input_nodes)
                    or _operator_name(n) in _SHAPE_ONLY
                )
                if n.op != "placeholder" and settled:
                    constants[n] = value
            return value

    Recorder(traced).run(image.clone())
    return shapes, constants


def _replace_relu6(traced: fx.GraphModule, graph: Graph) -> None:
    clipped = {node.name for node in graph.nodes if node.kind == "relu6"}
    for node in list(traced.graph.nodes):
        if node.name in clipped:
            with traced.graph.inserting_before(node):
                node.replace_all_uses_with(
                    traced.graph.call_function(torch.relu, (node.all_input_nodes[0],))
                )
            traced.graph.erase_node(node)
    traced.recompile()


#: Attributes of modules that are arguments of their operators.
_ATTRIBUTES: Final = (
    "weight", "bias", "stride", "padding", "dilation", "groups", "padding_mode", "running_mean",
    "running_var", "eps", "kernel_size", "value", "min_val", "max_val",
)  # fmt: skip
#: Operators whose result depends on no value of what they read.
_SHAPE_ONLY: Final = ("ones_like", "zeros_like", "full_like")
#: Other names of the arguments that :mod:`archonsim.export.nodes` reads.
_RENAMED: Final = {"min_val": "min", "max_val": "max", "pad": "padding"}


def _parameter_names(node: fx.Node) -> list[str]:
    """Return the names of the positional arguments of a function or method."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return [argument.name for argument in target._schema.arguments]
    if not isinstance(target, str):
        try:
            parameters = inspect.signature(target).parameters.values()
            if all(one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters):
                return [one.name for one in parameters]
        except (TypeError, ValueError):
            pass
    packet = getattr(torch.ops.aten, _operator_name(node).rstrip("_"), None)
    if packet is None:
        return ["self", "other"]
    return [argument.name for argument in getattr(packet, packet.overloads()[0])._schema.arguments]


def _operator_name(node: fx.Node, module: nn.Module | None = None) -> str:
    if module is not None:
        return type_before_parametrizations(module).__name__
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target._schema.name.split("::")[1]
    return node.target if isinstance(node.target, str) else node.target.__name__


@dataclass(frozen=True, slots=True, eq=False)
class _Translation:
    """Turns the nodes of a traced module into ours, in order."""

    traced: fx.GraphModule
    shapes: Mapping[fx.Node, tuple[int, ...]]
    constants: Mapping[fx.Node, Tensor]

    def graph(self) -> Graph:
        """Return the graph, without nodes that compute no tensor, a constant or an unused value."""
        image = next(node for node in self.traced.graph.nodes if node.op == "placeholder")
        output = self.traced.graph.output_node()
        made = {
            image.name: Node(
                name=image.name, op="input", inputs=(), shape=self.shapes[image], label=image.name
            )
        }
        results = [node for node in output.all_input_nodes if node in self.shapes]
        for node in _needed(self.traced, results, {image}):
            if node in self.shapes and node not in self.constants:
                made[node.name] = make_node(self.call(node), made)
        return Graph(tuple(made.values()), self._sources(output))

    def call(self, node: fx.Node) -> Call:
        """Return a node as a call with PyTorch's names of its arguments."""
        module = self._module(node)
        arguments = self._arguments(node) if module is None else _module_arguments(module)
        return Call(
            name=node.name,
            label=self._label(node),
            operator=_operator_name(node, module),
            inputs=self._sources(node),
            shape=self.shapes[node],
            arguments=arguments,
        )

    def _label(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return str(node.target)
        for source in node.all_input_nodes:
            if source.op == "get_attr" and str(source.target).endswith(".weight"):
                return str(source.target).removesuffix(".weight")
        return node.name

    def _sources(self, node: fx.Node) -> tuple[str, ...]:
        """Return the computed tensors that a node reads, through tuples of them."""
        names: list[str] = []
        for source in node.all_input_nodes:
            if source in self.shapes:
                names += [] if source in self.constants else [source.name]
            elif source.op != "get_attr" and "getitem" in _operator_name(node):
                self._check_splits(source)
                names += self._sources(source)
        if (
            node.op != "output"
            and len(node.all_input_nodes) == 1
            and len(node.args) == 2
            and node.args[0] is node.args[1]
        ):
            names *= 2  # x + x
        return tuple(names)

    def _check_splits(self, node: fx.Node) -> None:
        """Refuse what makes a tuple by anything but splitting: it may multiply."""
        name = _operator_name(node, self._module(node))
        if operator(name, self._label(node)) != "split":
            raise WorkloadError(
                f"{self._label(node)}: {name} is not supported here: it makes several values"
            )

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.traced.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _arguments(self, node: fx.Node) -> dict[str, Any]:
        given = dict(zip(_parameter_names(node), node.args, strict=False)) | node.kwargs
        if (
            len(node.args) == 2
            and node.args[1] in self.shapes
            and node.args[1] not in self.constants
        ):
            given = node.kwargs | {"other": node.args[0], "constant_first": True}
        known = {name: self._value(value) for name, value in given.items()}
        return _renamed(
            {name: value for name, value in known.items() if not isinstance(value, fx.Node)}
        )

    def _value(self, value: Any) -> Any:
        return (
            _plain(self.constants[value])
            if isinstance(value, fx.Node) and value in self.constants
            else value
        )


def _plain(value: Any) -> Any:
    return value.detach().numpy().copy() if isinstance(value, Tensor) else value


def _module_arguments(module: nn.Module) -> dict[str, Any]:
    found = {name: _plain(getattr(module, name)) for name in _ATTRIBUTES if hasattr(module, name)}
    return _renamed(
        found | {"pad": found["padding"]} if isinstance(module, nn.ZeroPad2d) else found
    )


def _renamed(arguments: dict[str, Any]) -> dict[str, Any]:
    """Translate names and padding: torch pads (left, right, top, bottom).

    Ours is (top, bottom, left, right).
    """
    if "pad" in arguments:
        left, right, top, bottom = (*arguments["pad"], 0, 0, 0, 0)[:4]
        arguments = arguments | {"pad": (top, bottom, left, right)}
    return {_RENAMED.get(name, name): value for name, value in arguments.items()}
