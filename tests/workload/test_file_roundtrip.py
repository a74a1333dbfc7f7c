from __future__ import annotations

import pickle
import time
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from archonsim.errors import MaskError
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.networks import network
from archonsim.network.workload import Provenance, Workload
from archonsim.trace.algebra import preactivations, predict
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import MemoryTrace, Trace
from archonsim.trace.trace_parts import traced_blocks, traced_layers
from archonsim.tracefile.check import validate
from archonsim.tracefile.reader import open_workload
from archonsim.tracefile.schema import EXPORT_TEXTS, LAYER_SIZES, MASKS
from archonsim.tracefile.writer import write_workload


def assert_same_trace(workload: Workload, found: Trace, expected: Trace) -> None:
    assert found.images == expected.images
    for layer in traced_layers(workload):
        for name in ("weight", "scale", "shift"):
            assert_array_equal(
                getattr(found.layer(layer.name), name), getattr(expected.layer(layer.name), name)
            )
    for block in traced_blocks(workload, expected.images):
        for one, other in zip(
            found.predictors(block.name), expected.predictors(block.name), strict=True
        ):
            for name in ("ternary", "scale", "shift"):
                assert_array_equal(getattr(one, name), getattr(other, name))
            assert (one.step, one.low, one.high) == (other.step, other.low, other.high)
        for image in range(expected.images):
            mine, theirs = found.block(block.name, image), expected.block(block.name, image)
            for name in MASKS:
                assert_array_equal(getattr(mine, name).packed, getattr(theirs, name).packed)
            assert_array_equal(mine.input, theirs.input)
            assert_array_equal(mine.output, theirs.output)


@pytest.mark.parametrize("plain", [False, True])
def test_what_is_written_is_read(
    tiny: tuple[Workload, MemoryTrace], tmp_path: Path, plain: bool
) -> None:
    workload, trace = tiny
    path = tmp_path / "w.h5"
    digest = write_workload(path, workload, trace, plain=plain)
    found = open_workload(path)
    assert found == replace(workload, name="w.h5")
    assert found.digest == digest == workload.digest
    assert found.trace is not None
    assert_same_trace(workload, found.trace, trace)
    validate(found)


def test_every_field_is_stored() -> None:
    """A new field of a layer or block must be written, read, and have a default."""
    others = {"name", "kind", "role", "padding", "activation", "batchnorm", "bias", "sparsity"}
    assert {one.name for one in fields(Layer)} == set(LAYER_SIZES) | others
    assert {one.name for one in fields(Block)} == {
        "index",
        "pw1",
        "dw",
        "pw2",
        "order",
        "residual",
        "shuffle",
        "predicted",
        "clips",
        "prediction",
    }


def test_same_content_gives_same_bytes(tiny: tuple[Workload, MemoryTrace], tmp_path: Path) -> None:
    write_workload(tmp_path / "a.h5", *tiny)
    time.sleep(1.1)  # HDF5 time stamps have a resolution of a second
    write_workload(tmp_path / "b.h5", *tiny)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_file_can_be_copied_through_its_trace(
    tiny: tuple[Workload, MemoryTrace], tiny_file: Path, tmp_path: Path
) -> None:
    found = open_workload(tiny_file)
    assert write_workload(tmp_path / "copy.h5", tiny[0], found.trace) == tiny[0].digest
    assert (tmp_path / "copy.h5").read_bytes() == tiny_file.read_bytes()


def test_a_trace_travels_to_other_processes(
    tiny_file: Path, tiny: tuple[Workload, MemoryTrace]
) -> None:
    found = pickle.loads(pickle.dumps(open_workload(tiny_file)))
    assert_same_trace(tiny[0], found.trace, tiny[1])


def test_shape_only(tmp_path: Path) -> None:
    shapes = network("fusionet_c10")
    path = tmp_path / "shapes.h5"
    assert write_workload(path, shapes, None) == ""
    found = open_workload(path)
    assert found == replace(shapes, name="shapes.h5")
    assert found.trace is None
    validate(found)


def test_provenance_survives(tiny: tuple[Workload, MemoryTrace], tmp_path: Path) -> None:
    origin = Provenance(
        network="n",
        dataset="d",
        flavour="pred",
        mask_source="trained",
        test_accuracy=0.9416,
        test_images=10000,
        created_by="archonsim 1",
        seed=None,
        note="ä" * 300,
    )
    path = tmp_path / "w.h5"
    write_workload(path, replace(tiny[0], provenance=origin), tiny[1])
    assert open_workload(path).provenance == origin


def test_weights_without_images(tiny: tuple[Workload, MemoryTrace], tmp_path: Path) -> None:
    bare = replace(tiny[1], images=0, blocks={}, predictor_pairs={})
    workload = replace(tiny[0], provenance=Provenance(network="tiny", flavour="pruned"))
    write_workload(tmp_path / "w.h5", workload, bare)
    found = open_workload(tmp_path / "w.h5")
    validate(found)
    assert found.trace is not None
    assert found.trace.images == 0
    with pytest.raises(MaskError, match="b1 has no predictors"):
        found.trace.predictors("b1")


def test_an_input_that_is_the_previous_output_is_stored_once(tiny_file: Path) -> None:
    with h5py.File(tiny_file) as file:
        assert file["blocks/b2/input"] == file["blocks/b1/output"]
        assert file["blocks/b1/input"] != file["blocks/b1/output"]
        assert file["blocks/b2/input"].dtype == np.float16


def test_values_that_need_float32_keep_it(
    tiny: tuple[Workload, MemoryTrace], tmp_path: Path
) -> None:
    workload, trace = tiny
    odd = trace.layers["b1.pw1"].scale.copy()
    odd[0] = np.float32(1) / 3
    layers = trace.layers | {"b1.pw1": replace(trace.layers["b1.pw1"], scale=odd)}
    write_workload(tmp_path / "w.h5", workload, replace(trace, layers=layers))
    with h5py.File(tmp_path / "w.h5") as file:
        assert file["layers/b1.pw1/scale"].dtype == np.float32
        assert file["layers/b2.pw1/scale"].dtype == np.float16
    found = open_workload(tmp_path / "w.h5").trace
    assert found is not None
    assert_array_equal(found.layer("b1.pw1").scale, odd)


def computed_masks(workload: Workload, trace: MemoryTrace) -> MemoryTrace:
    """Replace drawn masks by predicted and true ones, one bit of each kind flipped."""
    blocks = {}
    for block in traced_blocks(workload, trace.images):
        first, second, third = (trace.layer(layer.name) for layer in block.layers)
        for image in range(trace.images):
            one = trace.block(block.name, image)
            keep1, keep2 = predict(block, trace.predictors(block.name), one.input)
            keep1 = flipped(keep1)
            pre1, pre2 = preactivations(block, (first, second, third), keep1, one.input)
            true1, true2 = flipped(Mask.pack(pre1 > 0)), flipped(Mask.pack(pre2 > 0))
            blocks[block.name, image] = replace(
                one, keep1=keep1, keep2=flipped(keep2), true1=true1, true2=true2
            )
    return replace(trace, blocks=blocks)


def flipped(mask: Mask) -> Mask:
    packed = mask.packed.copy()
    packed[-1, 0] ^= 0x80
    return Mask(packed, mask.height, mask.width)


def test_computed_masks_are_stored_as_differences(
    tiny: tuple[Workload, MemoryTrace], tmp_path: Path
) -> None:
    workload, trace = tiny[0], computed_masks(*tiny)
    digests = {
        plain: write_workload(tmp_path / f"{plain}.h5", workload, trace, plain=plain)
        for plain in (False, True)
    }
    assert digests[False] == digests[True] != workload.digest
    with h5py.File(tmp_path / "False.h5") as file:
        for name, encoding in (("keep", "xor-predictor"), ("true", "xor-weights")):
            for place in "12":
                stored = file[f"blocks/b1/{name}{place}"]
                assert stored.attrs["encoding"].decode() == encoding
                assert int(np.bitwise_count(stored[0]).sum()) == 1, "the flipped bit alone"
    found = open_workload(tmp_path / "False.h5")
    assert found.trace is not None
    assert_same_trace(workload, found.trace, trace)


def test_plain_masks_are_the_masks(tiny: tuple[Workload, MemoryTrace], tmp_path: Path) -> None:
    write_workload(tmp_path / "w.h5", *tiny, plain=True)
    with h5py.File(tmp_path / "w.h5") as file:
        for name in MASKS:
            assert_array_equal(
                file[f"blocks/b1/{name}"][1], getattr(tiny[1].block("b1", 1), name).packed
            )


def test_files_from_before_exports_told_where_they_come_from_still_open(
    tiny: tuple[Workload, MemoryTrace], tiny_file: Path, tmp_path: Path
) -> None:
    with h5py.File(tiny_file, "r+") as file:
        assert not {"untrained", *EXPORT_TEXTS} & set(
            file.attrs
        )  # what is not known is not written
        file.attrs["version"] = np.array([1, 0])
    assert open_workload(tiny_file).provenance == tiny[0].provenance
    told = {name: f"some {name}" for name in EXPORT_TEXTS}
    about = replace(tiny[0].provenance, untrained=True, **told)  # type: ignore[arg-type]
    assert (
        write_workload(tmp_path / "told.h5", replace(tiny[0], provenance=about), tiny[1])
        == tiny[0].digest
    )
    assert open_workload(tmp_path / "told.h5").provenance == about
