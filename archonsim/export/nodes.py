"""From one call of an operator, its arguments under PyTorch's names, to a node.

The same for all frontends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from archonsim.errors import WorkloadError
from archonsim.export.graph import Node, Op, Window
from archonsim.export.operators import activation_kind, operator
from archonsim.network.layer import Padding, same_padding
from archonsim.trace.tensors import Floats

Pair = tuple[int, int]


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text that says something, or its type."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One call of an operator as a frontend found it.

    Attributes
    ----------
    name, label : str
    operator : str
        As the framework calls it.
    inputs : tuple of str
        Values that it reads, constants apart.
    shape : tuple of int
        Of its result.
    arguments : mapping
        Constant arguments: arrays, numbers, tuples; ``padding`` as (top, bottom, left, right), a
        number, a pair or a word.
    """

    name: str
    label: str
    operator: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    arguments: Mapping[str, Any]


def make_node(call: Call, made: Mapping[str, Node]) -> Node:
    """Turn a call into a node.

    Parameters
    ----------
    call : Call
    made : mapping of value to Node
        All nodes before it.

    Raises
    ------
    WorkloadError
        The operator, or the way it is used, has no description in a workload.
    """
    op = operator(call.operator, call.label)
    sources = [made[name] for name in call.inputs]
    return _MAKERS.get(op, _plain)(op, call, sources)


def _node(op: Op, call: Call, **content: Any) -> Node:
    return Node(
        **{
            "name": call.name,
            "op": op,
            "inputs": call.inputs,
            "shape": call.shape,
            "label": call.label,
        }
        | content
    )


def _plain(op: Op, call: Call, sources: list[Node]) -> Node:
    return _node(op, call, kind=call.operator)


def unsupported(call: Call, why: str) -> WorkloadError:
    """Return the error of an operator that no workload describes."""
    return WorkloadError(f"{call.label}: {call.operator} is not supported here: {why}")


def _floats(value: Any, size: int, default: float) -> Floats:
    """Return `size` numbers, from an array of as many, a single one, or None."""
    return np.broadcast_to(
        np.asarray(default if value is None else value, np.float32).reshape(-1), (size,)
    ).copy()


def _pair(value: Any) -> Pair:
    if isinstance(value, int):
        return value, value
    numbers = [int(one) for one in value]
    return numbers[0], numbers[-1]


def _padding(value: Any, size: Pair, kernel: Pair, stride: Pair) -> Padding:
    """Read a padding in any of its forms.

    ``same`` puts an odd pixel behind, ``same_lower`` before.
    """
    if value in ("valid", None):
        return (0, 0, 0, 0)
    if isinstance(value, str):
        top, bottom = same_padding(size[0], kernel[0], stride[0])
        left, right = same_padding(size[1], kernel[1], stride[1])
        return (bottom, top, right, left) if value == "same_lower" else (top, bottom, left, right)
    if not isinstance(value, int) and len(value) == 4:
        top, bottom, left, right = (int(one) for one in value)
        return top, bottom, left, right
    tall, wide = _pair(value)
    return tall, tall, wide, wide


def _window(call: Call, source: Node, kernel: Pair, stride: Any, groups: int = 1) -> Window:
    steps = _pair(stride)
    padding = _padding(call.arguments.get("padding", 0), source.map[1:], kernel, steps)
    return Window(kernel=kernel, stride=steps, padding=padding, groups=groups)


def _conv(op: Op, call: Call, sources: list[Node]) -> Node:
    weight = call.arguments.get("weight")
    if weight is None or len(sources) != 1:
        raise unsupported(call, "its weights are not constant")
    if weight.ndim != 4 or not sources[0].is_map:
        raise unsupported(
            call,
            f"a {weight.ndim - 2}-D convolution of a value of shape {sources[0].shape}; maps are"
            " (1, C, H, W)",
        )
    kernel = (weight.shape[2], weight.shape[3])
    if any(
        gap != 1 and size != 1
        for gap, size in zip(_pair(call.arguments.get("dilation", 1)), kernel, strict=True)
    ):
        raise unsupported(call, f"dilation is {call.arguments['dilation']}; layers have none")
    if call.arguments.get("padding_mode", "zeros") != "zeros":
        raise unsupported(
            call, f"padding mode is {call.arguments['padding_mode']}; layers pad with zeros"
        )
    window = _window(
        call,
        sources[0],
        kernel,
        call.arguments.get("stride", 1),
        int(call.arguments.get("groups", 1)),
    )
    tensors = {"weight": weight, "bias": _floats(call.arguments.get("bias"), weight.shape[0], 0.0)}
    return _node(op, call, window=window, tensors=tensors)


def _linear(op: Op, call: Call, sources: list[Node]) -> Node:
    weight = call.arguments.get("weight")
    if weight is None or len(sources) != 1:
        raise unsupported(call, "it multiplies two computed values; weights must be constant")
    if not sources[0].is_map or len(call.shape) != 2:
        raise unsupported(
            call,
            f"a linear layer of a value of shape {sources[0].shape}; it takes one vector an image",
        )
    return _node(
        op,
        call,
        tensors={
            "weight": weight,
            "bias": _floats(call.arguments.get("bias"), weight.shape[0], 0.0),
        },
    )


def _norm(op: Op, call: Call, sources: list[Node]) -> Node:
    mean, var = call.arguments.get("running_mean"), call.arguments.get("running_var")
    if mean is None or var is None or call.arguments.get("training"):  # each image's own statistics
        return _node("free", call, kind=call.operator)
    channels = sources[0].map[0]
    gain, shift = (
        _floats(call.arguments.get("weight"), channels, 1.0),
        _floats(call.arguments.get("bias"), channels, 0.0),
    )
    scale = gain / np.sqrt(var + np.float32(call.arguments.get("eps", 1e-5)))
    return _node(op, call, tensors={"scale": scale, "shift": shift - mean * scale})


def _activation(op: Op, call: Call, sources: list[Node]) -> Node:
    limits = (call.arguments.get(name) for name in ("min", "max"))
    return _node(op, call, kind=activation_kind(call.operator, *limits))


def _pad(op: Op, call: Call, sources: list[Node]) -> Node:
    if (
        call.arguments.get("mode", "constant") != "constant"
        or (call.arguments.get("value") or 0) != 0
    ):
        raise unsupported(call, "only padding with zeros is")
    return _node(
        op, call, window=Window(padding=_padding(call.arguments["padding"], (1, 1), (1, 1), (1, 1)))
    )


def _pool(op: Op, call: Call, sources: list[Node]) -> Node:
    kernel = _pair(call.arguments["kernel_size"])
    window = _window(call, sources[0], kernel, call.arguments.get("stride") or kernel)
    return _node(op, call, kind=call.operator, window=window)


def _average(op: Op, call: Call, sources: list[Node]) -> Node:
    """Average over all pixels, or adaptively over equal windows."""
    source = sources[0]
    channels, height, width = source.map
    if call.shape == source.shape:
        return _node("pass", call)
    if len(source.shape) == 4 and call.shape in ((1, channels), (1, channels, 1, 1)):
        return _node(op, call)
    if len(call.shape) == 4 and call.shape[:2] == source.shape[:2]:
        rows, columns = call.shape[2:]
        if height % rows == 0 and width % columns == 0:
            kernel = (height // rows, width // columns)
            return _node(
                "pool", call, kind=call.operator, window=Window(kernel=kernel, stride=kernel)
            )
    raise unsupported(
        call,
        f"it makes {call.shape} of {source.shape}; an average is over all pixels or over equal"
        " windows",
    )


def _with_constant(op: Op, call: Call, sources: list[Node]) -> Node:
    """Add, multiply, subtract or divide.

    By a constant for each channel it is a norm, of two maps it is what it is.
    """
    if len(sources) > 1 or len(call.inputs) > 1:
        if op == "free":
            raise unsupported(call, "it takes two computed values")
        if call.arguments.get("alpha", 1) != 1:
            raise unsupported(call, f"alpha is {call.arguments['alpha']}; write x + alpha * y")
        return _node(op, call)
    constant = call.arguments.get("other")
    short = call.operator.lower().strip("_").removeprefix("i").removeprefix("true")
    channels = sources[0].map[0]
    if (
        constant is None
        or call.arguments.get("alpha", 1) != 1
        or call.shape != sources[0].shape
        or not sources[0].is_map
    ):
        return _node("free", call, kind=call.operator)
    value = np.asarray(constant, np.float32)
    per_channel = value.size == 1 or (
        value.size == channels and value.shape[-len(call.shape) + 1 :][:1] == (channels,)
    )
    if not per_channel or short not in (
        ("add", "mul") if call.arguments.get("constant_first") else ("add", "mul", "sub", "div")
    ):
        return _node("free", call, kind=call.operator)
    one, zero = _floats(None, channels, 1.0), _floats(None, channels, 0.0)
    numbers = _floats(value, channels, 0.0)
    scale = {"mul": numbers, "div": 1 / numbers if short == "div" else one}.get(short, one)
    shift = {"add": numbers, "sub": -numbers}.get(short, zero)
    return _node("norm", call, tensors={"scale": scale, "shift": shift})


_MAKERS: Final[dict[Op, Callable[[Op, Call, list[Node]], Node]]] = {
    "conv": _conv,
    "linear": _linear,
    "norm": _norm,
    "activation": _activation,
    "pad": _pad,
    "pool": _pool,
    "avgpool": _average,
    "add": _with_constant,
    "multiply": _with_constant,
    "free": _with_constant,
}
