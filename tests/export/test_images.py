"""Images from folders, arrays and data sets, with what was done to them."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image", reason="pillow is not installed (extra 'train')")

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.export.images import Preprocessing, load_images, number_ranges  # noqa: E402

RNG = np.random.default_rng(2)
PIXELS = RNG.integers(0, 256, (5, 3, 6, 8), np.uint8)


def folder(path: Path) -> Path:
    for number, one in enumerate(PIXELS):
        inner = path / f"class{number % 2}"
        inner.mkdir(exist_ok=True)
        Image.fromarray(one.transpose(1, 2, 0)).save(inner / f"{number}.png")
    return path


def test_a_folder_of_pictures_is_read_in_order_of_paths(tmp_path: Path) -> None:
    found = load_images(folder(tmp_path), 1, 3, Preprocessing(mean=(0.5, 0.25, 0.0), std=(0.5,)))
    order = [0, 2, 4, 1, 3]
    expected = (
        PIXELS[order[1:4]] / np.float32(255) - np.array([0.5, 0.25, 0.0]).reshape(1, 3, 1, 1)
    ) / 0.5
    np.testing.assert_allclose(found.pixels, expected, rtol=1e-5, atol=1e-6)
    assert (found.indices, found.dataset, found.split) == ((1, 2, 3), tmp_path.name, "")
    assert found.preprocessing == "pixels / 255; minus mean 0.5,0.25,0, divided by std 0.5"


def test_pictures_are_resized_as_pillow_does(tmp_path: Path) -> None:
    found = load_images(folder(tmp_path), 0, 1, Preprocessing(resize=(4, 5)))
    expected = np.asarray(
        Image.fromarray(PIXELS[0].transpose(1, 2, 0)).resize((5, 4), Image.Resampling.BILINEAR)
    )
    np.testing.assert_array_equal(found.pixels[0], (expected / np.float32(255)).transpose(2, 0, 1))
    assert found.preprocessing.startswith("bilinear resize to 4x5; pixels / 255")


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_arrays_of_bytes_are_scaled_and_others_not(tmp_path: Path, kind: type[np.generic]) -> None:
    np.save(tmp_path / "x.npy", PIXELS.astype(kind))
    found = load_images(tmp_path / "x.npy", 2, 2, Preprocessing(mean=(0.5,), std=(0.25,)))
    scaled = PIXELS[2:4] / np.float32(255) if kind is np.uint8 else PIXELS[2:4].astype(np.float32)
    np.testing.assert_array_equal(found.pixels, (scaled - np.float32(0.5)) / np.float32(0.25))
    assert found.indices == (2, 3)
    assert ("pixels / 255" in found.preprocessing) == (kind is np.uint8)


def test_the_original_archive_of_cifar_is_read(tmp_path: Path) -> None:
    inner = tmp_path / "cifar-10-batches-py"
    inner.mkdir()
    data = RNG.integers(0, 256, (4, 3 * 32 * 32), np.uint8)
    (inner / "test_batch").write_bytes(pickle.dumps({b"data": data, b"labels": [0, 1, 2, 3]}))
    found = load_images(tmp_path, 1, 2, Preprocessing())
    np.testing.assert_array_equal(found.pixels, data[1:3].reshape(2, 3, 32, 32) / np.float32(255))
    assert (found.dataset, found.split) == ("cifar10", "test")


@pytest.mark.parametrize(
    "damage",
    [b"nonsense", b"", pickle.dumps({"other": 1}), pickle.dumps({b"data": [1, 2], b"labels": [0]})],
)
def test_a_damaged_archive_of_cifar_is_one_line(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "test_batch").write_bytes(damage)
    where = r"test_batch: not a pickle of plain data|the test split of CIFAR-10 cannot be read"
    with pytest.raises(WorkloadError, match=where) as caught:
        load_images(tmp_path, 0, 1, Preprocessing())
    assert "\n" not in str(caught.value)
    (tmp_path / "test_batch").unlink()
    np.savez(tmp_path / "cifar10_labels.npz", test_labels=np.zeros(3))
    (tmp_path / "cifar10_test_00.zip").write_bytes(damage)
    with pytest.raises(WorkloadError, match="the test split of CIFAR-10 cannot be read"):
        load_images(tmp_path, 0, 1, Preprocessing())


def png(size: tuple[int, int]) -> bytes:
    """A PNG of black pixels of one bit: a few kilobytes, whatever its size."""
    width, height = size

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1000))  # truncated: it must be refused before it is decoded
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("size", [(30_000, 30_000), (12_000, 12_000), (1, 100_000_001)])
def test_a_picture_that_would_fill_the_memory_is_refused_by_its_size(
    size: tuple[int, int], tmp_path: Path
) -> None:
    (tmp_path / "big.png").write_bytes(png(size))
    tracemalloc.start()
    with pytest.raises(WorkloadError, match=r"big\.png: .* pixels; pictures of up to") as caught:
        load_images(tmp_path, 0, 1, Preprocessing(resize=(8, 8)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < 1 << 20


def test_pictures_of_16_bits_are_refused_as_their_values_would_be_cut(tmp_path: Path) -> None:
    Image.fromarray(RNG.integers(0, 65536, (4, 4), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(WorkloadError, match=r"deep\.png: has pixels of more than 8 bits"):
        load_images(tmp_path, 0, 1, Preprocessing())


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    pictures, plain = folder(tmp_path), Preprocessing()
    for source, message, how in (
        (tmp_path / "absent", "no such folder", plain),
        (tmp_path / "absent.npy", "no such file", plain),
        (pictures, r"holds 5 images; 9 from number 0 on", plain),
        (
            pictures,
            "mean has 2 numbers; the images have 3 channels",
            Preprocessing(mean=(0.0, 1.0)),
        ),
    ):
        with pytest.raises(WorkloadError, match=message) as caught:
            load_images(source, 0, 9 if "holds" in message else 2, how)
        assert "\n" not in str(caught.value)
    (tmp_path / "short.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(WorkloadError, match=r"short\.npy: not an array"):
        load_images(tmp_path / "short.npy", 0, 1, plain)
    np.save(tmp_path / "flat.npy", PIXELS[0])
    with pytest.raises(WorkloadError, match=r"shape is \(3, 6, 8\)"):
        load_images(tmp_path / "flat.npy", 0, 1, plain)
    np.save(tmp_path / "flat.npy", np.full((1, 3, 2, 2), np.nan))
    with pytest.raises(WorkloadError, match=r"pixel at \(0, 0, 0, 0\) is nan"):
        load_images(tmp_path / "flat.npy", 0, 1, plain)
    with pytest.raises(WorkloadError, match="std greater than 0"):
        Preprocessing(std=(0.0,))


def test_pictures_of_two_sizes_and_no_pictures_are_named(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[0].transpose(1, 2, 0)).save(tmp_path / "a.png")
    Image.fromarray(PIXELS[0].transpose(1, 2, 0)[:4]).save(tmp_path / "b.png")
    with pytest.raises(
        WorkloadError, match=r"b\.png: is 4x8 pixels, a\.png 6x8; make them equal with --resize HxW"
    ):
        load_images(tmp_path, 0, 2, Preprocessing())
    (tmp_path / "b.png").write_text("text")
    with pytest.raises(WorkloadError, match=r"b\.png: not a picture that Pillow reads"):
        load_images(tmp_path, 0, 2, Preprocessing())


def test_the_folder_one_stands_in_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder(tmp_path))
    assert load_images(Path(), 0, 1, Preprocessing()).dataset == Path.cwd().name


def test_numbers_are_written_as_ranges() -> None:
    assert number_ranges((0, 1, 2, 5, 7, 8)) == "0-2,5,7-8"
    assert number_ranges(()) == ""
