"""What the operators of PyTorch and ONNX are to us, by name: written small, without underscores."""

from __future__ import annotations

import math
from typing import Final

from archonsim.errors import WorkloadError
from archonsim.export.graph import Op

_BY_OP: Final[dict[Op, str]] = {
    "conv": "conv2d conv", "linear": "linear gemm matmul",
    "norm": "batchnorm2d batchnorm1d batchnorm batchnormalization",
    "pad": "pad zeropad2d constantpadnd", "pool": "maxpool2d avgpool2d maxpool averagepool",
    "avgpool": "adaptiveavgpool2d globalaveragepool mean reducemean", "add": "add iadd",
    "multiply": "mul imul", "concat": "cat concat concatenate",
    "move": "view reshape permute transpose contiguous flatten unflatten squeeze unsqueeze "
    "channelshuffle pixelshuffle viewcopy",
    "split": "chunk split splitwithsizes getitem narrow slice select gather",
    "pass": "dropout dropout2d featuredropout alphadropout identity stochasticdepth clone detach "
    "alias to cast",
    "activation": "relu relu6 hardtanh clamp clip clampmin hardswish sigmoid hardsigmoid silu "
    "swish "
    "gelu elu selu celu leakyrelu "
    "prelu "
    "rrelu tanh mish softplus softsign softmax logsoftmax logsigmoid threshold hardshrink",
    "free": "sub isub div idiv truediv itruediv neg abs sqrt exp pow layernorm groupnorm "
    "instancenorm2d instancenorm "
    "localresponsenorm layernormalization instancenormalization",
}  # fmt: skip
OPERATORS: Final[dict[str, Op]] = {
    name: op for op, names in _BY_OP.items() for name in names.split()
}

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


def activation_kind(name: str, low: float | None = None, high: float | None = None) -> str:
    """Return our name of an activation; a clamp is ReLU or ReLU6 where its limits make it so."""
    short = plain(name)
    if short in ("hardtanh", "clamp", "clip", "clampmin"):
        if low == 0:
            if high is None or high == math.inf or high >= 3.4e38:
                return "relu"
            if high == 6:
                return "relu6"
        return f"clamp({low}, {high})"
    return _ACTIVATIONS.get(short, short)
