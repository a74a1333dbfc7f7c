"""Predictors fitted in closed form, on blocks of every kind."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from torch import Tensor  # noqa: E402

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.network.block import Block  # noqa: E402
from archonsim.network.layer import Layer  # noqa: E402
from archonsim.network.workload import Flavour, Provenance, Workload  # noqa: E402
from archonsim.zoo.network import Network, core  # noqa: E402
from tests.strategies import make_block  # noqa: E402
from workloads.calibrate import calibrate  # noqa: E402
from workloads.parts import predictors  # noqa: E402
from workloads.pruning import Pruner  # noqa: E402
from workloads.refit import prune_by_refit  # noqa: E402


def tiny(flavour: Flavour) -> Network:
    """ShuffleNet's kinds of blocks, then MnasNet's with squeeze and excitation.

    ShuffleNet's: a sum, and a concatenated average at stride 2.
    """
    late = make_block(
        channels=6, mid=48, out=6, groups=3, late=True, shuffle=3, residual=True, index=1
    )
    concat = make_block(
        channels=6, mid=48, out=3, groups=3, late=True, shuffle=3, stride=2, index=2
    )
    concat = dataclasses.replace(concat, residual="concat")
    last = make_block(channels=9, mid=40, out=9, size=(4, 4), kernel=5, index=3)
    squeezed = [
        Layer(
            name="b3.se_squeeze",
            kind="avgpool",
            role="se_squeeze",
            in_channels=9,
            out_channels=9,
            in_h=4,
            in_w=4,
        ),
        Layer(
            name="b3.se_excite1",
            kind="fc",
            role="se_excite1",
            in_channels=9,
            out_channels=5,
            bias=True,
            activation="relu",
        ),
        Layer(
            name="b3.se_excite2",
            kind="fc",
            role="se_excite2",
            in_channels=5,
            out_channels=9,
            bias=True,
            activation="sigmoid",
        ),
        Layer(
            name="b3.se_scale",
            kind="multiply",
            role="se_scale",
            in_channels=9,
            out_channels=9,
            in_h=4,
            in_w=4,
        ),
        Layer(name="b3.add", kind="add", role="add", in_channels=9, out_channels=9, in_h=4, in_w=4),
    ]
    items: tuple[Layer | Block, ...] = (late, concat, last, *squeezed)
    return Network(
        Workload(name="tiny", items=items, provenance=Provenance(network="tiny")), flavour
    )


def settled(x: Tensor) -> Network:
    torch.manual_seed(0)
    network = tiny("pruned")
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = None
            torch.nn.init.normal_(norm.bias, 0.0, 0.3)
    Pruner(network, 0.5, 0.5).tighten(1.0)
    network.train()(x)
    return network.eval()


def test_calibration_brings_the_output_nearer_to_the_network_without_predictors() -> None:
    errors = []
    lines: list[str] = []
    with torch.no_grad():
        x = torch.randn(64, 6, 8, 8, generator=torch.Generator().manual_seed(1))
        real = settled(x)
        for fitted in (False, True):
            network = tiny("pred")
            network.load_state_dict(real.state_dict(), strict=False)
            for predictor, unit in predictors(network):
                predictor.copy_from(unit)
            if fitted:
                calibrate(network, x, lines.append)
            errors.append(float((network.eval()(x) - real(x)).square().mean() / real(x).var()))
    assert [line.split(":")[0] for line in lines] == ["b1", "b2", "b3"]
    assert errors[1] < 0.6 * errors[0]
    block = core(network.items["b3"])
    assert block is not None
    assert block.predictor2 is not None
    assert block.predictor2.step != 0.8


def test_pruning_by_least_squares_refuses_blocks_that_it_does_not_know() -> None:
    with pytest.raises(
        WorkloadError,
        match="block b1: pruning by least squares knows blocks of the order pw-dw-pw alone",
    ):
        prune_by_refit(tiny("pruned"), torch.randn(2, 6, 8, 8), 0.8, 0.7, lambda line: None)
