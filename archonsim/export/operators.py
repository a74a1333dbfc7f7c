"""What the operators of PyTorch and ONNX are to us, by name: written small, without underscores."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

import numpy as np

from archonsim.errors import WorkloadError

#: What a node does to maps. ``norm`` is any constant scale and shift for each channel, ``pad`` puts
#: zeros around a map, ``move`` is a rearrangement of values, ``split`` a share of them, ``pass``
#: nothing, ``free`` what costs no multiplications and is none of the others, ``unmodelled`` what
#: does cost some and that no kind of layer describes. ``dilated`` and ``transposed`` convolutions
#: become plain ones (:mod:`archonsim.export.polyphase`).
Op = Literal[
    "input", "conv", "linear", "norm", "activation", "pad", "pool", "avgpool", "add", "multiply",
    "concat", "shuffle", "move", "split", "pass", "free",
    "dilated", "transposed", "unmodelled",
]  # fmt: skip

_BY_OP: Final[dict[Op, str]] = {
    "conv": "conv2d conv",
    "linear": "linear gemm matmul bmm",
    "norm": "batchnorm2d batchnorm1d batchnorm batchnormalization",
    "pad": "pad zeropad2d constantpad2d constantpadnd",
    "pool": "maxpool2d avgpool2d maxpool averagepool adaptivemaxpool2d",
    "avgpool": "adaptiveavgpool2d globalaveragepool mean reducemean",
    "add": "add iadd",
    "multiply": "mul imul",
    "concat": "cat concat concatenate",
    "move": "view reshape permute transpose contiguous flatten unflatten squeeze unsqueeze "
    "channelshuffle pixelshuffle viewcopy expand roll",
    "split": "chunk split splitwithsizes getitem narrow slice select gather unbind",
    "pass": "dropout dropout1d dropout2d dropout3d featuredropout alphadropout "
    "featurealphadropout identity stochasticdepth clone detach alias to tocopy cast "
    "castlike type typeas float double half bfloat16",
    "activation":
    "relu relu6 hardtanh clamp clip clampmin clampmax max maximum min minimum hardswish "
    "sigmoid hardsigmoid silu swish gelu elu selu celu leakyrelu prelu rrelu tanh mish "
    "softplus softsign softmax logsoftmax logsigmoid threshold "
    "thresholdedrelu hardshrink requantise",
    "free": "rsub where maskedfill round floor ceil trunc sign reciprocal rsqrt square log "
    "quantizelinear dequantizelinear fakequantizepertensoraffine "
    "fakequantizeperchannelaffine gt ge lt le eq ne greater greaterorequal less "
    "lessorequal equal not and or logicalnot logicaland logicalor sub isub div idiv "
    "truediv itruediv neg abs sqrt exp pow layernorm groupnorm instancenorm2d "
    "instancenorm localresponsenorm lrn layernormalization instancenormalization "
    "resize upsample interpolate",
    "transposed": "convtranspose2d convtranspose",
    "unmodelled": "scaleddotproductattention",
}  # fmt: skip
OPERATORS: Final[dict[str, Op]] = {
    name: op for op, names in _BY_OP.items() for name in names.split()
}

#: Kind of an activation that rounds values to an 8-bit grid and does nothing else.
ROUNDING: Final = "round"
#: Our names of activations where they differ.
_ACTIVATIONS: Final = {"hardswish": "hswish", "hardsigmoid": "hsigmoid", "swish": "silu"}


def plain(name: str) -> str:
    """Write an operator's name small and without underscores."""
    return name.lower().replace("_", "")


def operator(name: str, where: str) -> Op:
    """Return what an operator is to us.

    Raises
    ------
    WorkloadError
        It is unknown: it may multiply, and no layer kind describes it.
    """
    op = OPERATORS.get(plain(name))
    if op is None:
        raise WorkloadError(
            f"{where}: operator {name!r} is not supported; a workload has 2-D convolutions, linear"
            " layers, pooling, sums, products, concatenations, shuffles, normalisations and"
            " activations"
        )
    return op


def clamp_limits(
    name: str, low: float | None = None, high: float | None = None
) -> tuple[float, float] | None:
    """Return the limits between which a clamp passes values as they are; None of another operator.

    Parameters
    ----------
    name : str
    low, high : float, optional
        Its arguments; of a maximum or minimum with a number, that number as both.
    """
    short = plain(name)
    if short in ("relu", "relu6"):
        return 0.0, 6.0 if short == "relu6" else math.inf
    if short == "hardtanh":
        low, high = -1.0 if low is None else low, 1.0 if high is None else high
    elif short in ("max", "maximum", "clampmin"):
        high = None
    elif short in ("min", "minimum", "clampmax"):
        low = None
    elif short not in ("clamp", "clip"):
        return None
    limits = -math.inf if low is None else low, math.inf if high is None else high
    limits = -math.inf if limits[0] <= -3.4e38 else limits[0], limits[1]
    limits = limits[0], math.inf if limits[1] >= 3.4e38 else limits[1]
    return limits if limits[0] <= limits[1] else None


def rounded_kind(kinds: Collection[str], limits: tuple[float, float], step: float) -> str:
    """Return our name of a clamp to an 8-bit grid: what its lower limit is, an upper one ends.

    Parameters
    ----------
    kinds : of the clamps that it stands for
    limits : (low, high)
        A type of 8 bits ends somewhere: only an end at 6 is a ReLU6's.
    step : float
        Of the grid.
    """
    if limits[0] > 0:
        return f"clamp({limits[0]:g}, {limits[1]:g})"
    if limits[0] < 0:
        return ROUNDING
    return "relu6" if "relu6" in kinds or abs(limits[1] - 6) <= step else "relu"


def activation_kind(name: str, limits: tuple[float, float] | None = None) -> str:
    """Return our name of an activation; a clamp is ReLU or ReLU6 where its limits make it so."""
    if limits is not None:
        named = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6"}
        return named.get(limits, f"clamp({limits[0]:g}, {limits[1]:g})")
    short = plain(name)
    return _ACTIVATIONS.get(short, short)


def number(value: Any) -> float | None:
    """Return a number, or what all numbers of an array are; NaN where they differ."""
    if value is None:
        return None
    numbers = np.asarray(value, np.float64).reshape(-1)
    return float(numbers[0]) if numbers.size and (numbers == numbers[0]).all() else math.nan


def is_relu(short: str, given: Mapping[str, Any]) -> bool:
    """Whether another activation has the arguments that make it a ReLU."""
    if short == "leakyrelu":
        return bool(given.get("negative_slope", 0.01) == 0)
    if short in ("threshold", "thresholdedrelu"):
        return number(given.get("threshold", 1)) == 0 and number(given.get("value", 0)) == 0
    return False
