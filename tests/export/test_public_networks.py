"""Networks of torchvision and timm, in training libraries' own words: MACs as others count them.

Random weights: multiply-accumulates depend on shapes alone. Two counts that know nothing of ours
stand beside: PyTorch's flop counter, which sees the operators that run, and hooks on the modules.
A network of each family is tried here, all of them where ``ARCHONSIM_ALL_NETWORKS`` is set (``make
networks``, minutes).
"""

from __future__ import annotations

import os
from typing import Any

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
CASES = [
    pytest.param(library, name, id=f"{library}-{name}")
    for library, names in NETWORKS.items()
    for name in (names.split() if os.environ.get("ARCHONSIM_ALL_NETWORKS") else names.split()[:1])
]


def build(library: str, name: str) -> nn.Module:
    """Return a network with random weights; skip where its library cannot be imported."""
    try:
        made = __import__(library)
        if library == "torchvision":
            made = __import__("torchvision.models").models
    except (ImportError, RuntimeError) as error:  # torchvision's operators built for another torch
        pytest.skip(f"{library} cannot be imported (extra 'networks'): {str(error)[:80]}")
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
