"""The dense and sparse machines give every layer's published cycles."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from archonsim.machines.dense import MACHINE as DENSE
from archonsim.machines.sparse import MACHINE as SPARSE
from archonsim.machines.sparse.published import measured_work, published_layers
from archonsim.network.networks import network
from tests.present import present
from tests.row_stationary import DATA, SHARED, dense, rows, sparse

#: Cycles in all: dense, sparse (heads and tails included).
TOTALS = {
    "mobilenetv2_c10-ics21": (4_132_672, 1_512_504),
    "mnasnet_c10-ics21": (4_477_760, 1_529_640),
    "shufflenet_c10-ics21": (2_204_592, 598_912),
}
NETWORKS = (*TOTALS, "mobilenetv2_c100-ics21", "mnasnet_c100-ics21")


@cache
def published(name: str) -> dict[str, dict[str, str]]:
    return {
        row["layer"]: row
        for row in rows(DATA / "ics21_baseline_layers.csv")
        if row["network"] == name
    }


@pytest.mark.parametrize(
    "name", ["mobilenetv2_c10-ics21", "mobilenetv2_c100-ics21", "shufflenet_c10-ics21"]
)
def test_the_authors_mappings_give_every_layer(name: str) -> None:
    ours = {
        one.name: one.stats.cycles for one in DENSE.ideal(network(name), dense("mapping=ics21"))
    }
    assert ours == {layer: int(row["dense"]) for layer, row in published(name).items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_mapper_needs_as_many_cycles(name: str) -> None:
    ours = {one.name: one.stats.cycles for one in DENSE.ideal(network(name), dense())}
    assert ours == {layer: int(row["dense"]) for layer, row in published(name).items()}


def test_mobilenet_head_and_total() -> None:
    ours = DENSE.ideal(network("mobilenetv2_c10-ics21"), dense("mapping=ics21"))
    assert sum(one.stats.cycles for one in ours) == 4_132_672
    assert sum(one.stats.cycles for one in ours[:4]) == 43_008


def test_dense_energies_to_the_published_digits() -> None:
    """Also by our rules, except where the published rules are inconsistent.

    They leave out the channels of a depthwise layer (b0), and multiply repeated or rounded reads.
    """
    name = "mobilenetv2_c10-ics21"
    wanted = {layer: float(row["dense_uj"]) for layer, row in published(name).items()}
    ours = {
        one.name: present(one.energy_pj) / 1e6
        for one in DENSE.ideal(network(name), dense("mapping=ics21", "energy_rules=ics21"))
    }
    assert ours == pytest.approx(wanted, abs=0.00501)
    by_rule = {
        one.name: present(one.energy_pj) / 1e6
        for one in DENSE.ideal(network(name), dense("mapping=ics21"))
    }
    different = {layer for layer, value in by_rule.items() if abs(value - wanted[layer]) > 0.00501}
    assert different == {"b0.dw", "b6.dw", "b11.dw", "b13.dw", "b14.dw", "b15.dw", "b16.dw"}


def test_sparse_energies_to_the_published_digits() -> None:
    name = "mobilenetv2_c10-ics21"
    ours = {
        one.name: present(one.energy_pj)
        for one in SPARSE.ideal(
            network(name), sparse("nnz=ics21", "mapping=ics21", "energy_rules=ics21")
        )
    }
    blocks = {
        layer: float(row["sparse_uj"]) for layer, row in published(name).items() if row["sparse_uj"]
    }
    assert len(blocks) == 48
    assert {layer: ours[layer] / 1e6 for layer in blocks} == pytest.approx(blocks, abs=0.00501)


@pytest.mark.parametrize("name", NETWORKS)
def test_sparse_layers_are_exact(name: str) -> None:
    ours = {one.name: one.stats.cycles for one in SPARSE.ideal(network(name), sparse("nnz=ics21"))}
    assert ours == {layer: int(row["sparse"]) for layer, row in published(name).items()}


@pytest.mark.parametrize(("name", "totals"), TOTALS.items())
def test_totals(name: str, totals: tuple[int, int]) -> None:
    work = network(name)
    assert sum(one.stats.cycles for one in DENSE.ideal(work, dense())) == totals[0]
    assert sum(one.stats.cycles for one in SPARSE.ideal(work, sparse("nnz=ics21"))) == totals[1]


def test_only_layers_without_a_matrix_are_marked_as_published() -> None:
    phases = {
        one.name: one.phase
        for one in SPARSE.ideal(network("mobilenetv2_c10-ics21"), sparse("nnz=ics21"))
    }
    lost = {
        name
        for name, layer in published_layers("mobilenetv2_c10-ics21").items()
        if layer.matrix is None
    }
    assert lost == {f"b{block}.pw1" for block in (1, 3, 4, 5, 7, 8, 10, 11, 12, 14, 15)}
    assert {name for name, phase in phases.items() if phase == "published"} == lost


@pytest.mark.skipif(
    not SHARED.is_dir(),
    reason="needs the reference tables beside the repository: ../shared/reference/ics21",
)
def test_shipped_matrices_are_the_measured_ones() -> None:
    with np.load(SHARED / "sparse_passes.npz") as reference:
        names = {"pw1": "decomp", "dw": "conv", "pw2": "comp"}
        checked = 0
        for name in ("mobilenetv2_c10-ics21", "shufflenet_c10-ics21"):
            for layer in published_layers(name).values():
                if layer.matrix is not None:
                    net, block, role = layer.matrix.split("/")
                    assert np.array_equal(
                        measured_work(layer.matrix),
                        reference[f"{net}/cifar10/{block}/{names[role]}"],
                    )
                    checked += 1
    assert checked == 82
