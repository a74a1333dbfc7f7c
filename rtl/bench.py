"""Build the array with Verilator, run tiles through it, and compare every cycle with archonsim.

``python -m rtl.bench`` (``make rtl``) runs a few hundred tiles, ``--full`` thousands: random blocks
and masks on arrays of several sizes, and whole tiles of the shipped traces on the published array.
The stimulus of each array goes through the simulator's standard input.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np

from archonsim import tile_trace
from archonsim.pe.beats import cut, sent_groups
from archonsim.pe.tile_trace import ArraySizes, TileInputs, TileTrace, trace_tile
from archonsim.trace.fused_weight import NONE, fuse_tensors
from archonsim.trace.tensors import LayerTensors
from tests.strategies import make_block, random_tensors

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "rtl"
TRACES = ("workloads/fusionet_digits.h5", "workloads/fusionet_c10.h5")


@dataclasses.dataclass(frozen=True)
class Array:
    """Sizes of one array that is built; those of the buffers hold whole masks and maps."""

    name: str
    rows: int
    cols: int
    lanes: int
    slots: int
    depth: int
    rotate: bool = True
    keep1_bits: int = 2048
    keep2_bits: int = 512
    inputs: int = 128
    outputs: int = 16

    def parameters(self) -> dict[str, int]:
        """Return the parameters of archon_array.sv."""
        return {
            "PES": self.rows * self.cols,
            "LANES": self.lanes,
            "SLOTS": self.slots,
            "DEPTH": self.depth,
            "ROTATE": int(self.rotate),
            "KEEP1_BITS": self.keep1_bits,
            "KEEP2_BITS": self.keep2_bits,
            "INPUTS": self.inputs,
            "OUTPUTS": self.outputs,
        }


PUBLISHED = Array(
    "published", 8, 8, 6, 4, 5, keep1_bits=32768, keep2_bits=4096, inputs=1024, outputs=256
)
SMALL = (
    Array("small", 2, 3, 3, 2, 2),
    Array("odd", 3, 3, 5, 3, 7, rotate=False),
)
MORE = (
    Array("one_lane", 1, 2, 1, 4, 4),
    Array("one_slot", 3, 4, 7, 1, 1),
    Array("deep", 2, 2, 2, 3, 16),
    Array("even", 4, 4, 4, 4, 5, rotate=False),
)


def build(array: Array) -> Path:
    """Compile an array with its test bench; return the simulator.

    Hierarchical Verilation takes no parameters on the command line, so their defaults are replaced.
    """
    folder = BUILD / array.name
    sources = sorted((ROOT / "rtl").glob("*.sv"))
    bench = ROOT / "rtl" / "bench.cpp"
    simulator = folder / "bench"
    newest = max(path.stat().st_mtime for path in (*sources, bench, Path(__file__)))
    if simulator.exists() and simulator.stat().st_mtime > newest:
        return simulator
    folder.mkdir(parents=True, exist_ok=True)
    top = (ROOT / "rtl" / "archon_array.sv").read_text("utf-8")
    for name, value in array.parameters().items():
        top, found = re.subn(rf"(parameter int {name} *= )\d+", rf"\g<1>{value}", top)
        assert found == 1, name
    (folder / "archon_array.sv").write_text(top, "utf-8")
    defined = dict(re.findall(r"parameter int (\w+) *= (\d+)", top))
    command = [
        *("verilator", "--hierarchical", "--cc", "--exe", "--build", "-j", "2", "-O3"),
        *("-Wall", "-Wno-UNUSEDSIGNAL", "-Wno-UNOPTFLAT", "-Wno-DECLFILENAME"),
        # The runtime is compiled for each array; without optimisation that takes half the time.
        *("-MAKEFLAGS", "OPT_GLOBAL=-O0"),
        *("--x-assign", "fast", "--x-initial", "fast", "--noassert"),
        *("--top-module", "archon_array", "--Mdir", str(folder), "-o", "bench"),
        *("-CFLAGS", " ".join(["-std=c++17 -O1", *(f"-D{k}={v}" for k, v in defined.items())])),
        *(str(path) for path in sources if path.name != "archon_array.sv"),
        *(str(folder / "archon_array.sv"), str(bench)),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"verilator failed on {array.name}:\n{done.stderr}{done.stdout[-3000:]}")
    return simulator


def words(bits: np.ndarray) -> np.ndarray:
    """Pack (P, bits) bool into (words, P) uint16, least significant bit first."""
    padded = np.zeros((len(bits), -(-bits.shape[1] // 16) * 16), bool)
    padded[:, : bits.shape[1]] = bits
    packed = np.packbits(padded, axis=1, bitorder="little").view("<u2")
    return np.ascontiguousarray(packed.T)


def write_tile(stream: IO[bytes], name: str, tile: TileTrace) -> None:
    """Write one tile in the layout of `Tile` in bench.cpp."""
    if tile.clip.any():
        raise ValueError(f"block {tile.block}: clips activations, and the array's masks know none")
    taps, mids = tile.keep1.shape[2], tile.keep1.shape[1]
    pes, late = len(tile.keep1), tile.keep2.ndim == 3
    keep1 = words(tile.keep1.transpose(0, 2, 1).reshape(pes, -1))  # tap by tap
    keep2 = words(tile.keep2.reshape(pes, -1))
    inputs = np.ascontiguousarray(tile.input.reshape(pes, -1).T).astype("<i2")
    tap = np.where(tile.tap == NONE, 0, tile.tap)
    alone = np.repeat(tile.tap == NONE, np.diff(tile.group_start)) | (tile.mid == NONE)
    channel = np.where(tile.channel == NONE, 0, tile.channel)
    sizes = [tile.beats, tile.groups, len(tile.mid), len(keep1), len(keep2), len(inputs)]
    sizes += [tile.psums.shape[1], tile.fraction, int(late), tile.cycles, tile.macs]
    stream.write(name.encode()[:63].ljust(64, b"\0") + np.array(sizes, "<i4").tobytes())
    integers = (
        *(np.diff(tile.beat_start), tile.beat_group, tile.arrival),
        *(np.where(tile.mid == NONE, 0, tile.mid), tile.weight, alone),
        *(tap * mids, tile.out * taps + tap, channel * taps + tap, tile.out, tile.channel == NONE),
    )
    for column in integers:
        stream.write(np.ascontiguousarray(column).astype("<i4").tobytes())
    for bits in (keep1, keep2, inputs):
        stream.write(bits.tobytes())
    stream.write(tile.beat_cycle.astype("<i4").tobytes())
    stream.write(tile.levels.astype(np.uint8).tobytes())
    stream.write(tile.retire.astype("<i4").tobytes())
    stream.write(tile.psums.astype("<i8").tobytes())


def _flat(layer: LayerTensors) -> LayerTensors:
    ones = np.ones_like(layer.scale)
    weight = (layer.weight != 0).astype(np.float32)
    return LayerTensors(weight=weight, scale=ones, shift=layer.shift)


def random_tile(array: Array, seed: int) -> TileTrace:
    """Return a tile of a random block under random masks; in every second, beats arrive late."""
    rng = np.random.default_rng([seed, array.lanes, array.depth])
    groups, kernel = int(rng.choice([1, 2])), int(rng.choice([1, 3]))
    block = make_block(
        channels=groups * int(rng.integers(1, 4)),
        mid=groups * int(rng.integers(1, 60)),
        out=groups * int(rng.integers(1, 4)),
        groups=groups,
        size=(int(rng.integers(2, 12)), int(rng.integers(2, 12))),
        kernel=kernel,
        stride=int(rng.choice([1, 2])),
        late=bool(rng.random() < 0.3),
    )
    tensors = [random_tensors(rng, layer, rng.choice([0.2, 0.5, 1.0])) for layer in block.layers]
    if rng.random() < 0.25:  # all weights alike and large: sums that the adders cannot hold
        tensors = [_flat(layer) for layer in tensors]
    fused = fuse_tensors(block, (tensors[0], tensors[1], tensors[2]))
    sent = sent_groups(fused, skip_empty=bool(rng.random() < 0.5), bias=bool(rng.random() < 0.8))
    order = np.flatnonzero(sent).astype(np.int32)
    fused = fused.in_order(rng.permutation(order) if rng.random() < 0.5 else order)
    lane_order = "rotate" if array.rotate else "fixed"
    stream = cut(fused, lanes=array.lanes, per_lane=array.slots, lane_order=lane_order)
    keeps = [
        (rng.random((one.out_channels, one.out_h, one.out_w)) < rng.choice([0.2, 0.5, 0.9, 1.0]))
        for one in block.layers[:2]
    ]
    shape = (block.in_channels, block.layers[0].in_h, block.layers[0].in_w)
    given = TileInputs(
        block=block,
        fused=fused,
        stream=stream,
        keep1=keeps[0].astype(np.uint8),
        keep2=keeps[1].astype(np.uint8),
        x=rng.normal(size=shape).astype(np.float32),
    )
    sizes = ArraySizes(rows=array.rows, cols=array.cols, per_lane=array.slots, depth=array.depth)
    gaps = rng.integers(0, 4, stream.beats) * (rng.random(stream.beats) < 0.3) * (seed % 2)
    at = (
        int(rng.integers(block.dw.out_h)) // array.rows * array.rows,
        int(rng.integers(block.dw.out_w)) // array.cols * array.cols,
    )
    return trace_tile(given, at, sizes, np.cumsum(gaps))


def random_tiles(array: Array, count: int) -> Iterator[tuple[str, TileTrace]]:
    """Yield random tiles with names."""
    for seed in range(count):
        yield f"{array.name} array, random tile {seed}", random_tile(array, seed)


def traced_tiles(*, full: bool) -> Iterator[tuple[str, TileTrace]]:
    """Yield whole tiles of the shipped traces, in both orders of the stream.

    The digits' image 0, and one tile of two of CIFAR-10's blocks; `full`: all images of the digits,
    the first tile of all of CIFAR-10's blocks.
    """
    asked: list[tuple[str, str, int, int]] = [
        (TRACES[0], f"b{block}", image, 0)  # of 8 x 8 pixels: one tile
        for image in range(8 if full else 1)
        for block in range(1, 5)
    ]
    if full:
        asked += [(TRACES[1], f"b{block}", 0, 0) for block in range(1, 17)]
    else:
        asked += [(TRACES[1], "b1", 0, 5), (TRACES[1], "b4", 0, 3)]
    for trace, block, image, tile in asked:
        for order in ("published", "mapped"):
            found = tile_trace(
                "archon", trace, block=block, tile=tile, images=image, set={"main_order": order}
            )
            name = f"{Path(trace).stem} {block}, image {image}, tile {tile}, {order}"
            yield name, found


def compare(array: Array, tiles: Iterator[tuple[str, TileTrace]], what: str) -> bool:
    """Run tiles through an array; print one line, and what differs; return whether nothing does."""
    begin = time.monotonic()
    simulator = build(array)
    built = time.monotonic()
    with subprocess.Popen([simulator], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            for name, tile in tiles:
                write_tile(process.stdin, name, tile)
            process.stdin.close()
        except BrokenPipeError:
            pass
        counts = [int(text) for text in process.stdout.read().split()]
    done = time.monotonic()
    if process.returncode or len(counts) != 5:
        sys.stdout.write(f"{array.name}: {what} DIFFER (exit {process.returncode})\n")
        return False
    sizes = (
        f"{array.rows}x{array.cols} PEs, {array.lanes} lanes x {array.slots}, FIFO {array.depth}"
    )
    sys.stdout.write(
        f"{sizes}: {counts[0]} {what}, {counts[1]} cycles, {counts[2]} beats, {counts[3]} stalls,"
        f" {counts[4]} waits: equal; built in {built - begin:.0f} s, ran in {done - built:.0f} s\n"
    )
    sys.stdout.flush()
    return True


def main() -> int:
    """Build, run, compare; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="thousands of tiles, seven arrays")
    full = parser.parse_args().full
    arrays = (*SMALL, *MORE) if full else SMALL
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(build, (PUBLISHED, *arrays)))
    good = [compare(one, random_tiles(one, 500 if full else 120), "random tiles") for one in arrays]
    good.append(compare(PUBLISHED, random_tiles(PUBLISHED, 300 if full else 40), "random tiles"))
    good.append(compare(PUBLISHED, traced_tiles(full=full), "tiles of the shipped traces"))
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
