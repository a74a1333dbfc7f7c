"""Shapes, MACs and parameters of all networks as published.

CIFAR: compstruct/fusion-ml-models, commit faaca50, traced from the authors' code (totals in
tests/data, layer tables beside the repository). ImageNet: iitm-sysdl/FuSeConv, commit 04cdf54.
Simulated shapes: compstruct/fusion-timeloop-model, ab4a7ef.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from archonsim.network.layer import Layer
from archonsim.network.networks import network, network_names
from archonsim.network.published import date21_rows, network_name, published_flops
from archonsim.network.workload import Workload
from archonsim.tracefile.check import check_structure
from archonsim.tracefile.reader import open_workload
from archonsim.tracefile.writer import write_workload
from tests.published.sources import CIFAR, data_rows, shared_rows

TOTALS = data_rows("network_totals.csv")

#: What the published simulation ran, by (network, accelerator, data set) of its tables;
#: ShuffleNet's dense runs are filed under FusioNet, too, which has no baseline of its own.
SIMULATED = {
    ("mobilenet", "dense", "cifar10"): "mobilenetv2_c10-ics21",
    ("mobilenet", "dense", "cifar100"): "mobilenetv2_c100-ics21",
    ("mobilenet", "archon", "cifar10"): "mobilenetv2mod_c10",
    ("mnasnet", "dense", "cifar10"): "mnasnet_c10-ics21",
    ("mnasnet", "dense", "cifar100"): "mnasnet_c100-ics21",
    ("mnasnet", "archon", "cifar10"): "mnasnetmod_c10-ics21",
    ("shufflenet", "dense", "cifar10"): "shufflenet_c10-ics21",
    ("shufflenet", "archon", "cifar10"): "shufflenetmod_c10-ics21",
    ("fusionet", "archon", "cifar10"): "fusionet_c10-ics21",
    ("fusionet", "archon", "cifar100"): "fusionet_c100-ics21",
}


@pytest.mark.parametrize(
    "row", TOTALS, ids=lambda row: CIFAR[row["dataset"], row["network"], row["variant"]]
)
def test_macs_and_parameters_of_cifar_networks(row: dict[str, str]) -> None:
    work = network(CIFAR[row["dataset"], row["network"], row["variant"]])
    layers = list(work.layers())
    assert (work.macs, work.params) == (int(row["macs_total"]), int(row["params_total"]))
    assert sum(layer.macs for layer in layers if layer.role in ("pw1", "pw2")) == int(
        row["macs_block_pw"]
    )
    assert sum(layer.macs for layer in layers if layer.role == "dw") == int(row["macs_block_dw"])
    assert sum(4 * layer.out_channels for layer in layers if layer.batchnorm) == int(
        row["params_bn"]
    )
    assert len(
        {layer.name.split(".")[0] for layer in layers if layer.name.endswith(".pw1")}
    ) == int(row["blocks"])


def _cifar_layer(layer: Layer) -> tuple[object, ...]:
    return (
        layer.role,
        layer.in_channels,
        layer.out_channels,
        layer.kernel_h,
        layer.stride_h,
        layer.groups,
        layer.in_h,
        layer.in_w,
        layer.out_h,
        layer.out_w,
        layer.activation,
        layer.batchnorm,
        layer.bias,
        layer.macs,
        layer.params,
    )


def _cifar_row(row: dict[str, str]) -> tuple[object, ...]:
    sizes = (
        int(row[key] or 1)
        for key in (
            "in_channels",
            "out_channels",
            "kernel",
            "stride",
            "groups",
            "in_h",
            "in_w",
            "out_h",
            "out_w",
        )
    )
    activation = row["activation"].replace("softmax", "none")  # it belongs to the loss
    params = int(row["params"]) + int(row["bn_params"])
    return (
        row["role"],
        *sizes,
        activation,
        row["batchnorm"] == "yes",
        row["use_bias"] == "yes",
        int(row["macs"]),
        params,
    )


@pytest.mark.parametrize("key", CIFAR, ids=lambda key: CIFAR[key])
def test_layers_of_cifar_networks(key: tuple[str, str, str]) -> None:
    rows = [
        row
        for row in shared_rows("networks/layers.csv")
        if (row["dataset"], row["network"], row["variant"]) == key
    ]
    computed = [layer for layer in network(CIFAR[key]).layers() if layer.is_compute]
    assert [_cifar_layer(layer) for layer in computed] == [
        _cifar_row(row) for row in rows if int(row["macs"])
    ]


@pytest.mark.parametrize(
    "row", date21_rows("table"), ids=lambda row: network_name(row["network"], row["variant"])
)
def test_macs_parameters_and_published_flops_of_imagenet_networks(row: dict[str, str]) -> None:
    work = network(network_name(row["network"], row["variant"]))
    assert (work.macs, work.params, published_flops(work)) == (
        int(row["macs"]),
        int(row["params"]),
        int(row["ops_onnx"]),
    )


def _imagenet_layer(layer: Layer) -> tuple[object, ...]:
    return (
        layer.name,
        layer.role,
        layer.in_channels,
        layer.out_channels,
        layer.kernel_h,
        layer.kernel_w,
        layer.stride_h,
        layer.stride_w,
        layer.padding,
        layer.groups,
        layer.in_h,
        layer.in_w,
        layer.out_h,
        layer.out_w,
        int(layer.bias),
        layer.macs,
        layer.weights + layer.out_channels * layer.bias,
    )


def _imagenet_row(row: dict[str, str]) -> tuple[object, ...]:
    n = {key: int(value) for key, value in row.items() if value.isdecimal()}
    pad = (n["pad_h"], n["pad_h"], n["pad_w"], n["pad_w"])
    before = (
        n[key]
        for key in ("in_channels", "out_channels", "kernel_h", "kernel_w", "stride_h", "stride_w")
    )
    after = (
        n[key] for key in ("groups", "in_h", "in_w", "out_h", "out_w", "bias", "macs", "params")
    )
    return (row["name"], row["kind"], *before, pad, *after)


def test_layers_of_imagenet_networks() -> None:
    rows = shared_rows("date21/layers.csv")
    names = dict.fromkeys((row["network"], row["variant"]) for row in rows)
    ours = [
        _imagenet_layer(layer)
        for name in names
        for layer in network(network_name(*name)).layers()
        if layer.is_compute
    ]
    assert len(rows) == 1680
    assert ours == [_imagenet_row(row) for row in rows]


def _simulated_layer(work: Workload, row: dict[str, str]) -> tuple[int, ...]:
    """(C, M, P, Q, R, S, stride) of what a row stands for, per group."""
    if row["phase"] == "main":
        block = next(block for block in work.blocks() if block.index == int(float(row["block"])))
        last = block.layers[-1]
        return (
            block.in_channels // block.groups,
            block.out_channels,
            last.out_h,
            last.out_w,
            block.dw.kernel_h,
            block.dw.kernel_w,
            block.dw.stride_h,
        )
    if row["part"] == "bottleneck":
        name = (
            f"b{int(float(row['block']))}."
            + {"decom": "pw1", "conv": "dw", "comp": "pw2"}[row["phase"]]
        )
    else:
        inner = (
            {"PW1": "b0.pw1", "DW1": "b0.dw", "PW2": "b0.pw2"}
            if row["network"] == "mobilenet"
            else {"PW1": "head_pw", "DW1": "head_dw"}
        )
        tail = {"PW1": "tail_pw", "FC1": "fc"}
        name = {"conv1": "head_conv", **(inner if row["part"] == "head" else tail)}[row["phase"]]
    layer = next(layer for layer in work.layers() if layer.name == name)
    out = layer.out_channels if layer.kind == "depthwise" else layer.out_channels // layer.groups
    return (
        layer.in_channels // layer.groups,
        out,
        layer.out_h,
        layer.out_w,
        layer.kernel_h,
        layer.kernel_w,
        layer.stride_h,
    )


def test_simulated_networks_have_the_shapes_that_the_published_simulation_ran() -> None:
    """All runs that enter the published results.

    Six of MnasNet's 5x5 main phases are copies of other runs: not shapes.
    """
    checked = 0
    for row in shared_rows("ics21/layers.csv"):
        key = (row["network"], row["accelerator"], row["dataset"])
        if key not in SIMULATED or row["used_in_results"] == "0" or row["stale_output"] == "1":
            continue
        ran = tuple(int(row[key]) for key in ("C", "M", "P", "Q", "R", "S", "Wstride"))
        assert _simulated_layer(network(SIMULATED[key]), row) == ran, row["row_id"]
        checked += 1
    assert checked == 349


def test_every_table_is_registered() -> None:
    assert {*CIFAR.values(), *SIMULATED.values(), "fusionet_digits"} <= set(network_names())
    assert {network_name(row["network"], row["variant"]) for row in date21_rows("table")} <= set(
        network_names()
    )


@pytest.mark.parametrize("name", [name for name in network_names() if not name.endswith("-ics21")])
def test_every_layer_of_a_network_finds_its_input(name: str) -> None:
    check_structure(network(name))


def test_all_kinds_of_layers_survive_a_workload_file(tmp_path: Path) -> None:
    for name in ("mobilenet_v3_small-fuse-half-50", "shufflenet_c10", "mnasnetmod_c10", "resnet50"):
        path = tmp_path / f"{name}.h5"
        write_workload(path, network(name), None)
        assert open_workload(path).items == network(name).items


def test_fusionet_saves_multiplications_as_claimed() -> None:
    """6-20 times fewer multiplications a block (ICS'21, abstract)."""
    ratios = [block.macs / block.fused_macs for block in network("fusionet_c10").blocks()]
    assert min(ratios) > 6
    assert max(ratios) < 30
