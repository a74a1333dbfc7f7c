from __future__ import annotations

from pathlib import Path

import pytest

from archonsim.network.block import Block
from archonsim.network.layer import Layer, same_padding
from archonsim.network.workload import Provenance, Workload
from archonsim.trace.synthetic import synthesize
from archonsim.trace.tensors import MemoryTrace
from archonsim.tracefile.writer import write_workload


def conv(
    name: str,
    channels: tuple[int, int],
    size: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    **more: object,
) -> Layer:
    kind = (
        "depthwise" if more.get("groups") == channels[0] == channels[1] and kernel > 1 else "conv"
    )
    pad = same_padding(size, kernel, stride)
    return Layer(
        name=name,
        kind=kind,  # type: ignore[arg-type]
        role=name.split(".")[-1],
        in_channels=channels[0],
        out_channels=channels[1],
        in_h=size,
        in_w=size,
        kernel_h=kernel,
        kernel_w=kernel,
        stride_h=stride,
        stride_w=stride,
        padding=(*pad, *pad),
        batchnorm=True,
        **more,  # type: ignore[arg-type]
    )


def bottleneck(
    index: int, channels: tuple[int, int, int], size: int, *, stride: int = 1, **more: object
) -> Block:
    """PW1 - DW - PW2 on 2 groups, 3x3 windows."""
    into, mid, out = channels
    return Block(
        index=index,
        pw1=conv(f"b{index}.pw1", (into, mid), size, groups=2, activation="relu"),
        dw=conv(
            f"b{index}.dw", (mid, mid), size, kernel=3, stride=stride, groups=mid, activation="relu"
        ),
        pw2=conv(f"b{index}.pw2", (mid, out), -(-size // stride), groups=2),
        **more,  # type: ignore[arg-type]
    )


def pointwise_first(index: int, channels: tuple[int, int, int], size: int) -> Block:
    """PW1 - shuffle - PW2 - DW, as modified ShuffleNet has it."""
    into, mid, out = channels
    return Block(
        index=index,
        pw1=conv(f"b{index}.pw1", (into, mid), size, groups=2, activation="relu"),
        pw2=conv(f"b{index}.pw2", (mid, out), size, groups=2, activation="relu"),
        dw=conv(f"b{index}.dw", (out, out), size, kernel=3, groups=out),
        order="pw-pw-dw",
        shuffle=2,
    )


def tiny_network() -> Workload:
    """A 5x5 map (so that packed channels have spare bits), four blocks of every kind, a tail."""
    items = (
        conv("head_conv", (1, 4), 5, kernel=3, activation="relu"),
        bottleneck(1, (4, 12, 4), 5, shuffle=2),
        bottleneck(2, (4, 12, 4), 5, shuffle=2, residual="add"),
        bottleneck(3, (4, 12, 6), 5, stride=2),
        bottleneck(4, (6, 12, 6), 3, predicted=False),
        pointwise_first(5, (6, 12, 8), 3),
        Layer(
            name="pool", kind="avgpool", role="pool", in_channels=8, out_channels=8, in_h=3, in_w=3
        ),
        Layer(name="a/b %2F", kind="fc", role="fc", in_channels=8, out_channels=10, bias=True),
    )
    return Workload(
        name="tiny",
        items=items,
        provenance=Provenance(network="tiny", dataset="none", note="für tests"),
    )


@pytest.fixture(scope="session")
def tiny() -> tuple[Workload, MemoryTrace]:
    return synthesize(tiny_network(), seed=3, images=2, spatial=1)


@pytest.fixture
def tiny_file(tiny: tuple[Workload, MemoryTrace], tmp_path: Path) -> Path:
    path = tmp_path / "tiny.h5"
    write_workload(path, *tiny)
    return path
