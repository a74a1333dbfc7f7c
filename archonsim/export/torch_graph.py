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
from archonsim.export.calls import Call, first_line
from archonsim.export.graph import Graph, Node, merge_clamps
from archonsim.export.nodes import make_node
from archonsim.export.operators import operator
from archonsim.export.torch_module import order_in_place, own_copy
from archonsim.export.torch_record import Record, operator_name, record_run
from archonsim.trace.tensors import Floats


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
    _check_same(module, traced, torch.from_numpy(image))
    order_in_place(traced, torch.from_numpy(image))
    graph = _Translation(traced, record_run(traced, torch.from_numpy(image))).graph()
    if relu6_as_relu:
        _replace_relu6(traced, merge_clamps(graph))
        graph = _Translation(traced, record_run(traced, torch.from_numpy(image))).graph()
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


@torch.no_grad()
def _check_same(module: nn.Module, traced: fx.GraphModule, image: Tensor) -> None:
    """Refuse what tracing made another network of: random numbers, or choices, that it fixed.

    Both are run twice. A traced network that is as random as its module is none the worse for it.
    """
    own, ours = ([_outputs(one(image.clone())) for _ in range(2)] for one in (module, traced))
    random = not _equal(own[0], own[1])
    if random and _equal(ours[0], ours[1]):
        raise WorkloadError(
            f"{type(module).__name__}: does not compute the same twice, and tracing fixed what"
            " changes (random numbers, say); export it without that"
        )
    if not random and not _equal(own[1], ours[1]):
        raise WorkloadError(
            f"{type(module).__name__}: the traced network makes other values than the module: its"
            " code decides by something else than the image's size"
        )


def _outputs(made: Any) -> list[Tensor]:
    return [one for one in torch.utils._pytree.tree_leaves(made) if isinstance(one, Tensor)]


def _equal(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Whether values agree but for rounding: a tracer may write an operator as several."""
    return len(ours) == len(theirs) and all(
        one.shape == other.shape
        and torch.allclose(one.double(), other.double(), 0, 1e-4 * _largest(one), equal_nan=True)
        for one, other in zip(ours, theirs, strict=True)
    )


def _largest(x: Tensor) -> float:
    return float(x.double().abs().nan_to_num(0.0, 0.0, 0.0).max()) if x.numel() else 0.0


def _trace(module: nn.Module, image: Tensor) -> tuple[fx.GraphModule, str]:
    try:
        # torch.fx takes this one as a whole, with the linear layers that it holds.
        if any(isinstance(one, nn.MultiheadAttention) for one in module.modules()):
            raise TypeError("torch.nn.MultiheadAttention is not opened")
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


def _replace_relu6(traced: fx.GraphModule, graph: Graph) -> None:
    clipped = {node.name: node.inputs[0] for node in graph.nodes if node.kind == "relu6"}
    named = {node.name: node for node in traced.graph.nodes}
    for node in list(traced.graph.nodes):
        if node.name in clipped:
            with traced.graph.inserting_before(node):
                source = named[clipped[node.name]]
                node.replace_all_uses_with(traced.graph.call_function(torch.relu, (source,)))
            traced.graph.erase_node(node)
    traced.recompile()


#: Attributes of modules that are arguments of their operators.
_ATTRIBUTES: Final = (
    "weight", "bias", "stride", "padding", "dilation", "groups", "padding_mode", "running_mean",
    "running_var", "eps", "kernel_size", "value", "min_val", "max_val", "training", "p",
    "divisor_override", "negative_slope", "threshold",
)  # fmt: skip
#: Other names of the arguments that :mod:`archonsim.export.nodes` reads.
_RENAMED: Final = {"min_val": "min", "max_val": "max"}


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
    packet = getattr(torch.ops.aten, operator_name(node).rstrip("_"), None)
    if packet is None:
        return ["self", "other"]
    schemas = [getattr(packet, one)._schema.arguments for one in packet.overloads()]
    by_place = [[one.name for one in given if not one.kwarg_only] for given in schemas]
    return next((names for names in by_place if len(names) >= len(node.args)), by_place[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Translation:
    """Turns the nodes of a traced module into ours, in order."""

    traced: fx.GraphModule
    record: Record

    @property
    def shapes(self) -> Mapping[fx.Node, tuple[int, ...]]:
        """Shapes of all tensors."""
        return self.record.shapes

    @property
    def constants(self) -> Mapping[fx.Node, Tensor]:
        """Tensors that no image changes."""
        return self.record.constants

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
        if module is None:
            arguments = self._arguments(node)
        else:
            _check_is_plain(module, self._label(node))
            arguments = _module_arguments(module)
        return Call(
            name=node.name,
            label=self._label(node),
            operator=operator_name(node, module),
            inputs=self._sources(node),
            shape=self.shapes[node],
            arguments=arguments,
            unchanged=node in self.record.unchanged,
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
        for source in _operands(node):
            if source in self.shapes:
                names += [] if source in self.constants else [source.name]
            elif source in self.record.splits:
                self._check_splits(source)
                names += self._sources(source)
        return tuple(names)

    def _check_splits(self, node: fx.Node) -> None:
        """Refuse what makes a tuple by anything but splitting: it may multiply."""
        name = operator_name(node, self._module(node))
        if operator(name, self._label(node)) != "split":
            raise WorkloadError(
                f"{self._label(node)}: {name} is not supported here: it makes several values"
            )

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.traced.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _arguments(self, node: fx.Node) -> dict[str, Any]:
        given = dict(zip(_parameter_names(node), node.args, strict=False)) | node.kwargs
        computed = [isinstance(one, fx.Node) and self._is_computed(one) for one in node.args]
        if len(computed) == 2 and computed[1]:
            given = node.kwargs | {"other": node.args[0], "constant_first": True}
        if node.op == "call_function" and "dropout" in operator_name(node):
            given = {"training": True} | given  # as torch.nn.functional has it
        known = {name: self._value(value) for name, value in given.items()}
        return _renamed({name: value for name, value in known.items() if value is not _COMPUTED})

    def _is_computed(self, node: fx.Node) -> bool:
        return node in self.shapes and node not in self.constants

    def _value(self, value: Any) -> Any:
        """Return an argument as a constant, or what says that it depends on the image."""
        unknown = [
            one
            for one in _nodes_in(value)
            if one not in self.constants and one not in self.record.settled
        ]
        if unknown:
            return _COMPUTED
        return fx.node.map_arg(value, self._known)

    def _known(self, node: fx.Node) -> Any:
        return _plain(self.constants[node]) if node in self.constants else self.record.settled[node]


#: Stands for an argument that depends on the image.
_COMPUTED: Final = object()


def _nodes_in(value: Any) -> list[fx.Node]:
    """Return the nodes in an argument, in order, as often as they stand there."""
    found: list[fx.Node] = []
    fx.node.map_arg(value, lambda one: found.append(one) or one)  # type: ignore[func-returns-value]
    return found


def _operands(node: fx.Node) -> list[fx.Node]:
    return _nodes_in((node.args, node.kwargs))


def _check_is_plain(module: nn.Module, label: str) -> None:
    """Refuse a module that is called as one of torch.nn's, and is none: a quantised one, say."""
    kind = type_before_parametrizations(module)
    if not kind.__module__.startswith("torch.nn.modules."):
        raise WorkloadError(
            f"{label}: {kind.__module__}.{kind.__name__} is not supported; modules of torch.nn are"
        )


def _plain(value: Any) -> Any:
    return value.detach().numpy().copy() if isinstance(value, Tensor) else value


def _module_arguments(module: nn.Module) -> dict[str, Any]:
    found = {name: _plain(getattr(module, name)) for name in _ATTRIBUTES if hasattr(module, name)}
    pads = isinstance(module, nn.ConstantPad2d | nn.ZeroPad2d)
    return _renamed(found | {"pad": found["padding"]} if pads else found)


def _renamed(arguments: dict[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(name, name): value for name, value in arguments.items()}
