"""Start a training from weights that somebody else trained on other images.

Where a network's layers have the shapes of a published one, a training on two cores need not begin
at random weights: torchvision's MobileNetV2 (ImageNet, BSD-3-Clause) has the layers of
``mobilenetv2_c10``, apart from strides, the first block's PW1 and the classifier.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archonsim.errors import WorkloadError
from archonsim.zoo.network import Network
from archonsim.zoo.unit import BN_EPS, ConvUnit
from workloads.data import Split
from workloads.transfer import IMAGES, transfer

#: The network whose blocks have other shapes than torchvision's.
MODIFIED = "mobilenetv2mod_c10"
#: torchvision's normalisation of ImageNet's images, pixels in 0..1, and its epsilon of batch
#: normalisations.
_MEAN, _DEVIATION, _EPS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1e-5
#: Training images from which a layer that the published network lacks gets its statistics.
_IMAGES = 512


def _copy(unit: ConvUnit, state: dict[str, Tensor], conv: str, norm: str, path: Path) -> None:
    """Copy a convolution and its normalisation.

    The slope makes up for the difference between both epsilons at the stored variance.
    """
    assert unit.bn is not None
    assert unit.bn.running_mean is not None
    assert unit.bn.running_var is not None
    weight = state.get(f"{conv}.weight")
    if weight is None or weight.shape != unit.conv.weight.shape:
        found = "absent" if weight is None else "x".join(map(str, weight.shape))
        want = "x".join(map(str, unit.conv.weight.shape))
        raise WorkloadError(
            f"{path}: {conv}.weight is {found}; layer {unit.layer.name} needs {want}"
        )
    unit.conv.weight.copy_(weight)
    variance = state[f"{norm}.running_var"]
    unit.bn.running_mean.copy_(state[f"{norm}.running_mean"])
    unit.bn.running_var.copy_(variance)
    unit.bn.weight.copy_(state[f"{norm}.weight"] * ((variance + BN_EPS) / (variance + _EPS)).sqrt())
    unit.bn.bias.copy_(state[f"{norm}.bias"])


def _take_normalisation(head: ConvUnit, data: Split) -> None:
    """Let the first convolution read images as this data set normalises them.

    The mean is left to the batch normalisation behind it.
    """
    scale = torch.tensor([data.deviation / 255 / deviation for deviation in _DEVIATION])
    head.conv.weight.mul_(scale[None, :, None, None])
    shift = torch.tensor(
        [
            (data.mean / 255 - mean) / deviation
            for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)
        ]
    )
    assert head.bn is not None
    assert head.bn.running_mean is not None
    sums = head.conv.weight.sum((2, 3)) / scale
    head.bn.running_mean.sub_(sums @ shift)


def _pass_on(unit: ConvUnit, x: Tensor) -> None:
    """Make a 1x1 convolution with its normalisation pass on what it reads."""
    assert unit.bn is not None
    assert unit.bn.running_mean is not None
    assert unit.bn.running_var is not None
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    unit.conv.weight.copy_(torch.eye(unit.layer.out_channels)[:, :, None, None])
    unit.bn.running_mean.copy_(mean)
    unit.bn.running_var.copy_(variance)
    unit.bn.weight.copy_((variance + BN_EPS).sqrt())
    unit.bn.bias.copy_(mean)


@torch.no_grad()
def start_from(network: Network, path: Path, data: Split) -> None:
    """Give a network the weights of torchvision's MobileNetV2, in place.

    Everything but the classifier is copied; the first block's PW1, which torchvision's network does
    not have, passes its input on.

    Parameters
    ----------
    network : Network
        Flavour ``vanilla``, on the CPU.
    path : Path
        torchvision's ``mobilenet_v2`` state (``.pth``), read without running code from it.
    data : Split
        Training images: their normalisation, and the statistics of the layer that is not copied.

    Raises
    ------
    WorkloadError
        The file is no such state, or a layer has another shape.
    """
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WorkloadError(f"{path}: not a PyTorch state: {error}") from error
    if not isinstance(state, dict) or "features.0.0.weight" not in state:
        raise WorkloadError(f"{path}: no features.0.0.weight; it must be torchvision's MobileNetV2")
    modules = list(network.items.values())
    head, tail = (module for module in modules if isinstance(module, ConvUnit))
    _copy(head, state, "features.0.0", "features.0.1", path)
    _take_normalisation(head, data)
    if network.workload.name == MODIFIED:
        network.eval()
        transfer(network, state, head(data.batch(slice(0, IMAGES))))
        return
    blocks = list(network.bottlenecks())
    for number, block in enumerate(blocks, start=1):
        base = f"features.{number}.conv"
        if f"{base}.3.weight" in state:
            _copy(block.pw1, state, f"{base}.0.0", f"{base}.0.1", path)
            _copy(block.dw, state, f"{base}.1.0", f"{base}.1.1", path)
            _copy(block.pw2, state, f"{base}.2", f"{base}.3", path)
        else:
            network.eval()
            _pass_on(block.pw1, head(data.batch(slice(0, _IMAGES))))
            _copy(block.dw, state, f"{base}.0.0", f"{base}.0.1", path)
            _copy(block.pw2, state, f"{base}.1", f"{base}.2", path)
    last = f"features.{len(blocks) + 1}"
    _copy(tail, state, f"{last}.0", f"{last}.1", path)
