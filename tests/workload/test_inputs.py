"""Non-zero bits of layers' inputs: optional in a trace, exact in a file, seen by simulations."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from rich.console import Console

from archonsim.cli.app import run_command
from archonsim.errors import WorkloadError
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.result.inspect import Inspection, inspect_workload
from archonsim.show.terminal.inspect_text import render_inspection
from archonsim.trace.algebra import branch_output, masked, preactivations
from archonsim.trace.digest import workload_digest
from archonsim.trace.image import image_inputs
from archonsim.trace.kept_trace import keeping
from archonsim.trace.mask import Mask
from archonsim.trace.synthetic_inputs import with_inputs
from archonsim.trace.tensors import MemoryTrace
from archonsim.trace.trace_parts import traced_blocks, traced_layers
from archonsim.trace.what_if import MaskPolicy
from archonsim.tracefile.check import validate
from archonsim.tracefile.reader import open_workload
from archonsim.tracefile.schema import VERSION
from archonsim.tracefile.writer import write_workload

Made = tuple[Workload, MemoryTrace]
DENSITY = 0.3


@pytest.fixture(scope="module")
def dense(tiny: Made) -> Made:
    return with_inputs(*tiny, DENSITY)


def bits(mask: Mask | None) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    assert mask is not None
    return mask.unpack()


def test_round_trip(dense: Made, tmp_path: Path) -> None:
    work, trace = dense
    path = tmp_path / "w.h5"
    digest = write_workload(path, work, trace)
    found = open_workload(path)
    validate(found)
    assert found == replace(work, name="w.h5")
    assert found.digest == digest == work.digest == workload_digest(work, trace)
    assert found.trace is not None
    for layer in traced_layers(work):
        for image in range(trace.images):
            read = bits(found.trace.activations(layer.name, image))
            assert read.shape == (layer.in_channels, layer.in_h, layer.in_w)
            assert_array_equal(read, bits(trace.activations(layer.name, image)))


def test_a_trace_without_them_is_as_before(tiny: Made, dense: Made, tmp_path: Path) -> None:
    """They change the workload's digest, and nothing else; what is not there is None."""
    work, trace = tiny
    path, full = tmp_path / "w.h5", tmp_path / "full.h5"
    write_workload(path, work, trace)
    found = open_workload(path)
    assert found.trace is not None
    assert found.trace.activations(next(work.layers()).name, 0) is None
    with h5py.File(path) as file:
        assert tuple(file.attrs["version"]) == VERSION == (1, 3)
        assert "digest_with_inputs" not in file.attrs
    write_workload(full, replace(dense[0], provenance=work.provenance), dense[1])
    with h5py.File(full) as file:  # what a reader of 1.1 looks at
        assert file.attrs["digest"].decode() == work.digest
        assert file.attrs["digest_with_inputs"].decode() != work.digest


def test_what_blocks_read_is_evaluated(dense: Made) -> None:
    """A layer of a block reads a zero where the bits say so: evaluated on them, nothing changes."""
    work, trace = dense
    for block in traced_blocks(work, trace.images):
        one, layers = trace.block(block.name, 1), [trace.layer(x.name) for x in block.layers]
        tensors = (layers[0], layers[1], layers[2])
        alive = [bits(trace.activations(layer.name, 1)) for layer in block.layers]
        pre1, pre2 = preactivations(block, tensors, one.keep1, one.input * alive[0])
        assert_array_equal(pre1, preactivations(block, tensors, one.keep1, one.input)[0])
        kept = masked(pre2, one.keep2, block.clips[1]) * alive[2]
        everything = Mask.pack(np.ones(kept.shape, np.bool_))
        assert_array_equal(
            branch_output(block, tensors[2], kept, everything),
            branch_output(block, tensors[2], pre2, one.keep2),
        )
        assert not (alive[2] & ~one.keep2.unpack().astype(bool)).any()


def test_plain_layers_are_drawn_at_the_density(dense: Made) -> None:
    work, trace = dense
    plain = [item for item in work.items if not isinstance(item, Block) and item.is_compute]
    assert bits(trace.activations(plain[0].name, 0)).all()
    drawn = [bits(trace.activations(layer.name, 0)) for layer in plain[1:]]
    count = sum(one.size for one in drawn)
    share = sum(int(one.sum()) for one in drawn) / count
    assert abs(share - DENSITY) < 4 * (DENSITY * (1 - DENSITY) / count) ** 0.5
    assert not np.array_equal(
        bits(trace.activations(plain[-1].name, 0)), bits(trace.activations(plain[-1].name, 1))
    )


def test_a_simulation_sees_its_image(dense: Made, tmp_path: Path) -> None:
    work = keeping(dense[0])
    layer = next(iter(traced_layers(work)))
    for number in (0, 1):
        image = image_inputs(work, MaskPolicy(), number)
        assert image.number == number
        assert_array_equal(
            bits(image.activations(layer)), bits(dense[1].activations(layer.name, number))
        )
        block = next(iter(traced_blocks(work, 1)))
        assert image.masks(block)[0].packed is dense[1].block(block.name, number).keep1.packed
    assert image_inputs(replace(work, trace=None), MaskPolicy(), 0).activations(layer) is None


def without(trace: MemoryTrace, name: str, image: int) -> MemoryTrace:
    return replace(trace, inputs={k: v for k, v in trace.inputs.items() if k != (name, image)})


def test_some_layers_will_do_but_all_images_of_them(dense: Made, tmp_path: Path) -> None:
    work, trace = dense
    name = "head_conv"
    some = without(without(trace, name, 0), name, 1)
    write_workload(tmp_path / "w.h5", work, some)
    found = open_workload(tmp_path / "w.h5")
    validate(found)
    assert found.trace is not None
    assert found.trace.activations(name, 0) is None
    assert found.trace.activations("b1.dw", 0) is not None
    with pytest.raises(WorkloadError, match="head_conv: no activations for image 1"):
        write_workload(tmp_path / "w.h5", work, without(trace, name, 1))
    small = replace(trace, inputs=trace.inputs | {(name, 0): Mask.pack(np.ones((1, 2, 2), bool))})
    with pytest.raises(WorkloadError, match="head_conv image 0 input_bits: covers 1x2x2"):
        write_workload(tmp_path / "w.h5", work, small)


@pytest.mark.parametrize("harm", ["flip", "drop", "drop one", "cut"])
def test_damage_is_found(dense: Made, tmp_path: Path, harm: str) -> None:
    work, trace = dense
    path = tmp_path / "w.h5"
    write_workload(path, work, trace)
    with h5py.File(path, "r+") as file:
        layers = [group for group in file["layers"].values() if "input_bits" in group]
        if harm == "flip":
            layers[0]["input_bits"][1, 0, 0] ^= 0x80
        elif harm == "cut":
            del layers[0]["input_sha256"]
        else:
            for group in layers if harm == "drop" else layers[:1]:
                del group["input_bits"]
    with pytest.raises(WorkloadError, match=r"w\.h5.*(input|digest)"):
        validate(open_workload(path))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "w.h5"
    command = ["synthesize", "fusionet_digits", "-o", str(path), "--activations", "0.25"]
    assert run_command(command) == 0
    found = open_workload(path)
    assert "activation density 0.25" in found.provenance.note
    assert found.trace is not None
    assert all(found.trace.activations(layer.name, 0) for layer in traced_layers(found))
    capsys.readouterr()
    assert run_command(["inspect", str(path), "--format", "json"]) == 0
    assert "activations" in capsys.readouterr().out
    assert (
        run_command(["synthesize", "fusionet_digits", "-o", str(path), "--activations", "2"]) == 2
    )


def test_inspect_shows_the_density_of_each_input(dense: Made, tiny: Made) -> None:
    work, trace = dense
    found = inspect_workload(work, images=[0, 1])
    for layer, content in zip(work.layers(), found.layers, strict=True):
        if layer.is_compute:
            both = [bits(trace.activations(layer.name, image)).mean() for image in (0, 1)]
            assert content.input_density == pytest.approx(sum(both) / 2)
        else:
            assert content.input_density is None
    assert Inspection.from_dict(found.to_dict()) == found
    for unknown in (inspect_workload(work, images=[]), inspect_workload(tiny[0], images=[0])):
        assert all(layer.input_density is None for layer in unknown.layers)
    texts = []
    for one in (found, inspect_workload(tiny[0], images=[0])):
        console = Console(width=200, file=io.StringIO())
        console.print(render_inspection(one))
        texts.append(console.file.getvalue())  # type: ignore[attr-defined]
    assert "inputs not 0" in texts[0]
    assert "inputs not 0" not in texts[1]
