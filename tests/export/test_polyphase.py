"""Dilated and transposed convolutions are plain layers on phases of their maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'torch')")
from torch import nn  # noqa: E402

from archonsim.cli.app import run_command  # noqa: E402
from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.export import export_module, polyphase  # noqa: E402
from archonsim.export.examine import Examined, examine  # noqa: E402
from archonsim.export.prune import Pruning  # noqa: E402
from archonsim.export.recompute import weighted  # noqa: E402
from archonsim.export.source import module_source  # noqa: E402
from archonsim.export.units import Unit  # noqa: E402
from archonsim.machines.registry import machine_names  # noqa: E402
from archonsim.network.layer import Layer  # noqa: E402
from archonsim.network.workload import Workload  # noqa: E402
from archonsim.runs.verify import verify  # noqa: E402
from archonsim.tracefile.check import check_structure  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402
from archonsim.tracefile.writer import write_workload  # noqa: E402
from tests.export.nets import Inverted, conv  # noqa: E402

Image = np.ndarray[Any, Any]


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


def values_by_layer(found: Examined, image: Image) -> list[tuple[Unit, Image, Image]]:
    """Return each layer, what our own sums make of its input, and what the network made."""
    runner, name = found.source.runner, found.source.graph.input.name
    made = []
    for unit in found.layers.values():
        assert isinstance(unit, Unit)
        values = runner.evaluate({name: image}, [unit.source, unit.pre])
        ours, _ = weighted(unit.layer, unit.tensors, values[unit.source][0])
        made.append((unit, ours, values[unit.pre][0]))
    return made


def checked(one: Any, size: tuple[int, int], seen: Any) -> Workload | None:
    """Check each phase's layer, and that all phases together have every pixel of the output once.

    Parameters
    ----------
    one : nn.Module
        Of 4 channels.
    seen : (1, O, P, Q) tensor
        Not 0 where an output pixel meets any input pixel.

    Returns
    -------
    Workload or None
        None where it is not modelled.
    """
    net, image = nn.Sequential(one), torch.randn(1, 4, *size).numpy()
    source = polyphase.in_phases(module_source(net.eval(), image, "net"))
    if any(node.op == "unmodelled" for node in source.graph.nodes):
        assert not seen.all()
        return None
    made = values_by_layer(examine(source), image)
    for unit, ours, theirs in made:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5, err_msg=unit.name)
    with torch.no_grad():
        out = net(torch.from_numpy(image)).numpy()
    pixels = np.concatenate([theirs.ravel() for _, _, theirs in made])
    np.testing.assert_array_equal(np.sort(pixels), np.sort(out.ravel()))
    work: Workload = export_module(net, image)
    assert work.params == one.weight.numel() + one.bias.numel()
    return work


@pytest.mark.sampled(15)
@given(
    size=pairs(1, 12), kernel=pairs(1, 4), stride=pairs(1, 3), dilation=pairs(1, 4),
    padding=pairs(0, 5), groups=st.sampled_from([1, 2, 4]),
)  # fmt: skip
def test_dilated_convolutions_of_any_window(
    size: Any, kernel: Any, stride: Any, dilation: Any, padding: Any, groups: int
) -> None:
    assume(any(gap > 1 and taps > 1 for gap, taps in zip(dilation, kernel, strict=True)))
    reach = [(taps - 1) * gap + 1 for taps, gap in zip(kernel, dilation, strict=True)]
    assume(all(n + 2 * p >= r for n, p, r in zip(size, padding, reach, strict=True)))
    torch.manual_seed(1)
    one = nn.Conv2d(4, 4, kernel, stride, padding, dilation, groups)
    ones = torch.ones_like(one.weight), torch.ones(1, 4, *size)
    seen = nn.functional.conv2d(ones[1], ones[0], None, stride, padding, dilation, groups)
    if (work := checked(one, size, seen)) is not None:
        assert work.macs == one.weight.numel() * seen[0, 0].numel()


@pytest.mark.sampled(15)
@given(
    size=pairs(1, 9), kernel=pairs(1, 5), stride=pairs(1, 4), padding=pairs(0, 3),
    more=pairs(0, 3), groups=st.sampled_from([1, 2]),
)  # fmt: skip
def test_transposed_convolutions_of_any_window(
    size: Any, kernel: Any, stride: Any, padding: Any, more: Any, groups: int
) -> None:
    assume(all(m < s for m, s in zip(more, stride, strict=True)))
    out = [
        (n - 1) * s - 2 * p + k + m
        for n, s, p, k, m in zip(size, stride, padding, kernel, more, strict=True)
    ]
    assume(min(out) >= 1)
    torch.manual_seed(1)
    one = nn.ConvTranspose2d(4, 6, kernel, stride, padding, more, groups)
    ones = torch.ones_like(one.weight), torch.ones(1, 4, *size)
    seen = nn.functional.conv_transpose2d(ones[1], ones[0], None, stride, padding, more, groups)
    checked(one, size, seen)


def networks() -> Any:
    torch.manual_seed(3)
    return nn.Sequential(
        *conv(3, 8), nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8), nn.BatchNorm2d(8),
        nn.ReLU(), nn.ConvTranspose2d(8, 6, 4, 2, 1, groups=2), nn.ReLU6(),
        *Inverted(6, 12, 6).branch, nn.Conv2d(6, 2, 1, dilation=3),  # of one pixel: no gap
    ).eval()  # fmt: skip


def test_they_are_layers_of_every_machine(tmp_path: Path) -> None:
    """Four phases of each, with the normalisation and activation behind them; masks as they are."""
    net, images = networks(), torch.randn(2, 3, 8, 8)
    work = export_module(net, images, activations=True)
    assert "NOT MODELLED" not in work.provenance.note
    layers = {layer.name: layer for layer in work.layers()}
    names = list(layers)
    assert names[:3] == ["0", "2.phase0_0", "2.phase0_1"]
    dilated, transposed = layers["2.phase1_1"], layers["5.phase1_0"]
    assert (dilated.kind, dilated.activation, dilated.batchnorm) == ("depthwise", "relu", True)
    assert (dilated.in_h, dilated.padding, dilated.stride_h) == (4, (1, 1, 1, 1), 1)
    assert (transposed.kernel_h, transposed.activation) == (2, "relu6")
    assert (transposed.in_h, transposed.out_h, transposed.padding) == (8, 8, (0, 1, 1, 0))
    assert [layer.kind for layer in layers.values()] == (
        ["conv"] + ["depthwise"] * 4 + ["conv"] * 4 + ["conv", "depthwise", "conv", "conv"]
    )
    # 8 x 8 pixels of 8 channels; 16 x 16 that meet 4 x 2 x 2 weights for each of 6 channels.
    assert work.macs == 64 * (24 + 72) + 256 * 96 + 256 * (72 + 108 + 72 + 12)
    assert work.params == sum(one.numel() for one in net.parameters())
    assert work.trace is not None
    with torch.no_grad():
        read, wide = net[:5](images).numpy() != 0, net[:10](images).numpy() > 0
    for number in range(2):
        np.testing.assert_array_equal(work.trace.block("b1", number).keep1.unpack(), wide[number])
        bits = work.trace.activations("5.phase1_0", number)
        assert bits is not None
        np.testing.assert_array_equal(bits.unpack(), read[number])
    path = tmp_path / "net.h5"
    write_workload(path, work, work.trace)
    assert all(one.passed for one in verify(open_workload(path), images=range(2)))
    for arch in machine_names():
        if arch != "snapea":  # which asks for values
            assert run_command(["run", "-a", arch, "-w", str(path)]) == 0


def test_they_are_not_pruned() -> None:
    """Layers behind and before them are; what they make follows the pruned network."""
    net, images = networks(), torch.randn(2, 3, 8, 8)
    work = export_module(
        net, images, calibration=images, pruning=Pruning(shares={"pointwise": 0.5})
    )
    assert work.trace is not None
    zeros = {
        layer.name: float((work.trace.layer(layer.name).weight == 0).mean())
        for layer in work.layers()
    }
    assert zeros["0"] == 0.5
    assert zeros["2.phase0_0"] == zeros["5.phase0_0"] == 0


def test_too_many_phases_stay_unmodelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """They run, and the file names them with their MACs."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=9, dilation=9), nn.ConvTranspose2d(4, 6, 1, 2),
        nn.Conv2d(6, 2, 1),
    )  # fmt: skip
    x = torch.randn(1, 3, 12, 12)
    note = export_module(net, x).provenance.note
    assert note == (
        "NOT MODELLED, no machine takes time for it: dilated convolution 0 (15552 MACs),"
        " transposed convolution 1 (3456 MACs)"
    )
    monkeypatch.setattr(polyphase, "MOST_PHASES", 81)
    note = export_module(net, x).provenance.note
    assert "dilated" not in note
    monkeypatch.setattr(polyphase, "MOST_WEIGHTS", 80 * 108)
    assert "dilated" in export_module(net, x).provenance.note


def test_phases_are_found_along_one_axis() -> None:
    """By hand: 7 pixels, 3 taps 2 apart, 2 zeros before; and 3 pixels, 4 taps of stride 2."""
    even, odd = polyphase.dilated_phases(7, 7, 3, stride=1, dilation=2, before=2)
    assert even is not None
    assert odd is not None
    assert (even.made, even.read, even.before, even.after) == ((0, 2, 4), (0, 2, 4), 1, 1)
    assert (odd.made, odd.read, odd.before, odd.after) == ((1, 2, 3), (1, 2, 3), 1, 1)
    first, second = polyphase.transposed_phases(3, 6, 4, stride=2, before=1)
    assert first is not None
    assert second is not None
    assert (first.taps, first.before, first.after) == ((3, 1), 1, 0)
    assert (second.taps, second.before, second.after) == ((2, 0), 0, 1)


def test_a_decoder_that_only_enlarges_can_be_written(tmp_path: Path) -> None:
    """No map so large was made before: interpolation and transposed convolutions make them."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Upsample(scale_factor=4),
        nn.Conv2d(8, 8, 3), nn.ConvTranspose2d(8, 8, 4, 4), nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    work = export_module(net, torch.randn(1, 3, 4, 4))
    path = tmp_path / "net.h5"
    write_workload(path, work, work.trace)
    assert [(one.in_h, one.out_h) for one in open_workload(path).layers()][-1] == (8, 8)
    *before, last = work.items
    assert isinstance(last, Layer)
    for changed in (replace(last, in_channels=9), replace(last, in_h=64 * 16 + 1)):
        with pytest.raises(WorkloadError, match="no layer before makes such a map"):
            check_structure(replace(work, items=(*before, changed)))
