"""The recipes of the 25 experiments against the facts that they restate."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.zoo.network import build  # noqa: E402
from tests.published.sources import CIFAR, shared_rows  # noqa: E402
from workloads.book import experiments, load_recipe  # noqa: E402
from workloads.parts import (  # noqa: E402
    freeze_real_branches,
    parameter_groups,
    penalty,
    training_mode,
)
from workloads.pruning import Pruner, prune  # noqa: E402
from workloads.queue import ORDER  # noqa: E402
from workloads.recipe import Phase  # noqa: E402
from workloads.schedule import Schedule  # noqa: E402

#: Largest file that a machine lent for minutes hands back.
LARGEST = 16 * 2**20


def test_there_are_25_experiments_and_each_has_its_phase() -> None:
    found = experiments()
    assert len(found) == 25
    assert {(one.dataset, one.source, one.variant): one.network for one in found} == CIFAR
    assert sorted(ORDER) == sorted(CIFAR.values())
    for one, name in itertools.product(found, ("paper", "gpu")):
        recipe = load_recipe(one.network, name)
        assert recipe.dataset == one.dataset
        assert one.flavour in [phase.flavour for phase in recipe.phases]


def test_accuracies_are_the_published_ones() -> None:
    published = {
        (row["dataset"], row["network"], row["variant"], row["flavour"]): row["test_accuracy"]
        for row in shared_rows("networks/accuracy.csv")
    }
    absent = published.pop(("cifar10", "shufflenet", "baseline", "pruned"))
    assert absent == ""
    ours = {
        (one.dataset, one.source, one.variant, one.published_flavour): one.accuracy
        for one in experiments()
    }
    assert ours == {key: float(value) if value else None for key, value in published.items()}


#: (network, phase, {epoch: rate}), worked out from the formulas of the source.
RATES = [
    ("mobilenetv2_c10", 0, {0: 1e-3, 3: 1e-2, 5: 0.1, 6: 0.10072, 125: 0.000817}),
    ("mnasnet_c10", 0, {6: 0.10072, 126: 8e-4, 149: 8e-4}),
    ("shufflenetmod_c10", 0, {6: 0.10036, 126: 4e-4, 145: 4e-4}),
    (
        "fusionet_c10",
        0,
        {105: 0.008361, 106: 0.008361, 121: (0.008361 - 4e-4) / 8 + 4e-4, 136: 4e-4, 145: 4e-4},
    ),
    ("fusionet_c100", 0, {0: 0.5002, 70: (0.5002 + 4e-4) / 2, 139: 4.63e-4}),
    ("mobilenetv2mod_c10", 1, {0: 0.02, 240: 8e-5, 259: 8e-5}),
    ("fusionet_c10", 1, {0: 0.1, 40: 0.0999 / 8 + 1e-4}),
    ("mnasnetmod_c10", 1, {1: 4e-3, 5: 0.1, 85: 1.339e-4}),
    ("shufflenetmod_c10", 1, {0: 0.01, 79: 0.0099 / 80**3 + 1e-4}),
    ("mnasnet_c100", 1, {0: 1e-4, 7: 8e-2, 8: 0.1, 87: 2.069e-4}),
    ("fusionet_c10", 2, {0: 1e-3, 42: 8e-5, 49: 8e-5}),
    ("fusionet_c100", 2, {0: 1e-2, 49: 1e-4}),
    ("shufflenetmod_c10", 2, {7: 1e-3, 8: 8e-4, 17: 8e-4, 18: 4e-4, 29: 4e-4}),
]


@pytest.mark.parametrize(("network", "number", "rates"), RATES)
def test_learning_rates_by_epoch(network: str, number: int, rates: dict[int, float]) -> None:
    phase = load_recipe(network, "paper").phases[number]
    schedule = Schedule(phase, 50_000, 0)
    per_epoch = 50_000 // phase.stages[0].batch
    assert schedule.steps == per_epoch * phase.stages[0].epochs
    for epoch, rate in rates.items():
        for step in (epoch * per_epoch, (epoch + 1) * per_epoch - 1):
            assert schedule.rate(step) == pytest.approx(rate, rel=2e-4, abs=6e-7)


def test_penalties_by_part() -> None:
    layers = {layer.name: layer for layer in build("mobilenetv2mod_c10").workload.layers()}
    vanilla = load_recipe("mobilenetv2mod_c10", "paper").phases[0].l2
    found = [
        penalty(layers[name], vanilla)
        for name in ("head_conv", "b0.pw1", "b1.pw1", "b7.pw2", "b8.pw1", "tail_pw", "fc")
    ]
    assert found == [4e-5, 4e-5, 2e-4, 2e-4, 1e-4, 4e-5, 4e-5]
    se = next(
        layer for layer in build("mnasnetmod_c10").workload.layers() if layer.role == "se_excite1"
    )
    assert penalty(se, load_recipe("mnasnetmod_c10", "paper").phases[0].l2) == 4e-5
    with pytest.raises(WorkloadError, match="l2 has a part 'body'; it must be head, tail"):
        Phase(flavour="vanilla", stages=(), peak_rate=0.1, l2={"body": 1.0})


def test_penalties_act_twice_on_the_gradient_and_never_on_depthwise_kernels() -> None:
    network: Any = build("fusionet_c10")
    phase = load_recipe("fusionet_c10", "paper").phases[0]
    decay = {
        id(one): group["weight_decay"]
        for group in parameter_groups(network, phase)
        for one in group["params"]
    }
    block = next(network.bottlenecks())
    assert decay[id(block.pw1.conv.weight)] == 2e-4
    assert decay[id(network.items["fc"].conv.weight)] == 8e-5
    free = [block.dw.conv.weight, block.pw1.bn.weight, network.items["fc"].conv.bias]
    assert [decay[id(one)] for one in free] == [0.0] * 3
    assert len(decay) == len(list(network.parameters()))


def test_the_last_mask_of_the_ramp_has_the_published_number_of_weights() -> None:
    """P = 38 epochs of ramp leave the shares S (1 - 1/38^3); then the mask is frozen."""
    network: Any = build("fusionet_c100")
    recipe = load_recipe("fusionet_c100", "paper")
    phase = recipe.phases[1]
    schedule = Schedule(phase, 50_000, 0)
    pruner = Pruner(network, recipe.pointwise_sparsity, recipe.depthwise_sparsity, recipe.dense)
    prune(phase, pruner, 38 * schedule.epoch_steps, schedule)
    tail = network.items["tail_pw"].conv.weight
    assert torch.count_nonzero(tail) == 40_963
    tail.data.normal_()
    prune(phase, pruner, 38 * schedule.epoch_steps + 1, schedule)
    assert torch.count_nonzero(tail) == 40_963


def test_every_slice_has_the_published_number_of_weights() -> None:
    rows = shared_rows("networks/densities_fusionet_c100.csv")
    network: Any = build("fusionet_c100")
    pruner = Pruner(network, 0.8, 0.7)
    pruner.tighten(37 / 38)
    kept = (
        torch.count_nonzero(network.items["tail_pw"].conv.weight, dim=(0, 1, 2, 3)).view(1).tolist()
    )
    for block in network.bottlenecks():
        for unit, slices in ((block.pw1, 4), (block.dw, 1), (block.pw2, 4)):
            kept += torch.count_nonzero(unit.conv.weight.view(slices, -1), dim=1).tolist()
    pruned = [row for row in rows if float(row["target_sparsity"])]
    assert len(pruned) == 145
    assert sorted(kept) == sorted(int(row["nonzeros"]) for row in pruned)


DENSE = {
    "mobilenetv2mod_c10": {"b0", "tail_pw"},
    "shufflenetmod_c10": {"tail_pw"},
    "mnasnet_c100": {"tail_pw"},
}


def test_layers_that_the_source_leaves_dense_stay_dense() -> None:
    for name, dense in (
        ("mobilenetv2mod_c10", {"b0", "tail_pw"}),
        ("shufflenetmod_c10", {"tail_pw"}),
        ("mnasnet_c100", {"tail_pw"}),
    ):
        recipe = load_recipe(name, "paper")
        network: Any = build(name)
        Pruner(network, 0.8, 0.7, recipe.dense).tighten(1.0)
        whole = {
            unit.layer.name.split(".")[0]
            for unit in network.modules()
            if hasattr(unit, "layer")
            and hasattr(unit, "conv")
            and bool((unit.conv.weight != 0).all())
        }
        blocks = {one for one in whole if one.startswith("b")} | (whole & {"tail_pw"})
        # Squeeze and excitation stays dense within a pruned block.
        assert blocks - {f"b{number}" for number in range(1, 17)} == dense
        assert {"head_conv", "fc"} <= whole


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["shufflenetmod_c10", "mnasnetmod_c10"])
def test_what_trains_beside_the_predictors(name: str) -> None:
    torch.manual_seed(0)
    network: Any = build(name, "pred")
    phase = load_recipe(name, "paper").phases[2]
    freeze_real_branches(network, phase.frozen)
    training_mode(network)
    network(torch.randn(2, 3, 32, 32)).sum().backward()
    trained = {key for key, one in network.named_parameters() if one.grad is not None}
    block = "items.b4." if name == "shufflenetmod_c10" else "items.b4.core."
    last = (
        {"dw.conv.weight", "dw.bn.weight", "dw.bn.bias"}
        if name == "shufflenetmod_c10"
        else {"pw2.bn.weight", "pw2.bn.bias"}
    )
    normed = {f"predictor{place}.bn.{kind}" for place in (1, 2) for kind in ("weight", "bias")}
    excited = {key for key in trained if ".parts." in key and key.startswith("items.b4.")}
    assert {key for key in trained if key.startswith("items.b4.")} == {
        block + key for key in last | normed
    } | excited
    assert bool(excited) == (name == "mnasnetmod_c10")
    assert "items.head_conv.conv.weight" in trained
    assert ("items.head_pw.conv.weight" in trained) == (name == "mnasnetmod_c10")
    before = next(network.bottlenecks()).stages[0].bn.running_mean
    assert not before.any(), "frozen normalisations keep their statistics"


@pytest.mark.parametrize("name", ["fusionet_c100", "mnasnet_c100", "mnasnetmod_c10"])
def test_checkpoints_stay_small(name: str) -> None:
    """The largest networks: weights, and momentum for all of them."""
    recipe = load_recipe(name, "paper")
    for flavour in {phase.flavour for phase in recipe.phases} - {"pruned"}:
        network, memory = build(name, flavour), io.BytesIO()
        torch.save(network.state_dict(), memory)
        assert memory.tell() < LARGEST
    optimiser = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    torch.save(
        {"optimiser": optimiser.state_dict(), "rng": torch.get_rng_state()}, memory := io.BytesIO()
    )
    assert memory.tell() < LARGEST


def test_unknown_networks_are_named() -> None:
    with pytest.raises(WorkloadError, match="no recipe for 'mobilenet_v2'"):
        load_recipe("mobilenet_v2", "paper")
