"""FuSe variants of any network: those of DATE'21 to the layer, and what cannot be rewritten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from archonsim.cli.app import run_command
from archonsim.errors import WorkloadError
from archonsim.network.fuse import VARIANTS, Variant, fuse_network
from archonsim.network.layer import Layer
from archonsim.network.networks import network, network_names
from archonsim.tracefile.find import find_workload

DATE21 = ["mnasnet_b1", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"]
#: Where the authors' variants are not the rule's: MobileNetV1's have no ReLU behind 1-D layers, and
#: MobileNetV2's own a convolution that never runs.
UNEXECUTED = {"mobilenet_v2": 1088}
#: ShuffleNet joins maps right behind its depthwise layers, so that it has no full variant.
NAMED = [one for one in network_names() if one.endswith("_c10") and "shuffle" not in one]


def shapes(layer: Layer) -> Layer:
    return replace(layer, name="", role="", activation="none")


@pytest.mark.parametrize("name", DATE21)
@pytest.mark.parametrize("variant", ["half", "full"])
def test_the_variants_of_date21_to_the_layer(name: str, variant: Variant) -> None:
    ours, theirs = fuse_network(network(name), variant), network(f"{name}-fuse-{variant}")
    assert [*map(shapes, ours.layers())] == [*map(shapes, theirs.layers())]
    assert ours.params == theirs.params - UNEXECUTED.get(name, 0)
    assert "not trained" in ours.provenance.note


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", NAMED)
def test_maps_go_on_as_they_were(name: str, variant: Variant) -> None:
    plain = network(name)
    ours = fuse_network(plain, variant)
    before = {layer.name: layer for layer in plain.layers()}
    cut = {one for one in before if f"{one}_h" in {layer.name for layer in ours.layers()}}
    windows = [one for one in before.values() if one.kind == "depthwise"]
    assert len(cut) == (len(windows) // 2 if variant.endswith("-50") else len(windows))
    assert len(cut) + len([*ours.blocks()]) >= len([*plain.blocks()])
    for layer in ours.layers():
        if layer.name in before:
            old = before[layer.name]
            assert (layer.out_h, layer.out_w) == (old.out_h, old.out_w)
            if layer.kind == "conv":
                assert layer.out_channels == old.out_channels


def test_half_of_them_are_those_with_the_largest_maps() -> None:
    ours = fuse_network(network("mobilenet_v2"), "half-50")
    cut = [layer for layer in ours.layers() if layer.role == "fuse_1xk"]
    kept = [layer for layer in ours.layers() if layer.kind == "depthwise" and layer.kernel_h == 3
            and layer.kernel_w == 3]  # fmt: skip
    assert len(cut) == 8

    def size(layer: Layer) -> int:
        return layer.out_channels * layer.out_h * layer.out_w

    assert min(2 * size(one) for one in cut) >= max(map(size, kept))


def test_a_workload_is_rewritten_where_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewritten = find_workload("workloads/fusionet_digits.h5+fuse-half")
    assert rewritten.trace is None
    assert rewritten.provenance.flavour == "shape-only"
    assert run_command(["networks", "mobilenet_v2+fuse-full", "-f", "csv"]) == 0
    assert capsys.readouterr().out.count("_h,depthwise") == 17
    pair = "mobilenet_v2:systolic,mobilenet_v2+fuse-half:fuse"
    assert run_command(["compare", "--pair", pair, "--fidelity", "ideal", "-f", "csv"]) == 0
    table = capsys.readouterr().out
    assert "mobilenet_v2+fuse-half" in table
    odd = tmp_path / "x+fuse-half.csv"
    odd.write_text("Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels,"
                   " Num Filter, Strides,\none, 8, 8, 3, 3, 3, 4, 1,\n")  # fmt: skip
    assert find_workload(str(odd)).trace is None
    with pytest.raises(WorkloadError, match="no depthwise layer with a window"):
        find_workload(f"{odd}+fuse-half")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mobilenet_v2+fuse-haf", "unknown FuSe variant 'haf'; it must be one of full, half"),
        ("resnet50+fuse-half", "has no depthwise layer"),
        ("shufflenetmod_c10+fuse-full", "twice its channels, which b2.add behind it cannot take"),
        ("mobilenet_v9+fuse-half", "unknown network 'mobilenet_v9'"),
    ],
)
def test_what_cannot_be_rewritten_is_one_line(
    name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["run", "-a", "dense", "-w", name, "--fidelity", "ideal"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_odd_channels_cannot_be_halved() -> None:
    layer = Layer(
        name="dw", kind="depthwise", role="dw", in_channels=5, out_channels=5, in_h=8, in_w=8,
        kernel_h=3, kernel_w=3, padding=(1, 1, 1, 1), groups=5,
    )  # fmt: skip
    work = replace(network("mobilenet_v2"), items=(layer,), unexecuted_params=0)
    with pytest.raises(WorkloadError, match="5 channels, which a half FuSe variant cannot halve"):
        fuse_network(work, "half")
    with pytest.raises(WorkloadError, match="the end of the network"):
        fuse_network(work, "full")
