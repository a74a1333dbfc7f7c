"""Arguments of ONNX operators under PyTorch's names, for :mod:`archonsim.export.nodes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

Array = NDArray[Any]


def arguments_of(node: onnx.NodeProto, values: Sequence[Array | None], rank: int) -> dict[str, Any]:
    """Return the constant arguments of a node.

    Parameters
    ----------
    node : onnx.NodeProto
    values : sequence of array or None
        Its inputs in order; None for those that depend on the image, or are left out.
    rank : int
        Axes of its result.
    """
    given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    if node.op_type == "Pad":
        return _pad(given, values, rank)
    return _ARGUMENTS.get(node.op_type, _other)(given, values)


def _at(values: Sequence[Array | None], place: int) -> Array | None:
    return values[place] if place < len(values) else None


def _window(given: Mapping[str, Any]) -> dict[str, Any]:
    top, left, bottom, right = (
        given.get("pads", (0, 0, 0, 0)) if len(given.get("pads", (0,) * 4)) == 4 else (0, 0, 0, 0)
    )
    words = {b"SAME_UPPER": "same", b"SAME_LOWER": "same_lower", b"VALID": "valid"}
    padding = words.get(given.get("auto_pad", b""), (top, bottom, left, right))
    return {
        "stride": given.get("strides", (1, 1)),
        "padding": padding,
        "dilation": given.get("dilations", (1, 1)),
    }


def _conv(given: Mapping[str, Any], values: Sequence[Array | None]) -> dict[str, Any]:
    return _window(given) | {
        "weight": _at(values, 1),
        "bias": _at(values, 2),
        "groups": given.get("group", 1),
        "output_size": given.get("output_shape"),  # of a transposed one
    }


def _gemm(given: Mapping[str, Any], values: Sequence[Array | None]) -> dict[str, Any]:
    weight, bias = _at(values, 1), _at(values, 2)
    if weight is None or given.get("transA", 0):
        return {}
    weight = np.ascontiguousarray(weight if given.get("transB", 0) else weight.T) * np.float32(
        given.get("alpha", 1.0)
    )
    return {
        "weight": weight,
        "bias": None if bias is None else bias * np.float32(given.get("beta", 1.0)),
    }


def _matmul(given: Mapping[str, Any], values: Sequence[Array | None]) -> dict[str, Any]:
    weight = _at(values, 1)
    return {} if weight is None or weight.ndim != 2 else {"weight": np.ascontiguousarray(weight.T)}


def _norm(given: Mapping[str, Any], values: Sequence[Array | None]) -> dict[str, Any]:
    names = ("weight", "bias", "running_mean", "running_var")
    options = {"eps": given.get("epsilon", 1e-5), "training": given.get("training_mode", 0)}
    return {name: _at(values, place) for place, name in enumerate(names, 1)} | options


def _clip(given: Mapping[str, Any], values: Sequence[Array | None]) -> dict[str, Any]:
    limits = {
        "min": _at(values, 1),
        "max": _at(values, 2),
        **given,
    }  # before opset 11 they were attributes
    return {
        name: None if (limit := limits[name]) is None else float(limit) for name in ("min", "max")
    }


def _pool(given: Mapping[str, Any], values: Sequence[Array | None]) -> dict[str, Any]:
    return _window(given) | {"kernel_size": given["kernel_shape"]}


def _pad(given: Mapping[str, Any], values: Sequence[Array | None], rank: int) -> dict[str, Any]:
    """Return pads as PyTorch writes them: (before, after) of the last axis first."""
    flat, axes, value = given.get("pads", _at(values, 1)), _at(values, 3), _at(values, 2)
    numbers = [] if flat is None else [int(one) for one in flat]
    half = len(numbers) // 2
    pads = [0] * (2 * rank)
    for place, axis in enumerate(range(half) if axes is None else axes):
        at = 2 * (rank - 1 - int(axis) % rank)
        pads[at : at + 2] = numbers[place], numbers[half + place]
    return {
        "pad": pads,
        "mode": given.get("mode", b"constant").decode(),
        "value": given.get("value", value),
    }


def _dropout(given: Mapping[str, Any], values: Sequence[Array | None]) -> dict[str, Any]:
    ratio, training = _at(values, 1), _at(values, 2)
    return {
        "p": 0.5 if ratio is None else float(ratio),
        "training": training is not None and bool(training),
    }


def _reduce(given: Mapping[str, Any], values: Sequence[Array | None]) -> dict[str, Any]:
    axes = given.get("axes", _at(values, 1))
    return {"dim": None if axes is None or not len(axes) else [int(one) for one in axes]}


def _pick(given: Mapping[str, Any], values: Sequence[Array | None]) -> dict[str, Any]:
    """Arguments of a maximum or minimum: the constant operand; NaN for computed ones."""
    constant = [value for value in values if value is not None]
    return {"other": constant[0]} if len(constant) == 1 else {"other": np.array([np.nan])}


def _leaky(given: Mapping[str, Any], values: Sequence[Array | None]) -> dict[str, Any]:
    return {"negative_slope": given.get("alpha", 0.01)}


def _threshold(given: Mapping[str, Any], values: Sequence[Array | None]) -> dict[str, Any]:
    return {"threshold": given.get("alpha", 1.0)}


def _other(given: Mapping[str, Any], values: Sequence[Array | None]) -> dict[str, Any]:
    """Arguments of the rest.

    At most a constant operand, on the right of what is no sum or product.
    """
    constant = [value for value in values if value is not None]
    if len(constant) == 1 and len(values) == 2:
        return {"other": constant[0], "constant_first": values[1] is None}
    return {"more_constants": bool(constant)}


_ARGUMENTS = {
    "Conv": _conv,
    "ConvTranspose": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _norm,
    "Clip": _clip,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "Dropout": _dropout,
    "ReduceMean": _reduce,
    "LeakyRelu": _leaky,
    "ThresholdedRelu": _threshold,
    "Max": _pick,
    "Min": _pick,
}
