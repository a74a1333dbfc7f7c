"""What the tests of the dense and sparse machines share.

Published tables, random small mappings.
"""

from __future__ import annotations

import csv
from pathlib import Path

from hypothesis import strategies as st

from archonsim.dataflow.hierarchy import Hierarchy, Storage
from archonsim.dataflow.mapper import TEMPLATE, divisors, mapping_of
from archonsim.dataflow.mapping import Mapping
from archonsim.dataflow.problem import Problem
from archonsim.machines.dense import MACHINE as DENSE
from archonsim.machines.registry import machine_spec
from archonsim.machines.row_stationary.spec import RowStationarySpec
from archonsim.machines.sparse import MACHINE as SPARSE
from archonsim.machines.sparse.spec import SparseSpec

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[2] / "shared" / "reference" / "ics21"
UNLIMITED = ("dram.model=unlimited", "glb.model=unlimited")


def dense(*overrides: str) -> RowStationarySpec:
    """The dense preset with some keys changed."""
    spec: RowStationarySpec = machine_spec(DENSE, None, overrides)
    return spec


def sparse(*overrides: str) -> SparseSpec:
    """The sparse preset with some keys changed."""
    spec: SparseSpec = machine_spec(SPARSE, None, overrides)
    return spec


def rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file; lines that begin with # are comments."""
    return list(
        csv.DictReader(
            line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")
        )
    )


def roomy() -> Hierarchy:
    """The dense machine's levels without limits: any mapping fits."""
    levels = (
        Storage(
            name=one.name, keeps=one.keeps, block_words=one.block_words, access_pj=one.access_pj
        )
        for one in dense().hierarchy().levels
    )
    return Hierarchy(levels=tuple(levels), cols=10**6, rows=10**6, mac_pj=2.2)


@st.composite
def mapped_problems(draw: st.DrawFn, largest: int = 6) -> tuple[Problem, Mapping]:
    """A small problem and a mapping in the loop order of the row-stationary template."""
    bounds = [1] * len(TEMPLATE)
    sizes = dict.fromkeys("NCMPQRS", 1)
    # Any loop of a dimension may come first, or the inner ones would be left with 1.
    for at in draw(st.permutations(range(len(TEMPLATE)))):
        dimension = TEMPLATE[at][1]
        bound = 1 if dimension == "N" else draw(st.sampled_from([1, 1, 2, 3]))
        if sizes[dimension] * bound <= largest:
            sizes[dimension] *= bound
            bounds[at] = bound
    strides = {"stride_w": draw(st.integers(1, 3)), "stride_h": draw(st.integers(1, 3))}
    return Problem(**{name.lower(): bound for name, bound in sizes.items()}, **strides), mapping_of(
        bounds
    )


@st.composite
def small_problems(draw: st.DrawFn) -> Problem:
    """A layer that the mapper searches in no time."""
    sizes = {name: draw(st.sampled_from([1, 2, 3, 4, 6, 8])) for name in "cmpq"}
    return Problem(
        **sizes,
        r=draw(st.integers(1, 3)),
        s=draw(st.integers(1, 3)),
        stride_w=draw(st.integers(1, 2)),
    )


def factorizations(number: int, parts: int) -> list[tuple[int, ...]]:
    """All ordered products, made without the mapper's help."""
    if parts == 0:
        return [()] if number == 1 else []
    return [
        (first, *rest)
        for first in divisors(number)
        for rest in factorizations(number // first, parts - 1)
    ]
