from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from archonsim.errors import MaskError, WorkloadError
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.trace.tensors import MemoryTrace
from archonsim.tracefile.check import validate
from archonsim.tracefile.reader import open_workload
from archonsim.tracefile.writer import write_workload

Edit = Callable[[h5py.File], object]


def read_all(path: Path) -> None:
    validate(open_workload(path))


def refuse(path: Path, message: str) -> None:
    with pytest.raises(WorkloadError, match=message) as caught:
        read_all(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert caught.value.exit_code == 2


def attribute(where: str, name: str, value: object) -> Edit:
    return lambda file: file[where].attrs.__setitem__(name, value)


def without_attribute(where: str, name: str) -> Edit:
    return lambda file: file[where].attrs.__delitem__(name)


def element(where: str, index: object, value: object) -> Edit:
    return lambda file: file[where].__setitem__(index, value)


def instead(where: str, data: object) -> Edit:
    def edit(file: h5py.File) -> None:
        del file[where]
        file[where] = data

    return edit


def without(where: str) -> Edit:
    return lambda file: file.__delitem__(where)


EDITS: dict[str, tuple[Edit, str]] = {
    "no workload": (
        without_attribute("/", "filetype"),
        "is HDF5, but no workload: attribute 'filetype' is missing",
    ),
    "another file type": (
        attribute("/", "filetype", "openmc"),
        "'filetype' is 'openmc'; it must be 'archonsim-workload'",
    ),
    "newer version": (
        attribute("/", "version", [3, 0]),
        r"format version is 3\.0; this archonsim reads 1\.3 and 2\.0: upgrade archonsim",
    ),
    "older version": (
        attribute("/", "version", [0, 9]),
        r"format version is 0\.9; .* export it again",
    ),
    "retyped version": (
        attribute("/", "version", "new"),
        "version is 'new'; it must be 2 integers",
    ),
    "unknown mask source": (
        attribute("/", "mask_source", "guessed"),
        "mask_source is 'guessed'; it must be one of",
    ),
    "no mask source": (without_attribute("/", "mask_source"), "attribute 'mask_source' is missing"),
    "silent about masks": (
        attribute("/", "mask_source", "none"),
        "mask_source is 'none' beside masks of 2 images",
    ),
    "another mask source": (
        attribute("/", "mask_source", "trained"),
        "digest is .* damaged, or edited",
    ),
    "accuracy": (
        attribute("/", "test_accuracy", 94.1),
        r"test_accuracy is 94\.1; it must be a share between 0 and 1",
    ),
    "text for a number": (
        attribute("/", "test_accuracy", "high"),
        "test_accuracy is 'high'; it must be a number",
    ),
    "image count": (
        attribute("/", "images", 3),
        r"blocks/b1: keep1 has shape \(2, 12, 4\); it must be \(3, 12, 4\)",
    ),
    "negative images": (attribute("/", "images", -1), "images is -1; it must be from 0 to 1500000"),
    "no digest": (attribute("/", "digest", ""), "digest is empty beside 2 images"),
    "unknown item": (
        attribute("/", "items", np.array([b"nets/x"])),
        "items holds 'nets/x'; it must begin with",
    ),
    "items as number": (attribute("/", "items", 4), "items is 4; it must be a list of texts"),
    "item without group": (without("layers/head_conv"), "layers: group 'head_conv' is missing"),
    "no layers": (without("layers"), "group 'layers' is missing"),
    "stride 0": (
        attribute("layers/b1.dw", "stride_h", 0),
        "layer 'b1.dw': stride_h is 0; it must be an integer of at least 1",
    ),
    "fractional stride": (
        attribute("layers/b1.dw", "stride_h", 1.5),
        r"layers/b1\.dw: stride_h is 1\.5; it must be an integer",
    ),
    "three pads": (
        attribute("layers/b1.dw", "padding", [1, 1, 1]),
        r"padding is \[1, 1, 1\]; it must be 4 integers",
    ),
    "negative pad": (
        attribute("layers/b1.dw", "padding", [-1, 1, 1, 1]),
        "four numbers of at least 0",
    ),
    "unknown kind": (
        attribute("layers/head_conv", "kind", "conv3d"),
        "kind is 'conv3d'; it must be one of conv, depthwise, fc",
    ),
    "integer for a boolean": (
        attribute("layers/head_conv", "bias", 2),
        "bias is 2; it must be true or false",
    ),
    "kind as a number": (attribute("layers/head_conv", "kind", 7), "kind is 7; it must be text"),
    "no role": (
        without_attribute("layers/head_conv", "role"),
        "layers/head_conv: attribute 'role' is missing",
    ),
    "layers of a block do not chain": (
        attribute("layers/b1.pw2", "in_h", 4),
        "b1.pw2 takes 12x4x5, but b1.dw makes 12x5x5",
    ),
    "blocks do not chain": (
        attribute("layers/a%2Fb %252F", "in_channels", 99_999),
        "a/b %2F: input is 99999x1x1, but no layer",
    ),
    "a layer too large": (attribute("layers/head_conv", "out_channels", 2**62), "head_conv"),
    "unknown order": (
        attribute("blocks/b1", "order", "dw-pw-pw"),
        "order is 'dw-pw-pw'; it must be one of pw-dw-pw, pw-pw-dw",
    ),
    "negative shuffle": (
        attribute("blocks/b1", "shuffle", -2),
        r"shuffle is -2; it must be 0 \(none\) or a divisor of b1\.pw2",
    ),
    "shuffle that does not divide": (
        attribute("blocks/b1", "shuffle", 3),
        "block b1: shuffle is 3; it must be",
    ),
    "two blocks of a name": (
        attribute("blocks/b2", "index", 1),
        "blocks/b2: holds 'b1'; a group is called as what it holds",
    ),
    "no weight": (without("layers/b1.pw1/weight"), "layers/b1.pw1: dataset 'weight' is missing"),
    "weight of another shape": (
        instead("layers/b1.pw1/weight", np.zeros((12, 3, 1, 1), np.float16)),
        r"weight has shape \(12, 3, 1, 1\); it must be \(12, 2, 1, 1\)",
    ),
    "weight of another type": (
        instead("layers/b1.pw1/weight", np.zeros((12, 2, 1, 1), np.int64)),
        "weight has type int64; it must be float16 or float32",
    ),
    "NaN": (
        element("layers/b1.pw1/weight", (3, 1, 0, 0), np.nan),
        r"b1\.pw1 weight: value at \(3, 1, 0, 0\) is nan",
    ),
    "infinity": (
        element("layers/b1.pw1/shift", 2, np.inf),
        r"b1\.pw1 shift: value at \(2,\) is inf",
    ),
    "another weight": (
        element("layers/b1.pw1/weight", (3, 1, 0, 0), 77),
        r"layers/b1\.pw1: content does not match its SHA-256",
    ),
    "a group for a dataset": (
        lambda file: (
            file.__delitem__("layers/b1.pw1/weight"),
            file.create_group("layers/b1.pw1/weight"),
        ),
        "dataset 'weight' is missing",
    ),
    "ternary": (
        element("blocks/b1/predictor1/ternary", (0, 0, 0, 0), 2),
        "b1 predictor1 ternary: holds 2",
    ),
    "one predictor": (without("blocks/b1/predictor2"), "blocks/b1: group 'predictor2' is missing"),
    "no predictors": (
        lambda file: (
            file.__delitem__("blocks/b1/predictor1"),
            file.__delitem__("blocks/b1/predictor2"),
        ),
        "damaged, or edited",
    ),
    "step": (
        attribute("blocks/b1/predictor1", "step", 0.0),
        r"b1 predictor1 step: is 0\.0; it must be greater than 0",
    ),
    "levels": (attribute("blocks/b1/predictor1", "low", 9), "low and high are 9 and 7"),
    "mask of another length": (
        instead("blocks/b1/keep1", np.zeros((2, 12, 3), np.uint8)),
        r"keep1 has shape \(2, 12, 3\); it must be \(2, 12, 4\)",
    ),
    "mask of another type": (
        instead("blocks/b1/keep1", np.zeros((2, 12, 4), np.int8)),
        "keep1 has type int8; it must be uint8",
    ),
    "mask height": (
        attribute("blocks/b1/keep1", "height", 4),
        r"blocks/b1/keep1: height is 4; b1\.pw1 makes 5",
    ),
    "unknown encoding": (
        attribute("blocks/b1/keep1", "encoding", "zip"),
        "encoding is 'zip'; it must be one of packed",
    ),
    "spare bits": (
        lambda file: file["blocks/b1/keep1"].__setitem__(
            (0, 0, 3), file["blocks/b1/keep1"][0, 0, 3] ^ 1
        ),
        "b1 image 0 keep1: spare bits of a channel's last byte are set",
    ),
    "one bit": (
        lambda file: file["blocks/b5/true2"].__setitem__(
            (1, 0, 0), file["blocks/b5/true2"][1, 0, 0] ^ 1
        ),
        "blocks/b5: image 1 does not match its SHA-256",
    ),
    "a map's value": (
        element("blocks/b3/output", (0, 0, 0, 0), 99),
        "blocks/b3: image 0 does not match its SHA-256",
    ),
    "NaN in a map": (
        element("blocks/b3/output", (0, 0, 0, 0), np.nan),
        "b3 image 0 output: value at",
    ),
    "digests of another type": (
        instead("blocks/b1/sha256", np.zeros(2)),
        "sha256 has type float64",
    ),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", EDITS)
def test_an_edited_file_is_refused(case: str, tiny_file: Path) -> None:
    edit, message = EDITS[case]
    with h5py.File(tiny_file, "r+") as file:
        edit(file)
    refuse(tiny_file, message)


def test_missing_file(tmp_path: Path) -> None:
    refuse(tmp_path / "nowhere.h5", "no such file")


def test_directory(tmp_path: Path) -> None:
    refuse(tmp_path, "is a directory; a workload is an HDF5 file")


@pytest.mark.parametrize("content", [b"", b"arch = 'archon'\n", b"PK\x03\x04 a zip file"])
def test_not_hdf5(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.h5"
    path.write_bytes(content)
    refuse(path, "is not an HDF5 file; `archonsim export` writes workloads")


def test_truncated(tiny_file: Path) -> None:
    tiny_file.write_bytes(tiny_file.read_bytes()[:-1000])
    refuse(tiny_file, "damaged: .*truncated file.*; export it again")


def test_a_file_swapped_after_opening_is_noticed(
    tiny: tuple[Workload, MemoryTrace], tiny_file: Path
) -> None:
    workload = open_workload(tiny_file)
    with h5py.File(tiny_file, "r+") as file:
        file["blocks/b1/keep1"][0, 0, 0] ^= 0x10
    assert workload.trace is not None
    workload.trace.block("b1", 1)
    with pytest.raises(WorkloadError, match="blocks/b1: image 0 does not match its SHA-256"):
        workload.trace.block("b1", 0)


@pytest.mark.parametrize("image", [-1, 2, 10**9])
def test_image_out_of_range(tiny_file: Path, image: int) -> None:
    trace = open_workload(tiny_file).trace
    assert trace is not None
    with pytest.raises(
        WorkloadError,
        match=rf"{tiny_file}: image {image} is out of range; the file holds 2 \(0 to 1\)",
    ):
        trace.block("b1", image)


def test_unknown_names(tiny_file: Path) -> None:
    trace = open_workload(tiny_file).trace
    assert trace is not None
    with pytest.raises(
        WorkloadError, match=r"no weights for a layer 'b1.pw9'; did you mean 'b1.pw2'\?"
    ):
        trace.layer("b1.pw9")
    with pytest.raises(WorkloadError, match="no block 'b9'; did you mean"):
        trace.predictors("b9")
    with pytest.raises(MaskError, match="block b4 has no masks"):
        trace.block("b4", 0)


def test_a_block_called_like_a_group_is_safe(
    tiny: tuple[Workload, MemoryTrace], tmp_path: Path
) -> None:
    blocks = [item for item in tiny[0].items if isinstance(item, Block)]
    twice = replace(tiny[0], items=(blocks[0], replace(blocks[1], index=1)))
    with pytest.raises(WorkloadError, match="two blocks are called 'b1'; names must be unique"):
        write_workload(tmp_path / "w.h5", twice, None)
    assert not list(tmp_path.iterdir())
