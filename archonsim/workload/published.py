"""The rule by which DATE'21 (FuSeConv) counted the operations that it published as FLOPs.

It is that of a third-party counter, recovered from the authors' 25 exact values::

    MACs + bias of convolutions (one an output) + 2 an element into batch normalisation and into ReLU
    + elements of sums and products (hard swish: one of each; hard sigmoid: a sum) + elements into global average pooling modules
    + 8 for each output of a max pool

ReLU6, divisions, concatenations, linear biases and means written as tensor operations are free.
"""

from __future__ import annotations

from archonsim.workload.layer import Layer
from archonsim.workload.workload import Workload

#: Operations of an activation for each element.
ACTIVATION_OPERATIONS = {"none": 0, "relu": 2, "relu6": 0, "hswish": 2, "hsigmoid": 1, "sigmoid": 0}

MAX_POOL_OPERATIONS = 8


def published_operations(layer: Layer) -> int:
    """Operations of one layer by the rule behind the published FLOPs."""
    outputs = layer.out_channels * layer.out_h * layer.out_w
    operations = layer.macs + ACTIVATION_OPERATIONS[layer.activation] * outputs + 2 * layer.batchnorm * outputs
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
