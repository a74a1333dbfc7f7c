"""Masks of three values: what they are, how they are stored, and what refuses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from archonsim.errors import WorkloadError
from archonsim.network.workload import Workload
from archonsim.runs.verify import verify
from archonsim.trace.mask import Mask
from archonsim.trace.synthetic import synthesize
from archonsim.trace.synthetic_clips import with_clips
from archonsim.trace.synthetic_inputs import with_inputs
from archonsim.trace.tensors import MemoryTrace
from archonsim.trace.trace_parts import traced_blocks
from archonsim.trace.what_if import MaskPolicy
from archonsim.tracefile.check import validate
from archonsim.tracefile.reader import open_workload
from archonsim.tracefile.schema import VERSION
from archonsim.tracefile.writer import write_workload
from tests.workload.conftest import tiny_network
from tests.workload.test_file_roundtrip import assert_same_trace

Made = tuple[Workload, MemoryTrace]


@pytest.fixture(scope="module")
def clipping() -> Made:
    return with_clips(*synthesize(tiny_network(), seed=3, images=2, spatial=1), 0.3)


@pytest.fixture
def path(clipping: Made, tmp_path: Path) -> Path:
    write_workload(tmp_path / "w.h5", *clipping)
    return tmp_path / "w.h5"


def mask(*rows: str) -> Mask:
    """One channel: ``.`` is dropped, ``p`` passed, ``c`` clipped."""
    states = np.array([[[".pc".index(one) for one in row] for row in rows]], np.uint8)
    return Mask.of(states, clips=True)


def text(one: Mask) -> list[str]:
    return ["".join(".pc"[state] for state in row) for row in one.states()[0]]


def test_a_mask_has_three_values() -> None:
    one = mask("pc.", "c.p")
    assert text(one) == ["pc.", "c.p"]
    assert_array_equal(one.unpack()[0], [[1, 1, 0], [1, 0, 1]])
    assert (one.count(), one.clipped(), one.bits) == (4, 2, 6)
    assert text(one.passing()) == ["pp.", "p.p"]
    assert one.passing().clip is None


def test_what_both_or_either_keep_is_clipped_as_the_first_says() -> None:
    one, other = mask("pppccc..."), mask("pc.pc.pc.")
    assert text(one & other) == ["pp.cc...."]
    assert text(one | other) == ["pppcccpc."]
    assert text(one.passing() | other) == ["pppppppc."]


def test_a_plane_of_another_size_is_refused() -> None:
    with pytest.raises(WorkloadError, match="3x3 pixels has 2 bytes a channel"):
        Mask(np.zeros((2, 2), np.uint8), 3, 3, np.zeros((1, 2), np.uint8))


@pytest.mark.parametrize("plain", [False, True])
def test_what_is_written_is_read(clipping: Made, tmp_path: Path, plain: bool) -> None:
    work, trace = clipping
    path = tmp_path / "w.h5"
    assert write_workload(path, work, trace, plain=plain) == work.digest
    found = open_workload(path)
    assert found == replace(work, name="w.h5")
    assert found.trace is not None
    assert_same_trace(work, found.trace, trace)
    for block in traced_blocks(work, trace.images):
        assert block.clips == (6.0, 6.0)
        for name in ("keep1", "keep2", "true1", "true2"):
            one = getattr(found.trace.block(block.name, 1), name)
            assert_array_equal(one.states(), getattr(trace.block(block.name, 1), name).states())
            assert one.clipped() > 0
    validate(found)
    for fused in (False, True):
        checks = verify(found, images=[0, 1], fused=fused)
        assert all(one.passed for one in checks)


def test_an_impossible_share_is_refused(tiny: Made) -> None:
    with pytest.raises(WorkloadError, match=r"clipped is 1\.5; it must be a share"):
        with_clips(*tiny, 1.5)


def test_clipped_ones_are_part_of_what_a_file_holds(clipping: Made) -> None:
    """The digest is another one; readers that know two values are told by the version."""
    plain = synthesize(tiny_network(), seed=3, images=2, spatial=1)[0]
    assert clipping[0].digest != plain.digest


def test_the_version_is_another_one_where_there_are_any_and_only_there(
    clipping: Made, tiny: Made, tmp_path: Path
) -> None:
    for made, version in ((tiny, list(VERSION)), (clipping, [2, 0])):
        write_workload(tmp_path / "w.h5", *made)
        with h5py.File(tmp_path / "w.h5") as file:
            assert file.attrs["version"].tolist() == version
            names: list[str] = []
            file.visit(names.append)
            assert any("clip" in name for name in names) == (made is clipping)
            assert ("clips" in file["blocks/b1"].attrs) == (made is clipping)
    again = synthesize(clipping[0], seed=3, images=2, spatial=1)
    assert again[0].digest == tiny[0].digest  # of a workload, synthesize takes the shapes alone


def test_inputs_behind_a_clipped_activation_are_not_zero(clipping: Made) -> None:
    work, trace = with_inputs(*clipping, 0.5)
    for block in traced_blocks(work, trace.images):
        read = trace.activations(block.layers[2].name, 0)
        keep2 = trace.block(block.name, 0).keep2
        assert read is not None
        assert read.unpack()[keep2.states() == 2].all()


@pytest.mark.parametrize("second", [False, True])
def test_what_if_masks(clipping: Made, second: bool) -> None:
    work, trace = clipping
    block = next(iter(work.blocks()))
    one = trace.block(block.name, 0)
    keep, true = ((one.keep1, one.true1), (one.keep2, one.true2))[second]

    def states(policy: str) -> np.ndarray:
        return MaskPolicy.parse(policy, 1).masks(work, block, 0)[second].states()

    predicted, truly = keep.states(), true.states()
    assert_array_equal(states("trace"), predicted)
    assert_array_equal(states("oracle"), truly)
    assert_array_equal(states("unclipped"), np.minimum(predicted, 1))
    assert_array_equal(states("hits"), np.where(truly, predicted, 0))
    assert_array_equal(states("either"), np.where(predicted, predicted, truly))
    flipped = states("flip:0.3")
    both = (flipped > 0) & (predicted > 0)
    assert_array_equal(flipped[both], predicted[both])
    assert 0 < both.sum() < (predicted > 0).sum()
    assert (flipped[predicted == 0] < 2).all()
    for policy in ("all", "random:0.5"):
        assert states(policy).max() == 1


Edit = Callable[[h5py.File], None]


def attribute(where: str, name: str, value: object) -> Edit:
    return lambda file: file[where].attrs.__setitem__(name, value)


EDITS: dict[str, tuple[Edit, str]] = {
    "another version": (
        attribute("/", "version", [1, 2]),
        "block b1 has clips in format version 1; they are of version 2.0",
    ),
    "infinite": (
        attribute("/blocks/b1", "clips", [6.0, np.inf]),
        "block b1: clips is .*; it must be two finite numbers",
    ),
    "negative": (attribute("/blocks/b1", "clips", [-1.0, 6.0]), "block b1: clips is"),
    "no number": (attribute("/blocks/b1", "clips", [np.nan, 6.0]), "block b1: clips is"),
    "one": (attribute("/blocks/b1", "clips", 6.0), "blocks/b1: clips is 6.0; it must be 2 numbers"),
    "text": (attribute("/blocks/b1", "clips", "six"), "it must be 2 numbers"),
    "another end": (attribute("/blocks/b1", "clips", [5.0, 6.0]), "digest is"),
    "of one ReLU only": (attribute("/blocks/b1", "clips", [6.0, 0.0]), "digest is"),
    "no plane": (lambda file: file.__delitem__("/blocks/b1/clip2"), "dataset 'clip2' is missing"),
    "another encoding": (
        attribute("/blocks/b1/clip1", "encoding", "xor-keep"),
        "encoding is 'xor-keep'; it must be one of packed",
    ),
    "clipping what is dropped": (
        lambda file: file["/blocks/b1/clip1"].__setitem__(0, 255),
        "b1 image 0 keep1: clips what it drops",
    ),
    "other places": (
        lambda file: file["/blocks/b1/clip1"].__setitem__(0, 0),
        "image 0 does not match its SHA-256",
    ),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", EDITS)
def test_an_edited_file_is_refused(case: str, path: Path) -> None:
    edit, message = EDITS[case]
    with h5py.File(path, "r+") as file:
        edit(file)
    with pytest.raises(WorkloadError, match=message) as caught:
        validate(open_workload(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_trace_whose_planes_do_not_fit_its_block_is_not_written(
    clipping: Made, tmp_path: Path
) -> None:
    work, trace = clipping
    one = trace.blocks["b1", 0]
    bare = {**trace.blocks, ("b1", 0): replace(one, true1=one.true1.passing())}
    with pytest.raises(WorkloadError, match="b1 image 0 true_clip1: is missing"):
        write_workload(tmp_path / "w.h5", work, replace(trace, blocks=bare))
    assert not (tmp_path / "w.h5").exists()
