"""How often commands read from a trace file, and how many events and beats a run takes.

Counts are the same on every machine, so that a bound on one cannot flake. Each bound says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from h5py import h5f, h5o

from archonsim.cli.app import run_command
from archonsim.dataflow.tile import output_tiles
from archonsim.engine import phase_kernel
from archonsim.engine.clock import Clock
from archonsim.machines.archon.residency import steps
from archonsim.machines.registry import machine, machine_spec
from archonsim.network.table import build_network
from archonsim.network.table_schema import check_table
from archonsim.pe import survivor_kernel
from archonsim.runs.simulate import simulate
from archonsim.trace.kept import Kept
from archonsim.trace.synthetic import synthesize
from archonsim.trace.trace_parts import traced_blocks, traced_layers
from archonsim.tracefile import codec, hdf5_in
from archonsim.tracefile.reader import open_workload

DIGITS = Path(__file__).parents[2] / "workloads" / "fusionet_digits.h5"
WORK = open_workload(DIGITS)
LAYERS, BLOCKS = len(traced_layers(WORK)), len(traced_blocks(WORK, WORK.images))
#: Datasets of weights: three of a layer, three of each of a block's two predictors.
WEIGHTS = 3 * LAYERS + 6 * BLOCKS
#: Datasets that one image of a block needs: four masks, input and output, and the digests.
IMAGE = 7


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Count what is called; everything does what it always does."""
    counts: Counter[str] = Counter()

    def counted(place: Any, name: str) -> None:
        function = getattr(place, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            counts[name] += 1
            return function(*arguments, **named)

        monkeypatch.setattr(place, name, wrapped)

    counted(hdf5_in.Dataset, "raw")
    counted(h5f, "open_file_image")
    counted(h5o, "open")
    counted(codec, "predict")
    counted(codec, "real_signs")
    hdf5_in._whole.cache_clear()
    yield counts
    hdf5_in._whole.cache_clear()


def command(line: str) -> None:
    assert run_command([*line.split(), "-f", "json"]) == 0


def test_a_run_reads_each_part_once(count: Counter[str]) -> None:
    command(f"run -a archon -w {DIGITS}")
    assert count["open_file_image"] == 1, "the file is read whole, once"
    # The digests of all images stand in each block, and are read when the file is opened, too.
    assert count["raw"] <= WEIGHTS + BLOCKS + IMAGE * BLOCKS
    assert count["predict"] == BLOCKS, "both masks of a block's image come from one prediction"
    assert count["real_signs"] == BLOCKS


def test_a_second_image_reads_no_weights(count: Counter[str]) -> None:
    command(f"run -a archon -w {DIGITS} --images 0,1")
    assert count["raw"] <= WEIGHTS + BLOCKS + 2 * IMAGE * BLOCKS


def test_groups_and_datasets_are_opened_once(count: Counter[str]) -> None:
    """Opening one takes as long as reading a small one: another image opens nothing."""
    command(f"run -a archon -w {DIGITS} --images 0,1")
    both = count["open"]
    # The groups of all layers and of all blocks, one for each, and two predictors a block.
    groups = 2 + len(list(WORK.layers())) + BLOCKS + 2 * BLOCKS
    assert both <= groups + WEIGHTS + IMAGE * BLOCKS
    hdf5_in._whole.cache_clear()
    command(f"run -a archon -w {DIGITS}")
    assert count["open"] - both == both


def test_inspect_decodes_nothing_unless_it_is_asked_to(count: Counter[str]) -> None:
    command(f"inspect {DIGITS}")
    assert count["raw"] <= WEIGHTS + BLOCKS
    assert count["predict"] + count["real_signs"] == 0


def test_a_deep_look_decodes_each_image_once(count: Counter[str]) -> None:
    command(f"inspect {DIGITS} --deep")
    assert count["raw"] <= WEIGHTS + BLOCKS + IMAGE * BLOCKS * WORK.images
    assert count["predict"] == BLOCKS * WORK.images


def test_a_changed_file_is_read_again(tmp_path: Path, count: Counter[str]) -> None:
    path = tmp_path / "w.h5"
    path.write_bytes(DIGITS.read_bytes())
    digest = open_workload(path).digest
    other = DIGITS.with_name("fusionet_c10.h5")
    path.write_bytes(other.read_bytes())
    assert open_workload(path).digest != digest
    assert count["open_file_image"] == 2


def test_a_run_takes_few_events_and_kernel_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on once a phase; a kernel's call for each phase, and each tile of main."""
    command(f"run -a archon -w {DIGITS}")  # kernels are there from now on
    counts: Counter[str] = Counter()

    def count(place: Any, name: str) -> None:
        function = getattr(place, name)

        def counted(*arguments: Any) -> Any:
            counts[name] += 1
            return function(*arguments)

        monkeypatch.setattr(place, name, counted)

    count(Clock, "step")
    count(phase_kernel, "advance")
    count(survivor_kernel, "fill")
    fixed, main = len(steps(WORK, 0)) + BLOCKS, BLOCKS  # two predictions a block, or a layer
    pe = machine_spec(machine("archon")).pe
    tiles = sum(len(list(output_tiles(block.dw, pe.rows, pe.cols))) for block in WORK.blocks())
    command(f"run -a archon -w {DIGITS}")
    assert counts["step"] <= 3 * (fixed + main) + 3
    assert counts["advance"] <= fixed + main + tiles
    assert counts["fill"] == tiles
    once = counts["advance"]
    command(f"run -a archon -w {DIGITS} --images 0,1")
    assert counts["advance"] - 2 * once <= main + tiles, "fixed phases are run for one image alone"


def test_the_next_machine_reads_no_image_again(count: Counter[str]) -> None:
    """Points of a sweep, and machines that are compared, run the same images."""
    command(f"run -a archon -w {DIGITS}")
    once = count["raw"], count["predict"]
    command(f"run -a archon -w {DIGITS} --set pe.adders=4")
    assert count["raw"] - once[0] <= BLOCKS, "the digests, when the file is opened"
    assert count["predict"] == once[1]


def test_a_network_of_many_blocks_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups and mappings of 67 blocks, 201 layers, stay for the next image."""
    block = {"mid": 16, "out": 4, "kernel": 3}
    table = check_table({"input": [4, 4, 4], "blocks": [block] * 67}, "long")
    work, _ = synthesize(build_network(table, "long", "long", "long"), seed=0, images=2)
    made: list[object] = []
    get = Kept.get

    def listening(self: Kept, key: Any, make: Any, size: Any) -> Any:
        def told() -> Any:
            made.append(key)
            return make()

        return get(self, key, told, size)

    monkeypatch.setattr(Kept, "get", listening)
    archon = machine("archon")
    spec, found = machine_spec(archon), []
    for image in (0, 1):
        made.clear()
        simulate(work, archon, spec, images=(image,))
        found.append(sum(key[0] == "fuse" for key in made if isinstance(key, tuple)))
    assert found == [67, 0]
