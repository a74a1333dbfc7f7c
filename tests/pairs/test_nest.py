"""The closed form of a mapped loop nest against stepping through it."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archonsim.dataflow.mapper import TEMPLATE, constraint_broken, find_mapping, mapping_of
from archonsim.dataflow.mapping import Mapping
from archonsim.dataflow.nest import evaluate
from archonsim.dataflow.nest_reference import step_counts
from archonsim.dataflow.problem import Problem
from archonsim.errors import SpecError
from tests.examples import examples
from tests.row_stationary import dense, factorizations, mapped_problems, roomy, small_problems


@examples(150)
@given(case=mapped_problems(), own_inputs=st.booleans())
def test_counts_agree_with_stepping(case: tuple[Problem, Mapping], own_inputs: bool) -> None:
    problem, mapping = case
    hierarchy = roomy()
    cost = evaluate(problem, mapping, hierarchy, own_inputs=own_inputs)
    for (level, kind), (asked, fetched, tile) in step_counts(
        problem, mapping, hierarchy, own_inputs=own_inputs
    ).items():
        counts = cost.counts[level, kind]
        assert (counts.updates if kind == "output" else counts.reads) == asked, (level, kind)
        assert counts.fills == (0 if level == "dram" else fetched), (level, kind)
        assert counts.tile == tile, (level, kind)


@examples(60)
@given(case=mapped_problems())
def test_what_a_level_takes_its_parent_gives(case: tuple[Problem, Mapping]) -> None:
    problem, mapping = case
    counts = evaluate(problem, mapping, roomy()).counts
    assert counts["glb", "input"].fills == counts["dram", "input"].reads
    assert counts["glb", "output"].fills == counts["dram", "output"].updates
    assert (
        counts["psum_spad", "output"].updates
        == counts["ifmap_spad", "input"].reads
        == mapping.cycles
    )


def _all_mappings(problem: Problem) -> list[Mapping]:
    """Everything the constraints allow, one dimension at a time, with no regard to what fits."""
    slots = {name: [at for at, slot in enumerate(TEMPLATE) if slot[1] == name] for name in "CMPQRS"}
    nests = [[1] * len(TEMPLATE)]
    for name, places in slots.items():
        allowed = [at for at in places if not (name in "PRS" and TEMPLATE[at][0] == "dram")]
        if name == "C" and not problem.p == problem.q == 1:
            allowed = [at for at in allowed if TEMPLATE[at][0] != "glb"]
        bigger = []
        for nest in nests:
            for factors in factorizations(getattr(problem, name.lower()), len(allowed)):
                copy = list(nest)
                for at, factor in zip(allowed, factors, strict=True):
                    copy[at] = factor
                bigger.append(copy)
        nests = bigger
    return [mapping_of(nest) for nest in nests]


SMALL = (
    "pe.rows=3",
    "pe.cols=2",
    "pe.ifmap_words=6",
    "pe.weight_words=12",
    "pe.psum_words=4",
    "glb.words=60",
    "glb.read_words_per_cycle=2",
)


@examples(25)
@given(problem=small_problems())
def test_mapper_finds_the_optimum_of_its_space(problem: Problem) -> None:
    hierarchy = dense(*SMALL).hierarchy()
    best = None
    for mapping in _all_mappings(problem):
        assert not constraint_broken(mapping, problem)
        try:
            cost = evaluate(problem, mapping, hierarchy)
        except SpecError:
            continue
        best = min(best or (cost.cycles, cost.energy_pj), (cost.cycles, cost.energy_pj))
    assume(best is not None)
    found = evaluate(problem, find_mapping(problem, hierarchy), hierarchy)
    assert (found.cycles, found.energy_pj) == pytest.approx(best)
