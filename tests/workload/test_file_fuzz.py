"""A damaged file gives a WorkloadError that names the file in one line, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from archonsim.errors import WorkloadError
from archonsim.tracefile.check import validate
from archonsim.tracefile.reader import open_workload


def survives(path: Path) -> bool:
    """Whether the file is still accepted; any other exception than WorkloadError fails the test."""
    message = ""
    try:
        validate(open_workload(path))
    except WorkloadError as error:
        message = str(error)
    assert not message or message.startswith(f"{path}: ")
    assert "\n" not in message
    return not message


def test_truncation(tiny_file: Path) -> None:
    content = tiny_file.read_bytes()
    offsets = [*range(64), *range(64, len(content), 1999), len(content) - 1]
    for offset in offsets:
        tiny_file.write_bytes(content[:offset])
        assert not survives(tiny_file), offset


@pytest.mark.sampled(4)
@pytest.mark.parametrize("seed", range(4))
def test_changed_bytes(tiny_file: Path, seed: int) -> None:
    content = tiny_file.read_bytes()
    chance = random.Random(seed)
    refused = 0
    for _ in range(50):
        damaged = bytearray(content)
        place, length = chance.randrange(len(content)), chance.choice([1, 1, 8, 64])
        damaged[place : place + length] = chance.randbytes(len(damaged[place : place + length]))
        tiny_file.write_bytes(damaged)
        refused += not survives(tiny_file)
    assert refused > 40, "HDF5 leaves few bytes without a meaning"


def attributes(path: Path) -> Iterator[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    with h5py.File(path) as file:
        found += [("/", name) for name in file.attrs]
        file.visititems(lambda where, node: found.extend((where, name) for name in node.attrs))
    optional = {"test_accuracy", "seed", "units", "unit"}
    return ((where, name) for where, name in found if name not in optional)


REPLACEMENTS: list[object] = [
    None,
    "text",
    "",
    -1,
    2**63 - 1,
    0.5,
    float("nan"),
    True,
    [3, 2],
    np.zeros((2, 2)),
    np.array([b"a", b"b"]),
    h5py.Empty("f"),
    1j,
]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("place", range(len(REPLACEMENTS)))
def test_deleted_and_retyped_attributes(tiny_file: Path, place: int) -> None:
    content, value = tiny_file.read_bytes(), REPLACEMENTS[place]
    # A name, a note or a network may be any text; nothing else may be just anything.
    free = {"note", "network", "dataset", "created_by", "role"}
    for number, (where, name) in enumerate(attributes(tiny_file)):
        if number % len(REPLACEMENTS) != place and where != "/":
            continue
        tiny_file.write_bytes(content)
        with h5py.File(tiny_file, "r+") as file:
            same = value is not None and np.array_equal(file[where].attrs[name], np.asarray(value))
            del file[where].attrs[name]
            if value is not None:
                file[where].attrs[name] = value
        if not same and survives(tiny_file):
            harmless = (
                name in free
                if isinstance(value, str)
                else name in ("test_images", "norm_params", "unexecuted_params")
            )
            assert harmless, (where, name, value)


def test_deleted_nodes(tiny_file: Path) -> None:
    content = tiny_file.read_bytes()
    nodes: list[str] = []
    with h5py.File(tiny_file) as file:
        file.visit(nodes.append)
    for where in nodes[::3]:
        tiny_file.write_bytes(content)
        with h5py.File(tiny_file, "r+") as file:
            del file[where]
        assert not survives(tiny_file), where
