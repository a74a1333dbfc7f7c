"""The sparse array's kernels against the reference that steps every cycle, PE and product."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archonsim.dataflow.mapping import Mapping
from archonsim.dataflow.passes import pass_counts, pass_grid
from archonsim.dataflow.problem import Problem
from archonsim.pe.pass_kernel import masked_work, pass_ends, weight_work
from archonsim.pe.pass_reference import count_work, run_passes
from tests.examples import examples
from tests.row_stationary import mapped_problems

PADDING = st.tuples(st.integers(0, 2), st.integers(0, 2))


@examples(80)
@given(
    case=mapped_problems(largest=4),
    seed=st.integers(0, 2**16),
    density=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_weight_work_agrees(case: tuple[Problem, Mapping], seed: int, density: float) -> None:
    problem, mapping = case
    nonzero = (
        np.random.default_rng(seed).random((problem.m, problem.c, problem.s, problem.r)) < density
    )
    grid = pass_grid(mapping)
    assert pass_counts(mapping) == (len(grid.passes), grid.work)
    work = weight_work(nonzero, grid.passes, grid.pes, grid.runs)
    assert work.tolist() == count_work(
        mapping, lambda at: bool(nonzero[at["M"], at["C"], at["S"], at["R"]])
    )


@examples(80)
@given(
    case=mapped_problems(largest=4),
    seed=st.integers(0, 2**16),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    depthwise=st.booleans(),
)
def test_masked_work_agrees(
    case: tuple[Problem, Mapping], seed: int, padding: tuple[int, int], depthwise: bool
) -> None:
    problem, mapping = case
    rng = np.random.default_rng(seed)
    nonzero = rng.random((problem.m, problem.c, problem.s, problem.r)) < 0.6
    left, top = padding
    size = ((problem.q - 1) * problem.stride_h + 1, (problem.p - 1) * problem.stride_w + 1)
    alive = (rng.random((problem.m if depthwise else problem.c, *size)) < 0.7).astype(np.uint8)

    def useful(at: dict[str, int]) -> bool:
        y, x = (
            at["Q"] * problem.stride_h + at["S"] - top,
            at["P"] * problem.stride_w + at["R"] - left,
        )
        inside = 0 <= y < size[0] and 0 <= x < size[1]
        channel = at["M"] if depthwise else at["C"]
        return inside and bool(nonzero[at["M"], at["C"], at["S"], at["R"]] and alive[channel, y, x])

    grid = pass_grid(mapping)
    stride = (problem.stride_w, problem.stride_h)
    work = masked_work(nonzero, alive, grid.passes, grid.pes, grid.runs, stride, padding, depthwise)
    assert work.tolist() == count_work(mapping, useful)


@examples(300)
@given(data=st.data(), pes=st.integers(1, 5), passes=st.integers(1, 8), ahead=st.integers(0, 5))
def test_pass_ends_agree(data: st.DataObject, pes: int, passes: int, ahead: int) -> None:
    row = st.lists(st.integers(0, 6), min_size=passes, max_size=passes)
    work = data.draw(st.lists(row, min_size=pes, max_size=pes))
    assert pass_ends(np.array(work, np.int32), ahead).tolist() == run_passes(work, ahead)
