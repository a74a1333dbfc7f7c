"""What must hold for every prediction ledger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.errors import MaskError
from archonsim.explain.ledger import keep_ledger
from archonsim.machines.archon import MACHINE
from archonsim.machines.registry import machine, machine_spec
from archonsim.network.block import Block
from archonsim.network.networks import network
from archonsim.network.workload import Provenance, Workload
from archonsim.result.inspect import inspect_workload
from archonsim.result.ledger import MASKS, Cost, Ledger
from archonsim.runs.simulate import simulate
from archonsim.trace.fused_weight import fuse
from archonsim.trace.synthetic import synthesize
from archonsim.trace.what_if import MaskPolicy
from archonsim.tracefile.reader import open_workload
from tests.examples import examples
from tests.laws.test_archon import BLOCKS
from tests.strategies import archon, make_block

TRAINED = Path(__file__).parents[2] / "workloads" / "fusionet_digits.h5"


def synthetic(*blocks: Block, agreement: float, seed: int = 0, images: int = 1) -> Workload:
    shapes = Workload(
        name="small", items=blocks, provenance=Provenance(network="small", dataset="none")
    )
    return synthesize(
        shapes, seed=seed, weight_density=(0.4, 0.4, 0.4), agreement=agreement, images=images
    )[0]


def check(book: Ledger) -> None:
    """Check the laws of a ledger.

    Counts are complete, no cost is negative, and costs lead from the trace's run to the oracle's.
    """
    for one in (*book.relus, *book.totals):
        counts = one.counts
        assert (
            counts.hits + counts.false_alarms + counts.misses + counts.correct_zeros
            == counts.activations
        )
        assert min(counts.hits, counts.false_alarms, counts.misses, counts.correct_zeros) >= 0
        assert min(one.wasted.cycles, one.wasted.adds, one.wasted.macs) >= 0
        assert min(one.saved.cycles, one.saved.adds, one.saved.macs) >= 0
        if not counts.false_alarms:
            assert one.wasted == Cost()
        if not counts.misses:
            assert one.saved == Cost()
    both = book.totals[2]
    assert book.runs["trace"] - both.wasted == book.runs["hits"]
    assert book.runs["hits"] + both.saved == book.runs["oracle"]


@examples(25)
@given(block=BLOCKS, agreement=st.floats(0, 1), seed=st.integers(0, 1000))
def test_costs_lead_from_the_predicted_masks_to_the_true_ones(
    block: Block, agreement: float, seed: int
) -> None:
    work = synthetic(block, agreement=agreement, seed=seed)
    book = keep_ledger(work, MACHINE, archon())
    check(book)
    for masks in MASKS:
        report = simulate(work, MACHINE, archon(), masks=MaskPolicy.parse(masks))
        taken = (book.runs[masks].cycles, book.runs[masks].adds, book.runs[masks].macs)
        assert taken == (report.total_cycles, report.total_adds, report.total_macs)
    predicting = [one.cycles for one in report.layers if one.phase.startswith("predict")]
    assert book.prediction_cycles == sum(predicting), (
        "predictions take what they take, right or wrong"
    )


def test_perfect_predictions_cost_nothing() -> None:
    book = keep_ledger(
        synthetic(make_block(channels=4, mid=24, out=8), agreement=1), MACHINE, archon()
    )
    check(book)
    assert len(set(book.runs.values())) == 1
    assert book.totals[2].counts.false_alarms == book.totals[2].counts.misses == 0
    assert (book.totals[2].values.negatives, book.totals[2].values.lost) == (0, 0)


def test_wasted_additions_are_those_of_candidates_that_a_false_alarm_keeps() -> None:
    """Against plain sums over pixels, with no array in sight."""
    work = synthetic(make_block(channels=4, mid=24, out=8, size=(9, 7), stride=2), agreement=0.8)
    (block,) = work.blocks()
    assert work.trace is not None
    trace, fused, dw = work.trace.block(block.name, 0), fuse(block, work.trace), block.dw
    first, second = (mask.unpack().astype(bool) for mask in (trace.keep1, trace.keep2))
    true1, true2 = (mask.unpack().astype(bool) for mask in (trace.true1, trace.true2))

    def at_taps(keep: np.ndarray, mids: np.ndarray, tap: int) -> np.ndarray:
        """Keep bits of the first ReLU at the pixels that a tap reads; b2's terms read none."""
        if tap < 0:
            return np.ones((len(mids), dw.out_h, dw.out_w), bool)
        padded = np.pad(keep[mids], ((0, 0), dw.padding[:2], dw.padding[2:]))
        r, s = divmod(tap, dw.kernel_w)
        rows = slice(r, r + (dw.out_h - 1) * dw.stride_h + 1, dw.stride_h)
        return padded[:, rows, s : s + (dw.out_w - 1) * dw.stride_w + 1 : dw.stride_w]

    by_first = by_second = 0
    for i in range(fused.groups):
        mids, tap = fused.mid[fused.start[i] : fused.start[i + 1]], int(fused.tap[i])
        kept, hit = at_taps(first, mids, tap), at_taps(first & true1, mids, tap)
        by_first += int((kept & ~hit & second[mids]).sum())
        by_second += int((hit & (second & ~true2)[mids]).sum())
    book = keep_ledger(work, MACHINE, archon())
    assert [one.wasted.adds for one in book.relus] == [by_first, by_second]
    assert min(by_first, by_second) > 0


@pytest.mark.parametrize("images", [[0], None])
def test_in_a_trained_network_false_alarms_pass_negative_values(images: list[int] | None) -> None:
    work = open_workload(TRAINED)
    book = keep_ledger(work, MACHINE, archon(), images=images)
    check(book)
    inspected = inspect_workload(work, images=images).blocks
    assert [one.counts for one in book.relus] == [
        relu for block in inspected for relu in (block.relu1, block.relu2)
    ]
    for one in book.relus:
        assert one.values.negatives == one.counts.false_alarms > 0
        assert (one.values.hits, one.values.lost) == (one.counts.hits, one.counts.misses)
        assert 0 < one.values.negative_mean < one.values.hit_mean, "predictors err near zero"


def test_images_add_up() -> None:
    work = synthetic(make_block(channels=4, mid=24, out=8), agreement=0.8, images=2)
    one, two, both = (
        keep_ledger(work, MACHINE, archon(), images=images) for images in ([0], [1], None)
    )
    check(both)
    assert both.runs == {masks: one.runs[masks] + two.runs[masks] for masks in MASKS}
    for first, second, total in zip(one.relus, two.relus, both.relus, strict=True):
        assert first + second == total


def test_masks_cost_nothing_on_a_machine_that_asks_for_none() -> None:
    work = synthetic(make_block(channels=4, mid=24, out=8), agreement=0.8)
    dense = keep_ledger(work, machine("dense"), machine_spec(machine("dense")))
    assert all(one.wasted == one.saved == Cost() for one in dense.relus)
    skipping = machine_spec(machine("sparse"), None, ["skip_zero_activations=true"])
    sparse = keep_ledger(work, machine("sparse"), skipping)
    assert sparse.totals[2].wasted.macs > 0


def test_without_predicted_masks_there_is_nothing_to_book() -> None:
    with pytest.raises(MaskError, match="has shapes only"):
        keep_ledger(network("fusionet_digits"), MACHINE, archon())
    shapes = Workload(
        name="plain",
        items=(make_block(channels=4, mid=8, out=4).pw1,),
        provenance=Provenance(network="plain", dataset="none"),
    )
    with pytest.raises(MaskError, match="no blocks with predicted ReLUs"):
        keep_ledger(synthesize(shapes, seed=0)[0], MACHINE, archon())
