"""Operators of ``.tflite`` files as steps: what each computes, and of 8-bit tensors to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from archonsim.export import arrays
from archonsim.export.grids import (
    Factor,
    Grid,
    Whole,
    added,
    divided,
    interpolated,
    multiplied,
)
from archonsim.export.tflite_file import Operator, Tensor
from archonsim.export.tflite_weighted import (
    convolution,
    fully_connected,
    ours,
    transposed,
    window_of,
)
from archonsim.trace.tensors import Floats

if TYPE_CHECKING:
    from archonsim.export.tflite_graph import Translation


#: More than any integer of a map.
_WIDEST: Final = 1 << 30


def _as_stored(x: Floats) -> Floats:
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def _as_ours(x: Floats) -> Floats:
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def _axis(axis: int, rank: int) -> int:
    """Return the axis of our map that is a file's."""
    axis %= rank
    return (0, 2, 3, 1)[axis] if rank == 4 else axis


def _pool(net: Translation, one: Operator, *, largest: bool) -> None:
    x, source = net.map(one)
    if len(x.shape) != 4:
        raise net.refused(one, f"it pools a value of shape {x.shape}")
    kernel = (int(one.options["FilterHeight"]), int(one.options["FilterWidth"]))
    stride, _, padding = window_of(net, one, x, kernel, x.shape[3])
    arguments = {"kernel_size": kernel, "stride": stride, "padding": padding}
    grids = net.grids(one, x, one.outputs[0])
    run = partial(
        arrays.largest if largest else arrays.average, kernel=kernel, stride=stride, padding=padding
    )

    def averages(x: Floats) -> Whole:
        assert grids is not None
        q = grids[0].steps(x) + grids[0].zero
        return divided(*arrays.window_sums(q, kernel, stride, padding))

    whole: Callable[..., Whole] | None = averages if grids is not None else None
    if largest:
        acts = one.options["activation"] != "none"
        whole = _moved(run, grids[1]) if acts and grids is not None else _copied(net, one, x, run)
    net.emit(one, "maxpool2d" if largest else "avgpool2d", [source], run, arguments, whole)


def _moved(compute: Callable[..., Floats], onto: Grid) -> Callable[..., Whole]:
    """Return real values rounded to an output's grid."""
    return lambda *values: onto.quantise(compute(*values))


def _mean(net: Translation, one: Operator) -> None:
    x, source = net.map(one)
    axes = tuple(_axis(axis, max(1, len(x.shape))) for axis in net.numbers(one, 1))
    if not axes or not x.shape:
        raise net.refused(one, f"it averages {x.shape} along {axes}")
    shape = ours(one.outputs[0].shape)
    count = int(np.prod([ours(x.shape)[axis] for axis in set(axes)]))
    grids = net.grids(one, x, one.outputs[0])

    def real(x: Floats) -> Floats:
        made: Floats = x.mean(axis=axes, dtype=np.float32).reshape(shape)
        return made

    whole = None
    if grids is not None:
        into, onto = grids
        factor = Factor.of(np.float64(into.scale) / np.float64(onto.scale)).over(count)

        def whole(x: Floats) -> Whole:
            total = into.steps(x).sum(axis=axes).reshape(shape)
            return factor.times(total) + onto.zero

    net.emit(one, "mean", [source], real, {"dim": list(axes)}, whole)


def _copied(
    net: Translation, one: Operator, x: Tensor, run: Callable[[Floats], Floats]
) -> Callable[..., Whole] | None:
    """Return the integers of an operator that moves them, whatever scale its output declares."""
    grids = net.grids(one, x, one.outputs[0])
    if grids is None or grids[0] == grids[1]:
        return None
    return lambda value: grids[0].steps(run(value)) + grids[0].zero


def _operand(net: Translation, one: Operator, place: int) -> tuple[Tensor, str | None]:
    tensor = net.value(one, place)
    return tensor, None if tensor.data is not None else net.map(one, place)[1]


_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
}  # fmt: skip


def _arithmetic(net: Translation, one: Operator, *, kind: str) -> None:
    """Add, subtract, multiply or divide two values, one of which may be constant."""
    (a, first), (b, second) = (_operand(net, one, place) for place in (0, 1))
    if first is None and second is None:
        raise net.refused(one, "both of its inputs are constant")
    fixed = a if first is None else b if second is None else None
    constant = None if fixed is None else _constant_map(fixed, len(one.outputs[0].shape))
    shapes = [
        constant.shape if constant is not None and each is fixed else ours(each.shape)
        for each in (a, b)
    ]
    try:
        net.fits(one, np.broadcast_shapes(*shapes))
    except ValueError as error:
        raise net.refused(one, f"{shapes[0]} and {shapes[1]} do not broadcast") from error
    grids = net.grids(one, a, b, one.outputs[0])
    sources = [name for name in (first, second) if name is not None]
    operation = _ARITHMETIC[kind]
    if kind == "div" and grids is not None:
        # LiteRT divides uint8 alone, and makes 255 of 0 / x.
        raise net.refused(one, "8-bit maps are not divided here, only float32 ones")

    def both(values: Sequence[Any]) -> tuple[Any, Any]:
        if constant is None:
            return values[0], values[1]
        return (constant, values[0]) if first is None else (values[0], constant)

    def real(*values: Floats) -> Floats:
        made: Floats = operation(*both(values)).astype(np.float32)
        return made

    whole = None
    if grids is not None:
        one_, two, onto = grids

        def whole(*values: Floats) -> Whole:
            x, y = both(values)
            terms = (one_.steps(x), two.steps(y))
            if kind in ("add", "sub"):
                return added(terms, (one_, two), onto, 1 if kind == "add" else -1)
            return multiplied(terms, (one_, two), onto)

    arguments: dict[str, Any] = {}
    if constant is not None:
        net.counts(fixed if constant.size > 1 else None)
        arguments = {"other": constant, "constant_first": first is None}
    net.emit(one, kind, sources, real, arguments, whole)


def _constant_map(tensor: Tensor, rank: int) -> Floats:
    """Return a constant operand in our layout; it is broadcast as numpy does."""
    values = tensor.real()
    if rank == 4 and values.ndim:
        values = values.reshape((1,) * (4 - values.ndim) + values.shape)
    return _as_ours(values)


def _reshape(net: Translation, one: Operator) -> None:
    x, source = net.map(one)
    shape = one.outputs[0].shape
    if int(np.prod(x.shape)) != int(np.prod(shape)):
        raise net.refused(one, f"it makes {shape} of {x.shape}")

    def moved(x: Floats) -> Floats:
        return _as_ours(_as_stored(x).reshape(shape))

    net.emit(one, "reshape", [source], moved, whole=_copied(net, one, x, moved))


def _transpose(net: Translation, one: Operator) -> None:
    x, source = net.map(one)
    order = net.numbers(one, 1)
    if sorted(order) != list(range(len(x.shape))):
        raise net.refused(one, f"its axes are {order}")

    def moved(x: Floats) -> Floats:
        return _as_ours(_as_stored(x).transpose(order))

    net.emit(one, "permute", [source], moved, whole=_copied(net, one, x, moved))


def _pad(net: Translation, one: Operator) -> None:
    x, source = net.map(one)
    numbers = net.numbers(one, 1)
    if len(numbers) != 2 * len(x.shape) or min(numbers) < 0 or len(one.inputs) > 2:
        raise net.refused(one, "only padding with zeros is")
    pairs = [(numbers[2 * axis], numbers[2 * axis + 1]) for axis in range(len(x.shape))]
    if len(pairs) == 4:
        pairs = [pairs[axis] for axis in (0, 3, 1, 2)]
    flat = [size for pair in reversed(pairs) for size in pair]
    net.fits(one, [a + n + b for n, (a, b) in zip(ours(x.shape), pairs, strict=True)])
    run = partial(np.pad, pad_width=pairs)
    net.emit(one, "pad", [source], run, {"pad": flat}, _copied(net, one, x, run))


def _concatenation(net: Translation, one: Operator) -> None:
    found = [net.map(one, place) for place in range(len(one.inputs))]
    out = one.outputs[0]
    axis = _axis(int(one.options["Axis"]), max(1, len(out.shape)))
    shapes = [ours(tensor.shape) for tensor, _ in found]
    if not shapes or any(len(shape) != len(out.shape) or not shape for shape in shapes):
        raise net.refused(one, f"it joins {shapes}")
    whole_shape = list(shapes[0])
    whole_shape[axis] = sum(shape[axis] for shape in shapes)
    net.fits(one, whole_shape)
    grids = net.grids(one, *(tensor for tensor, _ in found), out)
    whole: Callable[..., Whole] | None = None

    def joined(*values: Floats) -> Floats:
        return np.concatenate(values, axis)

    if grids is not None and any(grid != grids[-1] for grid in grids):
        whole = _moved(joined, grids[-1])
    net.emit(one, "concat", [name for _, name in found], joined, {"dim": axis}, whole)


def _function(net: Translation, one: Operator, *, kind: str) -> None:
    """Apply a function to each value, or a softmax to all."""
    x, source = net.map(one)
    kind = "relu" if kind == "relu6" and net.relu6_as_relu else kind
    grids = net.grids(one, x, one.outputs[0])
    beta = float(one.options.get("Beta", 1.0))

    def real(x: Floats) -> Floats:
        made = _as_stored(x) * np.float32(beta) if kind == "softmax" else x
        made = arrays.activate(made, kind)
        made = _as_ours(made) if kind == "softmax" else made
        return made.astype(np.float32)

    whole: Callable[..., Whole] | None = None
    if grids is not None:
        whole = _moved(real, grids[-1])
        if kind in ("relu", "relu6"):
            whole = _cut(Factor.of(_ratio(*grids)), grids, 6.0 if kind == "relu6" else np.inf)
    net.emit(one, kind, [source], real, whole=whole)


def _ratio(into: Grid, onto: Grid) -> np.float32:
    """Return how many steps of the output one of the input is, as the runtime's float32."""
    return np.float32(into.scale) / np.float32(onto.scale)


def _cut(factor: Factor, grids: tuple[Grid, ...], top: float) -> Callable[[Floats], Whole]:
    """Return values brought to an output's grid, cut at 0 and `top` on that."""
    into, onto = grids
    most = _WIDEST if np.isinf(top) else int(onto.quantise(np.asarray(top, np.float32)))
    return lambda x: (factor.times(into.steps(x)) + onto.zero).clip(onto.zero, most)


def _leaky(net: Translation, one: Operator) -> None:
    x, source = net.map(one)
    slope = np.float32(one.options.get("Alpha", 0.0))
    grids = net.grids(one, x, one.outputs[0])

    def real(x: Floats) -> Floats:
        return np.where(x > 0, x, x * slope).astype(np.float32)

    whole: Callable[..., Whole] | None = None
    if grids is not None:
        into, onto = grids
        above = Factor.of(_ratio(into, onto))
        below = Factor.of(np.float32(into.scale) * slope / np.float32(onto.scale))

        def whole(x: Floats) -> Whole:
            steps = into.steps(x)
            return np.where(steps >= 0, above.times(steps), below.times(steps)) + onto.zero

    net.emit(one, "leaky_relu", [source], real, {"negative_slope": float(slope)}, whole)


def _quantise(net: Translation, one: Operator) -> None:
    """Round real values to 8 bits, or values of 8 bits to other ones; or pass them on."""
    stored = net.value(one, 0)
    if stored.data is not None:
        raise net.refused(one, "its input is constant")
    source, out = net.map(one)[1], one.outputs[0]
    onto = net.grid(out)
    into = net.grid(stored)

    def same(x: Floats) -> Floats:
        return x

    if onto is None:
        net.emit(one, "identity", [source], same)
        return
    whole: Callable[..., Whole] = onto.quantise
    if into is not None:
        factor = Factor.of(np.float64(into.scale) / np.float64(onto.scale))

        def whole(x: Floats) -> Whole:
            return factor.times(into.steps(x)) + onto.zero

    net.emit(one, "identity", [source], same, whole=whole)


def _resize(net: Translation, one: Operator, *, linear: bool) -> None:
    x, source = net.map(one)
    if len(x.shape) != 4 or len(one.outputs[0].shape) != 4:
        raise net.refused(one, f"it resizes a value of shape {x.shape}")
    size = (one.outputs[0].shape[1], one.outputs[0].shape[2])
    half_pixel = bool(one.options.get("HalfPixelCenters"))
    corners = bool(one.options.get("AlignCorners"))

    def run(x: Floats) -> Floats:
        resize = arrays.bilinear if linear else arrays.nearest
        return resize(x, size, half_pixel=half_pixel, corners=corners)

    grids = net.grids(one, x, one.outputs[0])
    whole = _copied(net, one, x, run)
    if linear and grids is not None:
        into = grids[0]

        def whole(x: Floats) -> Whole:
            q = into.steps(x) + into.zero
            if into.low < 0:
                return interpolated(q, size, half_pixel=half_pixel, corners=corners)
            # The runtime has integer arithmetic for int8 alone; of uint8, halves go up.
            rounded: Whole = np.floor(run(q.astype(np.float32)) + 0.5).astype(np.int64)
            return rounded

    net.emit(one, "resize", [source], run, whole=whole)


HANDLERS: Final[dict[str, Callable[[Translation, Operator], None]]] = {
    "CONV_2D": partial(convolution, depthwise=False),
    "DEPTHWISE_CONV_2D": partial(convolution, depthwise=True),
    "TRANSPOSE_CONV": transposed,
    "FULLY_CONNECTED": fully_connected,
    "AVERAGE_POOL_2D": partial(_pool, largest=False),
    "MAX_POOL_2D": partial(_pool, largest=True),
    "MEAN": _mean,
    "ADD": partial(_arithmetic, kind="add"),
    "SUB": partial(_arithmetic, kind="sub"),
    "MUL": partial(_arithmetic, kind="mul"),
    "DIV": partial(_arithmetic, kind="div"),
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "TRANSPOSE": _transpose,
    "PAD": _pad,
    "CONCATENATION": _concatenation,
    "RELU": partial(_function, kind="relu"),
    "RELU6": partial(_function, kind="relu6"),
    "LOGISTIC": partial(_function, kind="sigmoid"),
    "TANH": partial(_function, kind="tanh"),
    "HARD_SWISH": partial(_function, kind="hardswish"),
    "ELU": partial(_function, kind="elu"),
    "SOFTMAX": partial(_function, kind="softmax"),
    "LEAKY_RELU": _leaky,
    "QUANTIZE": _quantise,
    "DEQUANTIZE": _quantise,
    "RESIZE_BILINEAR": partial(_resize, linear=True),
    "RESIZE_NEAREST_NEIGHBOR": partial(_resize, linear=False),
}
