"""Random small cases, and what several tests build."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from archonsim.dataflow.mapper import divisors
from archonsim.machines.archon import MACHINE
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.registry import machine_spec
from archonsim.network.block import Block
from archonsim.network.layer import Layer, same_padding
from archonsim.pe.beats import BeatStream, cut, sent_groups
from archonsim.pe.survivor_kernel import Survivors
from archonsim.trace.fused_weight import FusedWeight, fuse_tensors
from archonsim.trace.image import ImageInputs
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import LayerTensors


def archon(*overrides: str) -> ArchonSpec:
    """ARCHON's preset with some keys changed."""
    spec: ArchonSpec = machine_spec(MACHINE, None, overrides)
    return spec


UNLIMITED = ("dram.model=unlimited", "glb.model=unlimited", "prediction_glb.model=unlimited")


#: An image for machines that must not ask for anything: masks are refused.
NO_IMAGE = ImageInputs()


def make_block(
    *,
    channels: int,
    mid: int,
    out: int,
    groups: int = 1,
    size: tuple[int, int] = (8, 8),
    kernel: int = 3,
    stride: int = 1,
    residual: bool = False,
    shuffle: int = 0,
    index: int = 1,
    late: bool = False,
) -> Block:
    """A PW-DW-PW block with 'same' padding; `late`: PW-PW-DW."""
    height, width = size
    padding = (*same_padding(height, kernel, stride), *same_padding(width, kernel, stride))
    pw1 = Layer(
        name=f"b{index}.pw1",
        kind="conv",
        role="pw1",
        in_channels=channels,
        out_channels=mid,
        groups=groups,
        in_h=height,
        in_w=width,
        activation="relu",
        batchnorm=True,
    )
    wide = out if late else mid
    dw = Layer(
        name=f"b{index}.dw",
        kind="depthwise",
        role="dw",
        in_channels=wide,
        out_channels=wide,
        groups=wide,
        in_h=height,
        in_w=width,
        kernel_h=kernel,
        kernel_w=kernel,
        stride_h=stride,
        stride_w=stride,
        padding=padding,
        activation="none" if late else "relu",
        batchnorm=True,
    )
    pw2 = Layer(
        name=f"b{index}.pw2",
        kind="conv",
        role="pw2",
        in_channels=mid,
        out_channels=out,
        groups=groups,
        in_h=height if late else dw.out_h,
        in_w=width if late else dw.out_w,
        activation="relu" if late else "none",
        batchnorm=True,
    )
    return Block(
        index=index,
        pw1=pw1,
        dw=dw,
        pw2=pw2,
        order="pw-pw-dw" if late else "pw-dw-pw",
        residual="add" if residual else "none",
        shuffle=shuffle,
    )


def random_tensors(rng: np.random.Generator, layer: Layer, density: float) -> LayerTensors:
    """Pruned random weights; about one shift in ten is 0."""
    weight = rng.normal(size=layer.weight_shape) * (rng.random(layer.weight_shape) < density)
    shift = rng.normal(size=layer.out_channels) * (rng.random(layer.out_channels) < 0.9)
    scale = rng.uniform(0.5, 2, layer.out_channels)
    return LayerTensors(
        weight=weight.astype(np.float32),
        scale=scale.astype(np.float32),
        shift=shift.astype(np.float32),
    )


def random_states(
    rng: np.random.Generator, layer: Layer, density: float, clipped: float
) -> np.ndarray:
    """What a ReLU does to each activation: 0 drops, 1 passes, 2 clips some of what it keeps."""
    shape = (layer.out_channels, layer.out_h, layer.out_w)
    keep = (rng.random(shape) < density).astype(np.uint8)
    return keep + keep * (rng.random(shape) < clipped).astype(np.uint8)


@dataclass(frozen=True)
class TileCase:
    """Everything that the accumulate stage sees of one tile.

    `sent` holds the groups of `fused` that `stream` is cut from, and `at` the tile's first pixel.
    keep1 and keep2 are 0 (dropped), 1 (passed) or 2 (clipped); each candidate of `fused` `wants` 1,
    or 2 of one of them.
    """

    block: Block
    fused: FusedWeight
    sent: FusedWeight
    stream: BeatStream
    at: tuple[int, int]
    keep1: np.ndarray
    keep2: np.ndarray
    wants: np.ndarray
    table: np.ndarray
    rows: int
    cols: int
    depth: int

    @property
    def survives(self) -> list[list[bool]]:
        """The table as ``[PE][row]``, for the reference."""
        bits: list[list[bool]] = unpack_table(self.table, self.rows * self.cols).tolist()
        return bits


def unpack_table(table: np.ndarray, pes: int) -> np.ndarray:
    """(rows, words) uint64 -> (PEs, rows) bool."""
    octets = table.astype("<u8").view(np.uint8).reshape(len(table), 8 * table.shape[1])
    return np.unpackbits(octets, axis=1, bitorder="little")[:, :pes].T.astype(bool)


@st.composite
def tile_cases(draw: st.DrawFn) -> TileCase:
    """Random blocks, masks and arrays, small enough to step."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups = draw(st.sampled_from([1, 2]))
    lanes, per_lane = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    rows, cols = draw(st.integers(1, 9)), draw(st.integers(1, 10))
    clips = draw(st.sampled_from([(0.0, 0.0), (6.0, 6.0), (0.0, 0.5), (2.0, 0.0)]))
    few = any(clips)  # all bias groups then have candidates, which are many for a reference
    block = make_block(
        channels=groups * draw(st.integers(1, 2 if few else 3)),
        mid=groups * draw(st.integers(1, 9 if few else 40)),
        out=groups * draw(st.integers(1, 2 if few else 3)),
        groups=groups,
        size=(draw(st.integers(2, 12)), draw(st.integers(2, 12))),
        kernel=draw(st.sampled_from([1, 3] if few else [1, 3, 5])),
        stride=draw(st.sampled_from([1, 2])),
        late=draw(st.booleans()),
    )
    block = dataclasses.replace(
        block,
        shuffle=draw(st.sampled_from([0, *divisors(block.mid_channels)])),
        clips=clips,
    )
    densities = draw(st.tuples(*[st.sampled_from([0.1, 0.3, 0.6, 1.0])] * 3))
    one, two, three = (
        random_tensors(rng, layer, density)
        for layer, density in zip(block.layers, densities, strict=True)
    )
    fused = fuse_tensors(block, (one, two, three))
    lane_order = draw(st.sampled_from(["rotate", "fixed"]))
    skip_empty, bias = draw(st.booleans()), draw(st.booleans())
    stream = cut(
        fused,
        lanes=lanes,
        per_lane=per_lane,
        lane_order=lane_order,
        skip_empty=skip_empty,
        bias=bias,
    )
    sent = np.flatnonzero(sent_groups(fused, skip_empty=skip_empty, bias=bias))
    keep1, keep2 = (
        random_states(rng, layer, draw(st.floats(0, 1)), 0.4 if end else 0.0)
        for layer, end in zip(block.layers, block.clips, strict=False)
    )
    at = (
        draw(st.integers(0, block.dw.out_h - 1)) // rows * rows,
        draw(st.integers(0, block.dw.out_w - 1)) // cols * cols,
    )
    table = Survivors(masks_of(block, keep1, keep2), block, fused, (rows, cols)).table(at)
    return TileCase(
        block,
        fused,
        fused.in_order(sent.astype(np.int32)),
        stream,
        at,
        keep1,
        keep2,
        1 + np.repeat(fused.plane > 0, np.diff(fused.start)),
        table,
        rows,
        cols,
        depth=per_lane + draw(st.integers(0, 5)),
    )


def masks_of(block: Block, keep1: NDArray[np.uint8], keep2: NDArray[np.uint8]) -> tuple[Mask, Mask]:
    """Return the masks of a block whose states are given, (M, H, W) each."""
    first, second = block.clips
    return Mask.of(keep1, clips=first > 0), Mask.of(keep2, clips=second > 0)


def replace_spec(spec: ArchonSpec, part: str, **changes: Any) -> ArchonSpec:
    """Change fields of one part of a description."""
    return dataclasses.replace(spec, **{part: dataclasses.replace(getattr(spec, part), **changes)})
