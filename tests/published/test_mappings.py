"""Mapped loop nests equal the authors' Timeloop runs.

Cycles and words exactly, energies to the printed digits.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from archonsim.dataflow.book import open_book
from archonsim.dataflow.hierarchy import Hierarchy, Storage
from archonsim.dataflow.mapper import constraint_broken, find_mapping
from archonsim.dataflow.mapping import Mapping
from archonsim.dataflow.nest import Cost, evaluate
from archonsim.dataflow.problem import Problem
from archonsim.spec.technology import load_technology
from tests.row_stationary import DATA, SHARED, dense, rows

LEVEL = {
    "DRAM": "dram", "shared_glb": "glb", "DummyBuffer": "array", "ifmap_spad": "ifmap_spad",
    "weights_spad": "weight_spad", "psum_spad": "psum_spad",
}  # fmt: skip
KIND = {"Weights": "weight", "Inputs": "input", "Outputs": "output"}
AXIS = {"temporal": "", "spatial-X": "x", "spatial-Y": "y"}
FIELDS = (
    "scalar_reads", "scalar_updates", "scalar_fills", "temporal_reductions", "partition_words",
    "utilized_capacity_words", "utilized_instances",
)  # fmt: skip

#: Energies are printed to a hundredth of a pJ; a whole layer's is the sum of nine such figures,
#: rounded.
DIGITS = 0.00501


def words(cost: Cost, level: str, kind: str) -> tuple[int, ...]:
    one = cost.counts[level, kind]
    return (
        one.reads,
        one.updates,
        one.fills,
        one.reductions,
        one.partition,
        one.tile,
        one.instances,
    )


def problem_of(shape: str) -> Problem:
    *bounds, stride_w, stride_h = map(int, shape.split())
    return Problem(
        **dict(zip("ncmpqrs", bounds, strict=True)), stride_w=stride_w, stride_h=stride_h
    )


def shipped() -> dict[str, list[dict[str, str]]]:
    shapes: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows(DATA / "ics21_dense_levels.csv"):
        shapes[row["shape"]].append(row)
    return shapes


@pytest.mark.parametrize("shape", shipped())
def test_shipped_mappings_are_exact(shape: str) -> None:
    problem = problem_of(shape)
    cost = evaluate(problem, open_book("ics21").find("", problem), dense().hierarchy())
    total, *levels = shipped()[shape]
    assert len(levels) == 8
    assert (cost.cycles, cost.pes_used) == (int(total["reads"]), int(total["instances"]))
    assert cost.energy_pj == pytest.approx(float(total["energy_pj"]), abs=2 * DIGITS)
    for row in levels:
        wanted = tuple(
            int(row[key])
            for key in ("reads", "updates", "fills", "reductions", "partition", "tile", "instances")
        )
        assert words(cost, row["level"], row["kind"]) == wanted
        assert cost.counts[row["level"], row["kind"]].energy_pj == pytest.approx(
            float(row["energy_pj"]), abs=DIGITS
        )


@pytest.mark.sampled(3)
@pytest.mark.parametrize("shape", shipped())
def test_mapper_is_never_worse_than_the_authors(shape: str) -> None:
    problem, hierarchy = problem_of(shape), dense().hierarchy()
    published = open_book("ics21").find("", problem)
    assert not constraint_broken(published, problem)
    ours, theirs = (
        evaluate(problem, mapping, hierarchy)
        for mapping in (find_mapping(problem, hierarchy), published)
    )
    assert (ours.cycles, ours.energy_pj) <= (theirs.cycles, theirs.energy_pj * (1 + 1e-12))
    free = evaluate(problem, find_mapping(problem, hierarchy, free=True), hierarchy)
    assert (free.cycles, free.energy_pj) <= (ours.cycles, ours.energy_pj * (1 + 1e-12))


def test_how_often_the_mapper_is_better() -> None:
    """The authors' random search always found the fewest cycles, seldom the least energy."""
    hierarchy = dense().hierarchy()
    better = equal = faster_when_free = 0
    for shape in shipped():
        problem = problem_of(shape)
        theirs = evaluate(problem, open_book("ics21").find("", problem), hierarchy)
        ours = evaluate(problem, find_mapping(problem, hierarchy), hierarchy)
        assert ours.cycles == theirs.cycles
        better += ours.energy_pj < theirs.energy_pj * (1 - 1e-9)
        equal += ours.energy_pj == pytest.approx(theirs.energy_pj, rel=1e-9)
        faster_when_free += (
            evaluate(problem, find_mapping(problem, hierarchy, free=True), hierarchy).cycles
            < theirs.cycles
        )
    assert (better, equal, faster_when_free) == (40, 15, 2)


needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(),
    reason="needs the reference tables beside the repository: ../shared/reference/ics21",
)


class Reference:
    """The whole of the reference: mappings, layers and levels of all machines."""

    def __init__(self) -> None:
        self.layers = {row["canonical_id"]: row for row in rows(SHARED / "layers.csv")}
        self.levels: dict[str, list[dict[str, str]]] = defaultdict(list)
        for row in rows(SHARED / "energy_levels.csv"):
            self.levels[row["canonical_id"]].append(row)
        self.loops: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for row in rows(SHARED / "mappings.csv"):
            self.loops[row["canonical_id"]][LEVEL[row["level"]]].append(
                f"{row['dim']}{row['bound']}{AXIS[row['kind']]}"
            )

    def hierarchy(self, name: str) -> Hierarchy:
        """The machine that a mapping ran on.

        Older variants differ in the GLB's size and energy only.
        """
        layer, stored = self.layers[name], {row["level"]: row for row in self.levels[name]}
        is_dense = layer["accelerator"] == "dense"
        technology = load_technology("45nm")
        levels = []
        for level, ours in LEVEL.items():
            row = stored.get(level)
            if row is None:
                levels += [Storage(name=ours)] if level == "DummyBuffer" else []
                continue
            size = int(float(row["size_words"])) if row["size_words"] else None
            pj = technology.access_pj(ours, "write", size or 1)
            ports = {"dram": None, "glb": 32}.get(ours, 2)
            keeps = tuple(
                KIND[other["dataspace"]] for other in self.levels[name] if other["level"] == level
            )
            block = technology.memory(ours).access_words
            levels.append(
                Storage(
                    name=ours,
                    keeps=keeps,
                    words=size,
                    access_pj=pj,
                    read_words_per_cycle=ports,
                    write_words_per_cycle=ports,
                    block_words=block,
                )
            )
        return Hierarchy(
            levels=tuple(levels),
            cols=8,
            rows=9 if is_dense else 8,
            mac_pj=technology.action_pj("mac", "multiply"),
        )


@needs_shared
def test_every_mapping_of_the_reference_is_exact() -> None:
    reference = Reference()
    assert len(reference.loops) == 162
    checked = 0
    for name, loops in reference.loops.items():
        layer, hierarchy = reference.layers[name], reference.hierarchy(name)
        bounds = {dimension.lower(): int(layer[dimension]) for dimension in "NCMPQRS"}
        problem = Problem(**bounds, stride_w=int(layer["Wstride"]), stride_h=int(layer["Hstride"]))
        cost = evaluate(problem, Mapping.parse(loops, hierarchy.names, name), hierarchy, name)
        assert (cost.cycles, cost.pes_used) == (int(layer["cycles"]), int(layer["PEs_used"])), name
        assert cost.energy_pj == pytest.approx(float(layer["energy_pJ"]), abs=2 * DIGITS), name
        for row in reference.levels[name]:
            if row["level"] == "mac":
                assert cost.mac_pj == pytest.approx(float(row["energy_total_pJ"]), abs=DIGITS), name
                continue
            level, kind = LEVEL[row["level"]], KIND[row["dataspace"]]
            assert words(cost, level, kind) == tuple(int(float(row[field])) for field in FIELDS), (
                name,
                level,
                kind,
            )
            assert cost.counts[level, kind].energy_pj == pytest.approx(
                float(row["energy_total_pJ"]), abs=DIGITS
            ), (name, level)
            checked += 1
    assert checked == 1272
