"""A user's PyTorch module made fit for tracing.

Copied, checked, and free of operators that change what others still read.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from archonsim.errors import WorkloadError


def own_copy(module: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode.

    Raises
    ------
    WorkloadError
        It cannot be copied, or a weight is not there yet, not float32 or not finite.
    """
    # Weights that a hook computes (torch.nn.utils.prune, weight_norm) are results of operators,
    # which deepcopy refuses.
    computed = [
        one
        for part in module.modules()
        for one in vars(part).values()
        if isinstance(one, Tensor) and not one.is_leaf
    ]
    try:
        copied = copy.deepcopy(module, {id(one): one.detach().clone() for one in computed}).eval()
    except Exception as error:
        raise WorkloadError(
            f"{type(module).__name__}: cannot be copied: {' '.join(str(error).split())}"
        ) from error
    _check_weights(copied)
    return copied


def _check_weights(module: nn.Module) -> None:
    for name, tensor in module.state_dict().items():
        if is_lazy(tensor):
            raise WorkloadError(
                f"{name}: has no values yet; run the module on an image once before it is exported"
            )
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            continue
        if tensor.dtype != torch.float32:
            raise WorkloadError(
                f"{name}: is {str(tensor.dtype).removeprefix('torch.')}; the exporter runs float32"
                " modules (call .float() first)"
            )
        if not tensor.isfinite().all():
            place = tuple(int(axis) for axis in (~tensor.isfinite()).nonzero()[0])
            raise WorkloadError(
                f"{name}: value at {place} is {float(tensor[place])}; all must be finite"
            )


class _InPlace(fx.Interpreter):
    """Finds nodes that change a value in place, and who reads that value's memory after them."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self._order = {node: place for place, node in enumerate(traced.graph.nodes)}
        self.changes: list[tuple[fx.Node, fx.Node]] = []

    def run_node(self, n: fx.Node) -> Any:
        sources = {
            one: self.env[one] for one in n.all_input_nodes if isinstance(self.env[one], Tensor)
        }
        before = {one: value._version for one, value in sources.items()}
        made = super().run_node(n)
        for source, value in sources.items():
            if value._version != before[source]:
                self.changes.append((n, source))
                self._refuse_views(n, source, value)
        return made

    def _refuse_views(self, n: fx.Node, source: fx.Node, changed: Tensor) -> None:
        later = [
            one
            for one in self.env
            if one is not source and any(self._order[user] > self._order[n] for user in one.users)
        ]
        for one in later:
            other = self.env[one]
            if (
                isinstance(other, Tensor)
                and _overlap(changed, other)
                and all(one is not old for _, old in self.changes)
            ):
                raise WorkloadError(
                    f"{n.name}: changes {source.name} in place, of which {one.name} is a view that"
                    " is read again"
                )


def _overlap(one: Tensor, other: Tensor) -> bool:
    def span(x: Tensor) -> tuple[int, int]:
        reach = sum((size - 1) * step for size, step in zip(x.shape, x.stride(), strict=True)) + 1
        return x.data_ptr(), x.data_ptr() + reach * x.element_size()

    (start, end), (begin, stop) = span(one), span(other)
    return bool(one.numel() and other.numel()) and start < stop and begin < end


@torch.no_grad()
def order_in_place(traced: fx.GraphModule, image: Tensor) -> None:
    """Redirect readers of a value that was changed in place to the changing operator's result.

    Otherwise a graph would show two values where the module has one, and computing parts of it
    would give others than the module.

    Raises
    ------
    WorkloadError
        A view of the changed value is read again, so that no single result stands for it.
    """
    finder = _InPlace(traced)
    finder.run(image.clone())
    order = {node: place for place, node in enumerate(traced.graph.nodes)}
    for node, source in finder.changes:
        for user in list(source.users):
            if order[user] > order[node]:
                user.replace_input_with(source, node)
    traced.recompile()
