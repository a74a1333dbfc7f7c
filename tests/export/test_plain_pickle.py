"""Pickled data sets: what is in them comes out, and nothing that they name is run."""

from __future__ import annotations

import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archonsim.cli.app import run_command
from archonsim.errors import WorkloadError
from archonsim.export.plain_pickle import load_plain

KINDS = ("u1", "i1", "<i8", ">i4", "<f4", ">f8", "?", "<f2")


def read(content: bytes, folder: Path) -> Any:
    path = folder / "batch"
    path.write_bytes(content)
    return load_plain(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_out_as_they_went_in(protocol: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(protocol)
    for number, kind in enumerate(KINDS):
        for shape in ((), (0,), (5,), (3, 4), (2, 3, 4)):
            array = rng.integers(0, 100, shape).astype(kind)
            array = np.asfortranarray(array) if number % 2 else array
            content = {b"data": array, b"labels": [1, 2], "name": "x", 3: (None, True, 0.5)}
            back = read(pickle.dumps(content, protocol=protocol), tmp_path)
            assert back[b"data"].dtype == array.dtype
            np.testing.assert_array_equal(back[b"data"], array)
            assert back[b"labels"] == [1, 2]
            assert back[3] == (None, True, 0.5)


def test_what_python_2_wrote_is_bytes(tmp_path: Path) -> None:
    """As in CIFAR's own archive: texts of 8 bits, numpy's old names."""
    content = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\n"
        b"q\x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87R"
        b"q\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06\x00\x01\x02\xfd\xfe\xfftb"
        b"U\x06labels]q\x08(K\x07K\x08eu."
    )
    back = read(content, tmp_path)
    np.testing.assert_array_equal(back[b"data"], np.array([[0, 1, 2], [253, 254, 255]], np.uint8))
    assert back[b"labels"] == [7, 8]


class Hostile:
    """Runs a program when it is unpickled."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self._call, self._arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call, self._arguments


def hostile(mark: Path) -> dict[str, bytes]:
    """Pickles that would make a folder called `mark`, or reach for what could."""
    code = f"__import__('os').mkdir({str(mark)!r})"
    forged = pickle.dumps(np.zeros(1, object)).replace(b"]", b"C\x08AAAAAAAA", 1)
    return {
        "system": pickle.dumps(Hostile(os.system, f"mkdir {mark}")),
        "mkdir": pickle.dumps({b"data": Hostile(os.mkdir, str(mark))}),
        "eval": pickle.dumps(Hostile(eval, code)),
        "getattr": pickle.dumps(Hostile(getattr, os, "name"))
        if False
        else b"cbuiltins\ngetattr\n.",
        "old names": f"c__builtin__\neval\n(S{code!r}\ntR.".encode(),
        "inst": f"(S{code!r}\ni__builtin__\neval\n.".encode(),
        "through numpy": b"cnumpy\nload\n.",
        "through numpy's tests": b"cnumpy.testing._private.utils\nruncmd\n.",
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0bndarray.sum\x93.",
        "a class": pickle.dumps(OrderedDict(a=1)),
        "a codec": pickle.dumps(Hostile(__import__("codecs").encode, "a", "rot13")),
        "an array of objects": pickle.dumps(np.array([{}, 1], object)),
        "forged pointers": forged,
        "records": pickle.dumps(np.zeros(2, [("a", "i4")])),
        "changing a name": b"\x80\x02cnumpy\ndtype\n}X\x04\x00\x00\x00makecos\nsystem\nsb.",
        "an extension": b"\x80\x02\x82\x01.",
        "a persistent name": b"Pname\n.",
    }


@pytest.mark.parametrize("case", hostile(Path("x")))
def test_nothing_that_a_file_names_is_run(case: str, tmp_path: Path) -> None:
    mark = tmp_path / "run"
    with pytest.raises(WorkloadError, match=r"batch: not a pickle of plain data") as caught:
        read(hostile(mark)[case], tmp_path)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_the_hostile_pickles_are_hostile(tmp_path: Path) -> None:
    """Plain ``pickle.load`` runs them: the test above tests something."""
    with pytest.raises((pickle.UnpicklingError, ModuleNotFoundError, TypeError, KeyError)):
        pickle.loads(hostile(tmp_path / "run")["eval"][:-1])
    pickle.loads(hostile(tmp_path / "run")["eval"])
    assert (tmp_path / "run").is_dir()


@pytest.mark.parametrize("name", ["cifar-10-batches-py/test_batch", "cifar-100-python/test"])
def test_a_prepared_folder_runs_nothing_and_is_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra 'train')")
    mark, path = tmp_path / "run", tmp_path / name
    path.parent.mkdir()
    path.write_bytes(hostile(mark)["mkdir"])
    module = ["--module", "tests.export.nets:mobilenet", "--images", str(tmp_path)]
    assert run_command(["export", *module, "-o", str(tmp_path / "x.h5")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{path}: not a pickle of plain data: it names " in line
    assert not mark.exists()
    assert not (tmp_path / "x.h5").exists()


SMALL = pickle.dumps(np.zeros(4, np.uint8), protocol=2)
CLAIMS = {
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.",
    "a frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",
    "pixels": SMALL.replace(b"K\x04\x85", b"J\xff\xff\xff\x7f\x85"),
    "pixels of no size": SMALL.replace(b"K\x04\x85", b"J\xff\xff\xff\xff\x85"),
    "depth": b"(" * 100_000 + b"N" + b"t" * 100_000,
}


@pytest.mark.parametrize("case", CLAIMS)
def test_small_files_that_claim_much_are_refused_at_once(case: str, tmp_path: Path) -> None:
    assert CLAIMS[case] != SMALL
    with pytest.raises(WorkloadError, match="not a pickle of plain data") as caught:
        read(CLAIMS[case], tmp_path)
    assert "\n" not in str(caught.value)


def test_a_memo_of_four_billion_entries_takes_no_memory(tmp_path: Path) -> None:
    assert read(b"\x80\x02Nr\xff\xff\xff\xff.", tmp_path) is None
