"""Networks of torchvision and timm, in training libraries' own words: MACs as others count them.

Random weights: multiply-accumulates depend on shapes alone. Two counts that know nothing of ours
stand beside: PyTorch's flop counter, which sees the operators that run, and hooks on the modules.
Masks are what hooks on the networks' own activations see.
A network of each family is tried here, all of them where ``ARCHONSIM_ALL_NETWORKS`` is set (``make
networks``, minutes).
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch import Tensor, nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from archonsim.export import export_module  # noqa: E402

#: By library. The first of each library is tried in every run.
NETWORKS = {
    "torchvision": (
        "mobilenet_v2 densenet121 efficientnet_b0 googlenet inception_v3 mnasnet0_5 mnasnet1_0"
        " mobilenet_v3_large mobilenet_v3_small regnet_x_400mf regnet_x_800mf regnet_y_400mf"
        " resnet18 resnet34 resnet50 resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0"
        " shufflenet_v2_x1_5 squeezenet1_0 squeezenet1_1 alexnet vgg11 vgg11_bn wide_resnet50_2"
    ),
    "timm": (
        "mobilenetv2_050 mobilenetv2_100 efficientnet_lite0 mnasnet_100 fbnetc_100 hardcorenas_a"
        " mobilenetv3_large_100 ghostnet_100 tinynet_e spnasnet_100 semnasnet_100 rexnet_100"
        " resnet18d dla34 repvgg_a0 lcnet_050 ese_vovnet19b_dw selecsls42 cspresnet50 darknet53"
        " res2net50_26w_4s mobileone_s0 resnetv2_50 regnety_002 resnet26t"
    ),
}
#: Those with blocks that fuse.
FUSED = ("mobilenet_v2", "mobilenetv2_050")
CASES = [
    pytest.param(library, name, id=f"{library}-{name}")
    for library, names in NETWORKS.items()
    for name in (names.split() if os.environ.get("ARCHONSIM_ALL_NETWORKS") else names.split()[:1])
]


#: Keeps what is declared in it.
_DECLARED = torch.library.Library("torchvision", "FRAGMENT")
_OPERATOR = re.compile(r"operator torchvision::(\w+) does not exist")


def library_of(name: str) -> Any:
    """Import a library of networks.

    torchvision is built for CUDA and cannot load its own operators beside a PyTorch without it,
    such as this project installs; then the import asks for their names. No network here runs
    one, so that a declaration does.
    """
    while True:
        try:
            made = importlib.import_module(name)
            return made.models if name == "torchvision" else made
        except RuntimeError as error:
            missing = _OPERATOR.search(str(error))
            if missing is None:
                raise
            _DECLARED.define(f"{missing[1]}(Tensor dets, Tensor scores, float most) -> Tensor")
            for module in [one for one in sys.modules if one.split(".")[0] == "torchvision"]:
                del sys.modules[module]


def build(library: str, name: str) -> nn.Module:
    """Return a network with random weights; skip where its library is not installed."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed (extra 'networks')")
    made = library_of(library)
    torch.manual_seed(0)
    if library == "timm":
        module: nn.Module = made.create_model(name, pretrained=False)
    else:
        module = made.get_model(name, weights=None)
    return module.eval()


def counted_by_hooks(module: nn.Module, image: Tensor) -> int:
    """Sum what convolutions and linear layers multiply, from shapes that hooks see."""
    total = 0

    def count(layer: nn.Module, given: Any, made: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += made.numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            total += made.numel() * layer.in_features

    hooks = [one.register_forward_hook(count) for one in module.modules()]
    with torch.no_grad():
        module(image)
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.filterwarnings("ignore")  # the libraries' own
@pytest.mark.parametrize(("library", "name"), CASES)
def test_macs_are_those_of_two_other_counts(library: str, name: str) -> None:
    module = build(library, name)
    # Their pooling before the linear layers is an average over equal windows at this size alone.
    size = 224 if name.startswith(("alexnet", "vgg")) else 128
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    workload = export_module(module, image)
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        module(image)
    ours = sum(layer.macs for layer in workload.layers())
    assert ours == flops.get_total_flops() // 2 == counted_by_hooks(module, image)
    assert workload.params == sum(one.numel() for one in module.parameters())


def activations(module: nn.Module, image: Tensor) -> list[Tensor]:
    """Return what enters each ReLU or ReLU6 of a network, without the batch, in running order."""
    found: list[Tensor] = []

    def note(_: nn.Module, given: Any) -> None:
        found.append(given[0][0].detach().clone())

    rectifiers = [one for one in module.modules() if isinstance(one, nn.ReLU | nn.ReLU6)]
    hooks = [one.register_forward_pre_hook(note) for one in rectifiers]
    with torch.no_grad():
        module(image)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.filterwarnings("ignore")  # the libraries' own
@pytest.mark.parametrize(("library", "name"), CASES)
def test_masks_are_the_signs_of_the_networks_own_activations(library: str, name: str) -> None:
    module = build(library, name)
    image = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    # Statistics of another image, so that half of the activations or so survive, as when trained.
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None
            norm.train()
    with torch.no_grad():
        module(torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(2)))
    workload = export_module(module.eval(), image)
    blocks = list(workload.blocks())
    assert blocks or name not in FUSED
    seen = iter(activations(module, image))
    for block in blocks:
        assert workload.trace is not None
        trace = workload.trace.block(block.name, 0)
        for relu, mask in enumerate((trace.keep1, trace.keep2)):
            kept = mask.unpack()
            # The next activation that is kept so: others lie between blocks.
            value = next((one for one in seen if np.array_equal(kept, one.numpy() > 0)), None)
            assert value is not None, f"{block.name}: no activation has ReLU {relu + 1}'s mask"
            if block.clips[relu]:
                np.testing.assert_array_equal(mask.states() == 2, value.numpy() >= 6)
