"""What must hold for every run of the dense and sparse machines."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.errors import MaskError, SpecError
from archonsim.machines.dense import MACHINE as DENSE
from archonsim.machines.phases import PhaseResult
from archonsim.machines.protocol import Machine
from archonsim.machines.row_stationary.layers import map_layers
from archonsim.machines.sparse import MACHINE as SPARSE
from archonsim.network.networks import network
from archonsim.network.workload import Provenance, Workload
from archonsim.pe.pass_kernel import pass_ends
from archonsim.trace.algebra import shuffle
from archonsim.trace.image import image_inputs
from archonsim.trace.synthetic import synthesize
from archonsim.trace.what_if import MaskPolicy
from tests.examples import examples
from tests.present import present
from tests.row_stationary import UNLIMITED, dense, sparse
from tests.strategies import make_block


@cache
def digits() -> Workload:
    return synthesize(network("fusionet_digits"), seed=1)[0]


def block_of(*, weights: float, alive: float = 0.5, stride: int = 1, groups: int = 2) -> Workload:
    block = make_block(channels=4, mid=12, out=6, groups=groups, size=(6, 6), stride=stride)
    shapes = Workload(
        name="small", items=(block,), provenance=Provenance(network="small", dataset="none")
    )
    return synthesize(
        shapes, seed=3, density1=alive, density2=alive, weight_density=(weights,) * 3
    )[0]


def run(machine: Machine, work: Workload, spec: object, masks: str = "trace") -> list[PhaseResult]:
    image = image_inputs(work, MaskPolicy.parse(masks), 0)
    return machine.prepare(work, spec).run(image, lambda name: None)


def cycles(results: list[PhaseResult]) -> list[int]:
    return [one.stats.cycles for one in results]


@pytest.mark.parametrize("machine", [DENSE, SPARSE], ids=["dense", "sparse"])
def test_cycles_are_compute_and_stalls(machine: Machine) -> None:
    for one in run(machine, digits(), dense() if machine is DENSE else sparse()):
        assert one.stats.cycles == one.stats.compute + sum(one.stats.stalls.values())
        assert 0 < one.utilization <= 1


def test_dense_does_every_mac_and_needs_the_ideal_cycles_without_memory() -> None:
    work = digits()
    spec = dense(*UNLIMITED)
    ideal, stepped = DENSE.ideal(work, spec), run(DENSE, work, spec)
    assert cycles(stepped) == cycles(ideal)
    assert sum(one.stats.macs for one in stepped) == work.macs
    assert [one.stats.traffic for one in stepped] == [one.stats.traffic for one in ideal]


def test_dense_runs_shapes_without_weights() -> None:
    assert cycles(run(DENSE, network("fusionet_digits"), dense())) == cycles(
        run(DENSE, digits(), dense())
    )


@examples(15)
@given(
    slow=st.floats(0.2, 20),
    factor=st.floats(1, 8),
    latency=st.integers(0, 200),
    less=st.integers(0, 200),
)
def test_faster_memory_never_costs_cycles(
    slow: float, factor: float, latency: int, less: int
) -> None:
    work = network("fusionet_digits")
    before = dense(f"dram.gigabytes_per_second={slow}", f"dram.latency_cycles={latency}")
    after = dense(
        f"dram.gigabytes_per_second={slow * factor}",
        f"dram.latency_cycles={max(0, latency - less)}",
    )
    ideal = cycles(DENSE.ideal(work, before))
    faster, slower = cycles(run(DENSE, work, after)), cycles(run(DENSE, work, before))
    assert all(a <= b <= c for a, b, c in zip(ideal, faster, slower, strict=True))


@examples(60)
@given(
    seed=st.integers(0, 2**16),
    pes=st.integers(1, 12),
    passes=st.integers(1, 40),
    largest=st.integers(0, 30),
)
def test_running_ahead_never_costs_and_never_beats_the_work(
    seed: int, pes: int, passes: int, largest: int
) -> None:
    work = np.random.default_rng(seed).integers(0, largest + 1, (pes, passes), dtype=np.int32)
    ends = [int(pass_ends(work, ahead)[-1]) for ahead in (0, 1, 2, 5, passes)]
    assert ends == sorted(ends, reverse=True)
    assert ends[0] == work.max(axis=0).sum()
    assert ends[-1] == work.sum(axis=1).max() >= work.sum() / pes


def test_barriers_fifos_and_masks_on_a_network() -> None:
    work = digits()
    free = UNLIMITED
    barrier, ahead, far = (
        run(SPARSE, work, sparse(*free, f"barrier={one}")) for one in ("pass", "fifo:2", "fifo:999")
    )
    masked = run(SPARSE, work, sparse(*free, "skip_zero_activations=true"))
    for one, two, three, four, full in zip(
        barrier, ahead, far, masked, DENSE.ideal(work, dense()), strict=True
    ):
        assert (
            one.stats.macs / one.pes
            <= three.stats.cycles
            <= two.stats.cycles
            <= one.stats.cycles
            <= full.stats.cycles
        )
        assert four.stats.cycles <= one.stats.cycles
        assert four.stats.macs <= one.stats.macs == two.stats.macs <= full.stats.macs
    assert cycles(far) != cycles(ahead) != cycles(barrier)
    assert cycles(masked) != cycles(barrier)


def test_sparse_macs_are_the_nonzero_weights_times_positions() -> None:
    work = block_of(weights=0.4, stride=2)
    for one, layer in zip(run(SPARSE, work, sparse()), work.layers(), strict=True):
        nonzero = int(np.count_nonzero(present(work.trace).layer(layer.name).weight))
        assert one.stats.macs == nonzero * layer.out_h * layer.out_w


def test_masked_macs_are_products_of_nonzero_weights_and_live_activations() -> None:
    work = block_of(weights=0.5, groups=1)
    block = next(work.blocks())
    results = {
        one.name: one.stats.macs for one in run(SPARSE, work, sparse("skip_zero_activations=true"))
    }
    keep2 = present(work.trace).block(block.name, 0).keep2.unpack()
    nonzero = present(work.trace).layer(block.pw2.name).weight[:, :, 0, 0] != 0
    assert results[block.pw2.name] == int((nonzero.sum(axis=0)[:, None, None] * keep2).sum())
    kept = present(work.trace).block(block.name, 0).keep1.unpack().astype(int)
    taps = present(work.trace).layer(block.dw.name).weight[:, 0] != 0
    padded = np.pad(kept, ((0, 0), (1, 1), (1, 1)))
    shifted = [
        padded[:, r : r + 6, s : s + 6] * taps[:, r, s, None, None]
        for r in range(3)
        for s in range(3)
    ]
    assert results[block.dw.name] == int(sum(shifted).sum())


def test_masked_macs_behind_a_shuffle() -> None:
    block = make_block(channels=4, mid=12, out=6, groups=2, size=(6, 6), late=True, shuffle=2)
    shapes = Workload(
        name="small", items=(block,), provenance=Provenance(network="small", dataset="none")
    )
    work = synthesize(shapes, seed=1, weight_density=(0.5, 0.5, 0.5))[0]
    results = {
        one.name: one.stats.macs for one in run(SPARSE, work, sparse("skip_zero_activations=true"))
    }
    bits = present(work.trace).block("b1", 0).keep1.unpack().astype(np.float32)
    keep1 = shuffle(bits, 2).reshape(2, 6, 36).sum(2)
    nonzero = present(work.trace).layer("b1.pw2").weight.reshape(2, 3, 6) != 0
    assert results["b1.pw2"] == int((nonzero.sum(1) * keep1).sum())


def test_without_zeros_sparse_is_dense() -> None:
    work = block_of(weights=1.0, alive=1.0)
    assert cycles(SPARSE.ideal(work, sparse(*UNLIMITED))) == cycles(
        DENSE.ideal(work, dense(*UNLIMITED))
    )


def test_measured_matrices_may_run_ahead_and_published_cycles_stay() -> None:
    work = network("mobilenetv2_c10-ics21")
    barrier, ahead = (
        SPARSE.ideal(work, sparse("nnz=ics21", f"barrier={one}")) for one in ("pass", "fifo:4")
    )
    for one, two in zip(barrier, ahead, strict=True):
        assert two.stats.cycles <= one.stats.cycles
        if one.phase == "published":
            assert two.stats.cycles == one.stats.cycles
    assert sum(cycles(ahead)) < sum(cycles(barrier))


def test_shapes_run_at_the_published_densities() -> None:
    work = network("mobilenetv2_c10-ics21")
    ideal = SPARSE.ideal(work, sparse())
    assert sum(cycles(ideal)) < sum(cycles(SPARSE.ideal(work, sparse("nnz=ics21"))))
    assert cycles(run(SPARSE, work, sparse("nnz=density", *UNLIMITED))) == cycles(ideal)


def test_fewer_products_take_less_energy_than_dense() -> None:
    work = block_of(weights=0.4)
    ours, full = SPARSE.ideal(work, sparse()), DENSE.ideal(work, dense())
    assert all(
        0 < present(one.energy_pj) < present(other.energy_pj)
        for one, other in zip(ours, full, strict=True)
    )
    whole = block_of(weights=1.0)
    ours, full = SPARSE.ideal(whole, sparse()), DENSE.ideal(whole, dense())
    assert [one.energy_pj for one in ours] == pytest.approx(
        [present(one.energy_pj) for one in full]
    )


def test_shapes_need_to_be_told_where_zeros_are() -> None:
    with pytest.raises(MaskError, match="has shapes only, and the sparse array counts the zeros"):
        SPARSE.prepare(network("fusionet_digits"), sparse())
    with pytest.raises(
        SpecError, match="is none of the networks that were measured: mobilenetv2_c10-ics21"
    ):
        SPARSE.prepare(network("fusionet_digits"), sparse("nnz=ics21"))


@pytest.mark.parametrize("nnz", ["ics21", "density"])
def test_counts_do_not_say_which_activations_to_skip(nnz: str) -> None:
    with pytest.raises(
        SpecError, match="counts do not say which products are left; use nnz=weights"
    ):
        sparse(f"nnz={nnz}", "skip_zero_activations=true")


@pytest.mark.parametrize("barrier", ["fifo", "fifo:0", "fifo:-1", "barrier", ""])
def test_barriers_are_pass_or_fifo(barrier: str) -> None:
    with pytest.raises(SpecError, match="it must be pass, or fifo:N"):
        sparse(f'barrier="{barrier}"')


def test_dense_traffic_is_what_the_mapping_moves() -> None:
    work = network("fusionet_digits")
    for one, mapped in zip(DENSE.ideal(work, dense()), map_layers(work, dense()), strict=True):
        traffic, layer = one.stats.traffic, mapped.layer
        assert traffic["dram", "read", "input"] == mapped.words("dram", "input")[0]
        assert (
            traffic["dram", "read", "input"]
            == traffic["glb", "write", "input"]
            <= traffic["glb", "read", "input"]
        )
        assert (
            traffic["dram", "read", "weight"] == mapped.words("dram", "weight")[0] >= layer.weights
        )
        outputs = layer.out_channels * layer.out_h * layer.out_w
        assert traffic["dram", "write", "output"] == traffic["glb", "read", "output"] == outputs
        assert traffic["glb", "write", "psum"] - traffic["glb", "read", "psum"] == outputs


@pytest.mark.parametrize(("weights", "bits"), [(0.25, 26), (1.0, 16)])
def test_sparse_weights_travel_with_their_indices_unless_that_is_more(
    weights: float, bits: int
) -> None:
    work = block_of(weights=weights)
    for one, mapped in zip(SPARSE.ideal(work, sparse()), map_layers(work, dense()), strict=True):
        weight = present(work.trace).layer(one.name).weight
        words = mapped.words("dram", "weight")[0]
        kept = words * np.count_nonzero(weight) / weight.size * bits / 16
        assert one.stats.traffic["dram", "read", "weight"] == pytest.approx(
            min(words, np.ceil(kept))
        )
