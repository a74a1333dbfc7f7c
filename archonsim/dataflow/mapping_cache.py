"""The mapper's results, kept in memory and on disk by content.

The same problem on the same hierarchy is searched once.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

from archonsim import cache as disk
from archonsim.dataflow.hierarchy import Hierarchy
from archonsim.dataflow.mapper import LEVELS, find_mapping
from archonsim.dataflow.mapping import Mapping
from archonsim.dataflow.problem import Problem
from archonsim.errors import SpecError

TOPIC = "mappings"

#: Raised whenever the mapper or the cost model may choose differently.
VERSION = 1

#: Mappings kept in memory (own decision): all layers of a network on some tens of arrays.
KEPT = 2048


def _key(problem: Problem, hierarchy: Hierarchy, free: bool) -> dict[str, Any]:
    return {
        "version": VERSION,
        "problem": problem.key,
        "hierarchy": dataclasses.asdict(hierarchy),
        "free": free,
    }


@lru_cache(maxsize=KEPT)
def best_mapping(problem: Problem, hierarchy: Hierarchy, free: bool = False) -> Mapping:
    """Return :func:`archonsim.dataflow.mapper.find_mapping`'s result, cached if possible."""
    key = _key(problem, hierarchy, free)
    table = disk.load(TOPIC, key)
    if table is not None:
        try:
            mapping = Mapping.parse(table, LEVELS, "cached mapping")
            mapping.check_covers(problem, "cached mapping")
        except SpecError:  # a file that someone edited: search again
            pass
        else:
            return mapping
    mapping = find_mapping(problem, hierarchy, free=free)
    disk.store(TOPIC, key, mapping.to_table())
    return mapping
