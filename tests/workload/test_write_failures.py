from __future__ import annotations

import resource
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from archonsim.errors import OutputError, WorkloadError
from archonsim.network.workload import Provenance, Workload
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import BlockTrace, Floats, LayerTensors, MemoryTrace, PredictorTensors
from archonsim.tracefile.writer import write_workload

Made = tuple[Workload, MemoryTrace]


class Interrupted:
    """A trace whose second image is interrupted by Ctrl-C."""

    def __init__(self, trace: MemoryTrace) -> None:
        self.trace, self.images = trace, trace.images

    def layer(self, name: str) -> LayerTensors:
        return self.trace.layer(name)

    def predictors(self, block: str) -> tuple[PredictorTensors, PredictorTensors]:
        return self.trace.predictors(block)

    def block(self, block: str, image: int) -> BlockTrace:
        if image == 1:
            signal.raise_signal(signal.SIGINT)
        return self.trace.block(block, image)

    def activations(self, layer: str, image: int) -> Mask | None:
        return self.trace.activations(layer, image)

    def values(self, layer: str, image: int) -> Floats | None:
        return self.trace.values(layer, image)


def test_ctrl_c_leaves_the_old_file(tiny: Made, tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    path.write_bytes(b"the old file")
    with pytest.raises(KeyboardInterrupt):
        write_workload(path, tiny[0], Interrupted(tiny[1]))
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_between_writing_and_renaming(
    tiny: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        write_workload(tmp_path / "w.h5", *tiny)
    assert not list(tmp_path.iterdir())


def test_full_disk_leaves_nothing(tiny: Made, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the end of the disk.

    The kernel refuses the write half way.
    """
    path = tmp_path / "w.h5"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OutputError, match=f"^{path}: cannot be written: File too large$"):
            write_workload(path, *tiny)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert not list(tmp_path.iterdir())


def test_no_such_folder(tiny: Made, tmp_path: Path) -> None:
    with pytest.raises(
        OutputError, match=r"nowhere/w\.h5: cannot be written: No such file or directory"
    ):
        write_workload(tmp_path / "nowhere" / "w.h5", *tiny)


def test_a_folder_is_in_the_way(tiny: Made, tmp_path: Path) -> None:
    (tmp_path / "w.h5").mkdir()
    with pytest.raises(OutputError, match="cannot be written: Is a directory"):
        write_workload(tmp_path / "w.h5", *tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["w.h5"]


def refuse(tmp_path: Path, workload: Workload, trace: MemoryTrace, message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        write_workload(tmp_path / "w.h5", workload, trace)
    assert not list(tmp_path.iterdir())


def test_masks_without_a_source_are_refused(tiny: Made, tmp_path: Path) -> None:
    silent = replace(tiny[0], provenance=Provenance(network="tiny"))
    refuse(
        tmp_path,
        silent,
        tiny[1],
        "mask_source is 'none' beside masks of 2 images; it must be 'trained' or 'synthetic'",
    )


def test_missing_parts_are_refused(tiny: Made, tmp_path: Path) -> None:
    workload, trace = tiny
    layers = {name: one for name, one in trace.layers.items() if name != "b3.dw"}
    refuse(tmp_path, workload, replace(trace, layers=layers), "b3.dw: no weights")
    refuse(tmp_path, workload, replace(trace, images=3), "b1: no masks for image 2")


def test_impossible_parts_are_refused(tiny: Made, tmp_path: Path) -> None:
    workload, trace = tiny
    one = trace.layers["b1.dw"]
    wrong = trace.layers | {"b1.dw": replace(one, weight=one.weight[:, :, :2])}
    refuse(
        tmp_path,
        workload,
        replace(trace, layers=wrong),
        r"b1\.dw weight: shape is \(12, 1, 2, 3\); it must be \(12, 1, 3, 3\)",
    )
    block = trace.blocks["b1", 0]
    swapped = trace.blocks | {("b1", 0): replace(block, keep1=trace.blocks["b3", 0].keep2)}
    refuse(
        tmp_path,
        workload,
        replace(trace, blocks=swapped),
        "b1 image 0 keep1: covers 12x3x3 activations; it must be 12x5x5",
    )
