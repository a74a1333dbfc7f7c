from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archonsim.network.layer import Layer
from archonsim.network.networks import network
from archonsim.network.workload import Provenance, Workload
from archonsim.trace.digest import workload_digest
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import LayerTensors, MemoryTrace
from archonsim.tracefile.writer import write_workload
from tests.workload.conftest import bottleneck

Made = tuple[Workload, MemoryTrace]


def with_layer(trace: MemoryTrace, name: str, field: str) -> MemoryTrace:
    """Change the last value of one of a layer's arrays by one unit in the last place."""
    array = getattr(trace.layers[name], field).copy()
    array.flat[-1] = np.nextafter(array.flat[-1], np.float32(np.inf))
    return replace(
        trace, layers=trace.layers | {name: replace(trace.layers[name], **{field: array})}
    )


def with_block(trace: MemoryTrace, name: str, image: int, **changes: Any) -> MemoryTrace:
    return replace(
        trace, blocks=trace.blocks | {(name, image): replace(trace.blocks[name, image], **changes)}
    )


def flipped(mask: Mask) -> Mask:
    packed = mask.packed.copy()
    packed[0, 0] ^= 0x80
    return Mask(packed, mask.height, mask.width)


def changes(workload: Workload, trace: MemoryTrace) -> Iterator[tuple[str, Workload, MemoryTrace]]:
    for name in ("head_conv", "b1.dw", "b4.pw1", "a/b %2F"):
        for field in ("weight", "scale", "shift"):
            yield f"{name} {field}", workload, with_layer(trace, name, field)
    for mask in ("keep1", "keep2", "true1", "true2"):
        bits = flipped(getattr(trace.block("b5", 1), mask))
        yield mask, workload, with_block(trace, "b5", 1, **{mask: bits})
    for name in ("input", "output"):
        yield (
            name,
            workload,
            with_block(trace, "b5", 1, **{name: getattr(trace.block("b5", 1), name) + 1}),
        )
    pair = trace.predictors("b3")
    values: dict[str, Any] = {
        "step": 0.7,
        "low": -7,
        "high": 6,
        "ternary": -pair[1].ternary,
        "scale": pair[1].scale + 1,
    }
    for field, value in values.items():
        new = (pair[0], replace(pair[1], **{field: value}))
        yield (
            f"predictor {field}",
            workload,
            replace(trace, predictor_pairs=trace.predictor_pairs | {"b3": new}),
        )
    yield (
        "mask source",
        replace(workload, provenance=replace(workload.provenance, mask_source="trained")),
        trace,
    )
    items = list(workload.items)
    items[1] = bottleneck(1, (4, 12, 4), 5, shuffle=4)
    yield "shuffle", replace(workload, items=tuple(items)), trace
    yield "images", workload, replace(trace, images=1)


def test_every_change_changes_the_digest(tiny: Made) -> None:
    seen = {workload_digest(*tiny): "nothing"}
    for what, workload, trace in changes(*tiny):
        digest = workload_digest(workload, trace)
        assert digest not in seen, f"{what} gives the digest of {seen.get(digest)}"
        seen[digest] = what
    assert len(seen) > 20


def test_the_rest_of_the_provenance_does_not_count(tiny: Made) -> None:
    origin = Provenance(
        network="another", mask_source="synthetic", seed=9, note="another", created_by="another"
    )
    assert workload_digest(
        replace(tiny[0], name="x", provenance=origin), tiny[1]
    ) == workload_digest(*tiny)


def test_memory_layout_does_not_count(tiny: Made) -> None:
    workload, trace = tiny
    one = trace.layers["b1.pw1"]
    layers = trace.layers | {
        "b1.pw1": replace(one, weight=np.asfortranarray(one.weight).astype(">f4"))
    }
    assert workload_digest(workload, replace(trace, layers=layers)) == workload_digest(
        workload, trace
    )


@pytest.mark.parametrize("plain", [False, True])
def test_storage_does_not_count(tiny: Made, tmp_path: Path, plain: bool) -> None:
    assert write_workload(tmp_path / "w.h5", *tiny, plain=plain) == workload_digest(*tiny)


def test_shape_only_has_none() -> None:
    assert workload_digest(network("fusionet_c10"), None) == ""


def test_the_digest_of_a_known_trace() -> None:
    """Written files stay valid only as long as this holds.

    Another digest needs another format version.
    """
    layer = Layer(name="fc", kind="fc", role="fc", in_channels=2, out_channels=3, bias=True)
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    tensors = LayerTensors(weight=np.ones((3, 2, 1, 1), np.float32), scale=ones, shift=zeros)
    workload = Workload(name="one", items=(layer,), provenance=Provenance(network="one"))
    trace = MemoryTrace(layers={"fc": tensors}, predictor_pairs={}, blocks={}, images=0)
    assert (
        workload_digest(workload, trace)
        == "81d2a6ade509da627f20319cd94bde107d1920d24931bf5d8f59ec7088de05ec"
    )
