from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from archonsim.cli.app import run_command
from archonsim.errors import WorkloadError
from archonsim.machines.registry import machine
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.networks import network
from archonsim.network.workload import Provenance, Workload
from archonsim.result.inspect import Inspection, inspect_workload
from archonsim.runs.simulate import included
from archonsim.show.terminal.inspect_text import render_inspection
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import LayerTensors, MemoryTrace
from archonsim.tracefile.reader import open_workload

Made = tuple[Workload, MemoryTrace]


def test_sizes_add_up_to_the_file(tiny_file: Path) -> None:
    found = inspect_workload(open_workload(tiny_file), file=tiny_file)
    assert sum(found.bytes.values()) == tiny_file.stat().st_size
    assert all(size > 0 for size in found.bytes.values())


def test_rates_of_a_hand_made_mask(tiny: Made) -> None:
    workload, trace = tiny
    keep, true = np.zeros((12, 5, 5), bool), np.zeros((12, 5, 5), bool)
    keep[0], true[0, :2], true[1, 0, :5] = True, True, True  # 25 kept, 15 true, 10 of them kept
    one = replace(trace.block("b1", 0), keep1=Mask.pack(keep), true1=Mask.pack(true))
    changed = replace(workload, trace=replace(trace, blocks=trace.blocks | {("b1", 0): one}))
    relu = inspect_workload(changed, images=[0]).blocks[0].relu1
    assert relu is not None
    assert (relu.activations, relu.hits, relu.false_alarms, relu.misses) == (300, 10, 15, 5)
    assert relu.predicted_density == 25 / 300
    assert relu.true_density == 15 / 300
    assert relu.hit_rate == 10 / 15
    assert relu.miss_rate == 5 / 15
    assert relu.false_alarm_rate == 15 / 285


def test_images_add_up(tiny: Made) -> None:
    both, first, second = (inspect_workload(tiny[0], images=images) for images in (None, [0], [1]))
    assert both.inspected == (0, 1)
    for whole, one, other in zip(both.blocks, first.blocks, second.blocks, strict=True):
        if one.relu2 is None or other.relu2 is None:
            assert whole.name == "b4"
            assert whole.relu2 is None
        else:
            assert whole.relu2 == one.relu2 + other.relu2


def count_fused(block: Block, tensors: dict[str, LayerTensors]) -> int:
    """Count F[o, m, k, c] != 0 by making all of it."""
    pw1, dw, pw2 = (tensors[layer.name].weight != 0 for layer in (block.pw1, block.dw, block.pw2))
    groups, mid, out = block.groups, block.mid_channels, block.pw2.out_channels
    into = pw1[:, :, 0, 0].sum(axis=1)
    if block.order == "pw-pw-dw" and block.shuffle:
        into = into.reshape(block.shuffle, -1).T.ravel()
    total = 0
    for o in range(out):
        for place in range(mid // groups):
            m = o // (out // groups) * (mid // groups) + place
            taps = dw[m if block.order == "pw-dw-pw" else o].sum()
            total += int(pw2[o, place, 0, 0]) * int(taps) * int(into[m])
    return total


@pytest.mark.parametrize("name", ["b1", "b3", "b5"])
def test_fused_density(tiny: Made, name: str) -> None:
    workload, trace = tiny
    block = next(one for one in workload.blocks() if one.name == name)
    found = next(one for one in inspect_workload(workload, images=[0]).blocks if one.name == name)
    assert found.fused_nonzero == count_fused(block, trace.layers)
    assert (
        found.fused_weights
        == block.out_channels * block.mid_channels // 2 * 9 * block.in_channels // 2
    )


def test_layers_know_their_density_and_block(tiny: Made) -> None:
    layers = {one.name: one for one in inspect_workload(tiny[0], images=[0]).layers}
    assert layers["b1.dw"].block == "b1"
    assert layers["head_conv"].block is None
    assert layers["head_conv"].density == 1.0
    assert layers["b1.dw"].density == pytest.approx(0.3, abs=0.01)
    assert layers["pool"].density is None
    assert layers["b3.dw"].output == (12, 3, 3)


def test_shapes_only() -> None:
    found = inspect_workload(network("fusionet_c10"))
    assert found.images == 0
    assert all(one.nonzero is None for one in found.layers)
    assert all(one.relu1 is None and one.fused_density is None for one in found.blocks)
    assert "Masks" not in shown(found)


def shown(inspection: Inspection) -> str:
    text = io.StringIO()
    Console(width=250, file=text).print(render_inspection(inspection))
    return text.getvalue()


def test_text_shows_what_matters(tiny_file: Path) -> None:
    text = shown(inspect_workload(open_workload(tiny_file), file=tiny_file))
    for words in (
        "SYNTHETIC",
        "note: synthetic",
        "b5",
        "pw-pw-dw",
        "false alarms",
        "predictors",
        "digest ",
    ):
        assert words in text
    assert "nan" not in text


def test_json(tiny_file: Path) -> None:
    tree = json.loads(
        json.dumps(inspect_workload(open_workload(tiny_file), file=tiny_file).to_dict())
    )
    assert tree["schema"] == 1
    assert tree["provenance"]["mask_source"] == "synthetic"
    block = tree["blocks"][0]
    assert block["relu1"]["hit_rate"] + block["relu1"]["miss_rate"] == pytest.approx(1)
    assert tree["layers"][0]["density"] == 1.0


def test_an_image_out_of_range_is_refused(tiny_file: Path) -> None:
    with pytest.raises(WorkloadError, match="image 7 is out of range"):
        inspect_workload(open_workload(tiny_file), images=[7])


def test_lists_of_shapes_need_not_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Public topologies leave out pools and list branches: 98 of 117 were refused."""
    path = tmp_path / "net.csv"
    path.write_text(
        "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter,"
        " Strides,\nconv, 224, 224, 7, 7, 3, 64, 2,\npooled, 56, 56, 1, 1, 64, 64, 1,\n"
        "branch, 56, 56, 1, 1, 192, 16, 1,\n"
    )
    assert run_command(["inspect", str(path)]) == 0
    assert "branch" in capsys.readouterr().out


def test_predictions_are_not_listed_where_no_block_is_predicted(tmp_path: Path) -> None:
    layer = Layer(name="a", kind="conv", role="conv", in_channels=4, out_channels=4)
    plain = Workload(name="plain", items=(layer,), provenance=Provenance(network="plain"))
    found = machine("archon")
    assert "both ReLU predictions" in found.includes[0]
    assert included(found, plain)[0].startswith("every layer by itself: no block")
    assert included(found, plain)[1:] == found.includes[1:]
    assert included(found, network("fusionet_digits")) == found.includes
