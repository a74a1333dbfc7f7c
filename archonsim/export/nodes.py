"""From one call of an operator, its arguments under PyTorch's names, to a node.

The same for all frontends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from archonsim.errors import WorkloadError
from archonsim.export.calls import Call
from archonsim.export.graph import Node, Window
from archonsim.export.operators import (
    Op,
    activation_kind,
    clamp_limits,
    is_relu,
    number,
    operator,
    plain,
)
from archonsim.export.tokens import TOKENS
from archonsim.export.windows import padding_of, pair, window_of
from archonsim.trace.tensors import Floats
from archonsim.visible import one_line

#: Kind of a ``norm`` that is a batch normalisation, and not a constant factor or offset.
NORMALISATION: Final = "normalisation"


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
    op = operator(call.operator, one_line(call.label))
    sources = [made[name] for name in call.inputs]
    if call.hidden and op not in ("conv", "linear"):
        return _free(call)
    return _MAKERS.get(op, _plain)(op, call, sources)


def _node(op: Op, call: Call, **content: Any) -> Node:
    return Node(
        **{
            "name": call.name,
            "op": op,
            "inputs": call.inputs,
            "shape": call.shape,
            "label": one_line(call.label),
        }
        | content
    )


def _plain(op: Op, call: Call, sources: list[Node]) -> Node:
    return _node(op, call, kind=call.operator)


def _free(call: Call) -> Node:
    """Return a node that changes values as no layer does, and multiplies nothing."""
    return _node("free", call, kind=call.operator)


def _pass(op: Op, call: Call, sources: list[Node]) -> Node:
    """Pass on what is read, unless it was seen to change, or may change another time."""
    random = bool(call.arguments.get("training") or call.arguments.get("train"))
    if len(call.inputs) != 1 or not call.unchanged:
        return _free(call)
    if random and "dropout" in plain(call.operator) and call.arguments.get("p", 1) != 0:
        return _free(call)
    return _node(op, call)


def unsupported(call: Call, why: str) -> WorkloadError:
    """Return the error of an operator that no workload describes."""
    return WorkloadError(f"{call.label}: {call.operator} is not supported here: {why}")


def _floats(value: Any, size: int, default: float) -> Floats:
    """Return `size` numbers, from an array of as many, a single one, or None."""
    return np.broadcast_to(
        np.asarray(default if value is None else value, np.float32).reshape(-1), (size,)
    ).copy()


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
    gaps = zip(pair(call.arguments.get("dilation", 1)), kernel, strict=True)
    tall, wide = (gap if size != 1 else 1 for gap, size in gaps)
    if call.arguments.get("padding_mode", "zeros") != "zeros":
        raise unsupported(
            call, f"padding mode is {call.arguments['padding_mode']}; layers pad with zeros"
        )
    reach = ((kernel[0] - 1) * tall + 1, (kernel[1] - 1) * wide + 1)
    groups = int(call.arguments.get("groups", 1))
    window = window_of(call, sources[0], reach, call.arguments.get("stride", 1), groups)
    tensors = {"weight": weight, "bias": _floats(call.arguments.get("bias"), weight.shape[0], 0.0)}
    if (tall, wide) == (1, 1):
        return _node(op, call, window=window, tensors=tensors)
    return _node(
        "dilated",
        call,
        kind="dilated convolution",
        window=replace(window, kernel=kernel, dilation=(tall, wide)),
        tensors=tensors,
        macs=weight.size * math.prod(call.shape[2:]),
    )


def _transposed(op: Op, call: Call, sources: list[Node]) -> Node:
    """Return a transposed convolution: each input pixel meets every weight of its channel."""
    given = call.arguments
    weight = given.get("weight")
    if weight is None or len(sources) != 1 or weight.ndim != 4 or not sources[0].is_map:
        raise unsupported(call, "its weights are not constant, or it reads no map (1, C, H, W)")
    macs, kind = weight.size * math.prod(sources[0].map[1:]), "transposed convolution"
    padding, stride = given.get("padding", 0), pair(given.get("stride", 1))
    # Where an output begins that is asked for by its size, or by a word, is a runtime's business.
    stated = not isinstance(padding, str) and given.get("output_size") is None
    if not stated or pair(given.get("dilation", 1)) != (1, 1):
        return _node("unmodelled", call, kind=kind, macs=macs)
    groups, kernel = int(given.get("groups", 1)), (weight.shape[2], weight.shape[3])
    window = Window(
        kernel=kernel, stride=stride, padding=padding_of(padding, (1, 1), kernel, stride),
        groups=groups,
    )  # fmt: skip
    bias = _floats(given.get("bias"), groups * weight.shape[1], 0.0)
    tensors = {"weight": weight, "bias": bias}
    return _node(op, call, kind=kind, window=window, tensors=tensors, macs=macs)


def _linear(op: Op, call: Call, sources: list[Node]) -> Node:
    weight = call.arguments.get("weight")
    if len(sources) == 2:
        return _product(call, sources)
    if weight is None or len(sources) != 1:
        raise unsupported(call, "weights must be constant, one value computed")
    tensors = {"weight": weight, "bias": _floats(call.arguments.get("bias"), len(weight), 0.0)}
    source = sources[0]
    if source.is_map and len(call.shape) == 2:
        return _node(op, call, tensors=tensors)
    if len(source.shape) < 2 or call.shape != (*source.shape[:-1], len(weight)):
        raise unsupported(
            call,
            f"a linear layer of a value of shape {source.shape}; it takes one vector an image, or"
            " one a token",
        )
    tensors["weight"] = weight[:, :, None, None]
    return _node("conv", call, kind=TOKENS, tensors=tensors)


def _product(call: Call, sources: list[Node]) -> Node:
    """Return a product of two computed matrices, as attention has them: not modelled."""
    macs = math.prod(call.shape) * sources[0].shape[-1]
    return _node("unmodelled", call, kind="product of computed matrices", macs=macs)


def _concat(op: Op, call: Call, sources: list[Node]) -> Node:
    """Return maps behind each other; tokens behind each other are no map of more channels."""
    return _free(call) if len(call.shape) == 3 else _plain(op, call, sources)


def _attention(op: Op, call: Call, sources: list[Node]) -> Node:
    """Return attention, whose operator multiplies queries by keys and weighs the values."""
    if len(sources) < 3:
        raise unsupported(call, "it needs computed queries, keys and values")
    query, key, value = (one.shape for one in sources[:3])
    pairs = math.prod(query[:-1]) * key[-2]
    return _node(op, call, kind="attention", macs=pairs * (query[-1] + value[-1]))


def _norm(op: Op, call: Call, sources: list[Node]) -> Node:
    mean, var = call.arguments.get("running_mean"), call.arguments.get("running_var")
    if (
        mean is None  # each image's own statistics, or computed ones
        or var is None
        or call.arguments.get("training")
        or len(call.inputs) != 1
    ):
        return _free(call)
    channels = sources[0].map[0]
    gain, shift = (
        _floats(call.arguments.get("weight"), channels, 1.0),
        _floats(call.arguments.get("bias"), channels, 0.0),
    )
    scale = gain / np.sqrt(var + np.float32(call.arguments.get("eps", 1e-5)))
    tensors = {"scale": scale, "shift": shift - mean * scale}
    return _node(op, call, kind=NORMALISATION, tensors=tensors)


def _activation(op: Op, call: Call, sources: list[Node]) -> Node:
    given, short = call.arguments, plain(call.operator)
    if short == "requantise":
        ends = (float(given["min"]), float(given["max"]))
        return _node(op, call, kind=given["kind"], limits=ends, step=float(given["step"]))
    if short in ("max", "maximum", "min", "minimum"):
        other = given.get("other", given.get("dim"))
        low = high = number(other)
    else:
        low, high = number(given.get("min")), number(given.get("max"))
    if is_relu(short, given):
        short, low, high = "relu", None, None
        call = replace(call, operator="relu")
    unclear = any(one is not None and math.isnan(one) for one in (low, high))
    if len(call.inputs) != 1 or call.shape != sources[0].shape or unclear:
        return _free(call)
    limits = clamp_limits(short, low, high)
    if limits == (-math.inf, math.inf):
        return _node("pass", call) if call.unchanged else _free(call)
    return _node(op, call, kind=activation_kind(call.operator, limits), limits=limits)


def _pad(op: Op, call: Call, sources: list[Node]) -> Node:
    pads = [int(one) for one in call.arguments["pad"]]
    if not any(pads) and call.shape == sources[0].shape:
        return _node("pass", call)
    if (
        call.arguments.get("mode", "constant") != "constant"
        or (number(call.arguments.get("value")) or 0) != 0
    ):
        raise unsupported(call, "only padding with zeros is")
    if len(call.inputs) != 1 or len(call.shape) != 4 or any(pads[4:]) or min(pads) < 0:
        return _free(call)  # channels are added, or rows or columns cut off
    left, right, top, bottom = (*pads, 0, 0, 0, 0)[:4]
    return _node(op, call, kind=call.operator, window=Window(padding=(top, bottom, left, right)))


def _pool(op: Op, call: Call, sources: list[Node]) -> Node:
    if len(sources) != 1 or len(sources[0].shape) != 4:
        raise unsupported(call, f"a value of shape {sources[0].shape}; maps are (1, C, H, W)")
    if call.arguments.get("divisor_override"):
        raise unsupported(
            call,
            f"divisor_override is {call.arguments['divisor_override']}; an average is over its"
            " window's pixels",
        )
    if plain(call.operator) == "adaptivemaxpool2d":
        return _adaptive(call, sources[0])
    kernel = pair(call.arguments["kernel_size"])
    dilation = pair(call.arguments.get("dilation", 1))
    if any(gap != 1 and size != 1 for gap, size in zip(dilation, kernel, strict=True)):
        raise unsupported(call, f"dilation is {call.arguments['dilation']}; layers have none")
    window = window_of(call, sources[0], kernel, call.arguments.get("stride") or kernel)
    return _node(op, call, kind=call.operator, window=window)


def _adaptive(call: Call, source: Node) -> Node:
    """Return a maximum over equal windows, or what no layer's windows describe."""
    size, made = source.map[1:], (*call.shape[2:], 1, 1)[:2]
    if any(have % want for have, want in zip(size, made, strict=True)):
        return _free(call)
    kernel = (size[0] // made[0], size[1] // made[1])
    window = Window(kernel=kernel, stride=kernel)
    return _node("pool", call, kind=call.operator, window=window)


def _mean(call: Call, source: Node) -> Node | None:
    """Return an average over given axes; None of one over all pixels and nothing else."""
    rank, axes = len(source.shape), call.arguments.get("dim")
    chosen = range(rank) if axes is None else np.atleast_1d(np.asarray(axes, int)) % rank
    wide = {int(axis) for axis in chosen if source.shape[int(axis)] > 1}
    if not wide:
        return _node("move", call, kind=call.operator)
    pixels = {axis for axis in (2, 3) if rank == 4 and source.shape[axis] > 1}
    return None if wide == pixels else _free(call)


def _average(op: Op, call: Call, sources: list[Node]) -> Node:
    """Average over all pixels, or adaptively over equal windows."""
    source = sources[0]
    if len(call.inputs) != 1:
        return _free(call)
    if plain(call.operator) in ("mean", "reducemean") and (other := _mean(call, source)):
        return other
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
    return _free(call)  # over windows of several sizes


def _with_constant(op: Op, call: Call, sources: list[Node]) -> Node:
    """Add, multiply, subtract or divide.

    By a constant for each channel it is a norm, of two maps it is what it is. Which constant meets
    which value is what numpy's rules of broadcasting say, whatever its shape.
    """
    given = call.arguments
    if len(sources) > 1 or len(call.inputs) > 1:
        if op == "free" or given.get("more_constants"):
            return _free(call)
        if given.get("alpha", 1) != 1:
            raise unsupported(call, f"alpha is {given['alpha']}; write x + alpha * y")
        return _node(op, call)
    constant = given.get("other")
    short = plain(call.operator).removeprefix("i").removeprefix("true")
    if (
        constant is None
        or given.get("alpha", 1) != 1
        or given.get("rounding_mode") is not None
        or call.shape != sources[0].shape
        or not sources[0].is_map
        or short
        not in (("add", "mul") if given.get("constant_first") else ("add", "mul", "sub", "div"))
    ):
        return _free(call)
    numbers = _by_channel(np.asarray(constant, np.float32), call.shape)
    if numbers is None or (short == "div" and not numbers.all()):
        return _free(call)
    one, zero = np.ones_like(numbers), np.zeros_like(numbers)
    scale = {"mul": numbers, "div": 1 / numbers if short == "div" else one}.get(short, one)
    shift = {"add": numbers, "sub": -numbers}.get(short, zero)
    return _node("norm", call, kind=call.operator, tensors={"scale": scale, "shift": shift})


def _by_channel(constant: Floats, shape: tuple[int, ...]) -> Floats | None:
    """Return a constant as one number a channel (C,); None where a channel meets several."""
    try:
        met = np.broadcast_to(constant, shape).reshape(shape[1], -1)
    except ValueError:
        return None
    return met[:, 0].copy() if (met == met[:, :1]).all() else None


def _other(op: Op, call: Call, sources: list[Node]) -> Node:
    """Return a node of the other operators; a difference or quotient with a constant folds."""
    arithmetic = plain(call.operator).removeprefix("i").removeprefix("true") in ("sub", "div")
    return _with_constant(op, call, sources) if arithmetic else _free(call)


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
    "free": _other,
    "pass": _pass,
    "concat": _concat,
    "transposed": _transposed,
    "unmodelled": _attention,
}
