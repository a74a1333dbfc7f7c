"""What DATE'21 (FuSeConv) published about its networks.

Names, digits, and the rule behind its FLOPs.

The rule is that of a third-party counter, recovered from the authors' 25 exact values::

    MACs + bias of convolutions (one an output)
    + 2 an element into batch normalisation and into ReLU
    + elements of sums and products (hard swish: one of each; hard sigmoid: a sum)
    + elements into global average pooling modules
    + 8 for each output of a max pool

ReLU6, divisions, concatenations, linear biases and means written as tensor operations are free.
"""

from __future__ import annotations

import csv
from fractions import Fraction
from importlib import resources
from typing import Literal

from archonsim.network.layer import Layer
from archonsim.network.workload import Workload

#: DATE'21's names of the networks, and ours.
NETWORKS = {
    "MobileNetV1": "mobilenet_v1",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3-Small": "mobilenet_v3_small",
    "MobileNetV3-Large": "mobilenet_v3_large",
    "MnasNet-B1": "mnasnet_b1",
    "ResNet50": "resnet50",
}

Printed = Literal["both", "rounded", "truncated", "no"]

#: Operations of an activation for each element.
ACTIVATION_OPERATIONS = {"none": 0, "relu": 2, "relu6": 0, "hswish": 2, "hsigmoid": 1, "sigmoid": 0}

MAX_POOL_OPERATIONS = 8


def published_operations(layer: Layer) -> int:
    """Operations of one layer by the rule behind the published FLOPs."""
    outputs = layer.out_channels * layer.out_h * layer.out_w
    operations = (
        layer.macs
        + ACTIVATION_OPERATIONS[layer.activation] * outputs
        + 2 * layer.batchnorm * outputs
    )
    if layer.kind in ("conv", "depthwise"):
        operations += layer.bias * outputs
    elif layer.kind in ("add", "multiply"):
        operations += outputs
    elif layer.kind == "avgpool" and layer.role == "global_avgpool":
        operations += layer.in_channels * layer.in_h * layer.in_w
    elif layer.kind == "pool":
        operations += MAX_POOL_OPERATIONS * outputs
    return operations


def published_flops(workload: Workload) -> int:
    """Operations of one image of an ImageNet network."""
    return sum(published_operations(layer) for layer in workload.layers())


def network_name(network: str, variant: str) -> str:
    """Return our name of a published network and variant.

    ``("MobileNetV2", "half-50")`` is ``mobilenet_v2-fuse-half-50``.
    """
    return NETWORKS[network] + ("" if variant == "baseline" else f"-fuse-{variant}")


def date21_rows(table: str) -> list[dict[str, str]]:
    """Read a shipped table of DATE'21.

    ``table``, ``cycles`` or ``cycles_paper``, see ``archonsim/data/date21/README.md``.
    """
    text = (resources.files("archonsim") / "data" / "date21" / f"{table}.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def printed_as(value: Fraction, printed: str) -> Printed:
    """Return how `value` gives the printed digits.

    By rounding (half up), by cutting off, by both, or not at all.
    """
    decimals = len(printed.partition(".")[2])
    shown, scaled = Fraction(printed) * 10**decimals, value * 10**decimals
    rounded, truncated = (scaled + Fraction(1, 2)) // 1 == shown, scaled // 1 == shown
    return (
        "both"
        if rounded and truncated
        else "rounded"
        if rounded
        else "truncated"
        if truncated
        else "no"
    )
