"""Groups ordered by what other images make expect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.errors import SpecError
from archonsim.machines.archon.main_profile import (
    calibration_images,
    expected_survivors,
    kept_shares,
)
from archonsim.machines.registry import machine
from archonsim.network.block import Block
from archonsim.runs.simulate import simulate
from archonsim.trace.fused_weight import NONE, fuse
from archonsim.trace.tensors import MemoryTrace
from archonsim.trace.what_if import MaskPolicy
from archonsim.tracefile.find import find_workload
from tests.laws.test_archon import BLOCKS, SETTINGS, workload_of
from tests.strategies import archon

DIGITS = Path(__file__).parents[2] / "workloads" / "fusionet_digits.h5"


@SETTINGS
@given(block=BLOCKS, seed=st.integers(0, 99))
def test_expectations_are_sums_of_products_of_shares(block: Block, seed: int) -> None:
    work = workload_of(block, seed=seed)
    assert work.trace is not None
    fused, shares = fuse(block, work.trace), kept_shares(work.trace, block, 0)
    found = expected_survivors(fused, block, shares)
    for group in range(fused.groups):
        total = 0.0
        for at in range(fused.start[group], fused.start[group + 1]):
            m = int(fused.mid[at])
            if block.order == "pw-pw-dw":
                total += shares[1][fused.out[group]] * (shares[0][m] if m >= 0 else 1)
            else:
                total += shares[1][m] * (shares[0][m] if fused.tap[group] != NONE else 1)
        assert found[group] == pytest.approx(total)


def test_a_profile_is_of_all_images_but_the_one_that_runs() -> None:
    work = find_workload(str(DIGITS))
    assert work.trace is not None
    assert calibration_images(3, 1) == [0, 2]
    assert calibration_images(1, 0) == [0]
    block = next(iter(work.blocks()))
    others = [work.trace.block(block.name, image).keep1.unpack() for image in range(1, work.images)]
    first, _ = kept_shares(work.trace, block, 0)
    assert first == pytest.approx(np.mean(others, axis=(0, 2, 3)))


def test_a_profile_changes_the_order_and_no_work() -> None:
    work, found = find_workload(str(DIGITS)), machine("archon")
    balanced, profiled = (
        simulate(work, found, archon(f"group_order={order}"), images=(0, 1))
        for order in ("balanced", "profiled")
    )
    assert balanced.total_adds == profiled.total_adds
    assert [one.stalls for one in balanced.layers] != [one.stalls for one in profiled.layers]
    assert any("a profile of the other images" in line for line in profiled.includes)
    assert not any("profile" in line for line in balanced.includes)


def test_there_must_be_masks_to_profile() -> None:
    work = find_workload(str(DIGITS))
    assert work.trace is not None
    layers = {
        layer.name: work.trace.layer(layer.name) for layer in work.layers() if layer.is_compute
    }
    pairs = {block.name: work.trace.predictors(block.name) for block in work.blocks()}
    bare = replace(
        work, trace=MemoryTrace(layers=layers, predictor_pairs=pairs, blocks={}, images=0)
    )
    policy = MaskPolicy.parse("random:0.5", 0)
    with pytest.raises(SpecError, match="holds no masks to profile; use group_order=balanced"):
        simulate(bare, machine("archon"), archon("group_order=profiled"), masks=policy)
