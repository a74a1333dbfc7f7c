"""What one run of a traced module shows: shapes, what no image changes, what changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from archonsim.export.operators import OPERATORS, plain

#: Operators whose result depends on no value of what they read.
_SHAPE_ONLY: Final = ("ones_like", "zeros_like", "full_like")
#: Operators whose result says something of a tensor's shape or type, and nothing of its values.
_SHAPE_QUERIES: Final = ("size", "dim", "ndimension", "numel", "getattr", "len", "nelement")


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What one run of a traced module shows.

    Attributes
    ----------
    shapes : dict of node to tuple of int
        Of all values that are tensors.
    constants : dict of node to Tensor
        Values that no image changes.
    settled : dict of node to object
        Numbers and tuples of them that follow from shapes alone.
    splits : set of node
        Those that make several tensors at once.
    unchanged : set of node
        Those that passed on the one tensor that they read, to the bit.
    """

    shapes: dict[fx.Node, tuple[int, ...]] = field(default_factory=dict)
    constants: dict[fx.Node, Tensor] = field(default_factory=dict)
    settled: dict[fx.Node, object] = field(default_factory=dict)
    splits: set[fx.Node] = field(default_factory=set)
    unchanged: set[fx.Node] = field(default_factory=set)


def operator_name(node: fx.Node, module: nn.Module | None = None) -> str:
    """Return what a node, or the module that it calls, is called as."""
    if module is not None:
        return type_before_parametrizations(module).__name__
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target._schema.name.split("::")[1]
    return node.target if isinstance(node.target, str) else node.target.__name__


class _Recorder(fx.Interpreter):
    """Runs a module and writes down what its values are."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.found = Record()

    def run_node(self, n: fx.Node) -> Any:
        found, sources = self.found, n.all_input_nodes
        tensors = [self.env[one] for one in sources if isinstance(self.env.get(one), Tensor)]
        module = self.submodules.get(str(n.target)) if n.op == "call_module" else None
        name = operator_name(n, module)
        before = tensors[0].clone() if len(tensors) == 1 and _may_pass(name) else None
        value = super().run_node(n)
        if isinstance(value, Tensor):
            found.shapes[n] = tuple(value.shape)
            settled = all(one in found.constants or one in found.settled for one in sources)
            if n.op != "placeholder" and (settled or name in _SHAPE_ONLY):
                found.constants[n] = value
            if before is not None and value.dtype in (torch.float32, torch.float64):
                same = before.dtype in (torch.float32, torch.float64) and torch.equal(
                    before.double(), value.double()
                )
                found.unchanged.update({n} if same else ())
        elif isinstance(value, tuple | list) and any(isinstance(one, Tensor) for one in value):
            found.splits.add(n)
        elif name in _SHAPE_QUERIES or all(
            one in found.constants or one in found.settled for one in sources
        ):
            found.settled[n] = value
        return value


def _may_pass(name: str) -> bool:
    return OPERATORS.get(plain(name)) in ("pass", "activation")


@torch.no_grad()
def record_run(traced: fx.GraphModule, image: Tensor) -> Record:
    """Run the traced module twice: what differs is random, and neither constant nor unchanged."""
    traced_submodules = dict(traced.named_modules())
    runs = []
    for _ in range(2):
        recorder = _Recorder(traced)
        recorder.submodules = traced_submodules
        recorder.run(image.clone())
        runs.append(recorder.found)
    first, second = runs
    steady = {
        node: value
        for node, value in first.constants.items()
        if node in second.constants and torch.equal(value, second.constants[node])
    }
    return replace(first, constants=steady, unchanged=first.unchanged & second.unchanged)
