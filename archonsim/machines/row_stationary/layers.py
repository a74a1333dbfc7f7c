"""Layers of a workload with their mappings and what these cost."""

from __future__ import annotations

from dataclasses import dataclass

from archonsim.dataflow.book import open_book
from archonsim.dataflow.hierarchy import Hierarchy
from archonsim.dataflow.mapping import Mapping
from archonsim.dataflow.mapping_cache import best_mapping
from archonsim.dataflow.nest import Cost, evaluate
from archonsim.dataflow.problem import Problem
from archonsim.machines.layerwise import LayerStep, layer_steps
from archonsim.machines.row_stationary.spec import RowStationarySpec
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload


@dataclass(frozen=True, slots=True)
class MappedLayer:
    """A compute layer on the array.

    Attributes
    ----------
    layer : Layer
    block : int or None
    problem : Problem
        One group of the layer.
    mapping : Mapping
    cost : Cost
        Of one group, by the published analysis: the channels of a depthwise layer share one input
        map.
    moved : Cost
        Of one group, with an input map for each of them.
    """

    layer: Layer
    block: int | None
    problem: Problem
    mapping: Mapping
    cost: Cost
    moved: Cost

    @property
    def cycles(self) -> int:
        """Cycles of all groups, when DRAM does not limit."""
        return self.cost.cycles * self.problem.groups

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all groups."""
        return self.problem.macs * self.problem.groups

    def words(self, level: str, kind: str) -> tuple[int, int]:
        """Words that DRAM or the GLB gives and takes for all groups: (reads, updates and fills)."""
        counts, groups = self.moved.counts[level, kind], self.problem.groups
        return counts.reads * groups, (counts.updates + counts.fills) * groups


def map_layers(workload: Workload, spec: RowStationarySpec) -> list[MappedLayer]:
    """Map every compute layer; of several choices, the one of fewest compute cycles, then energy.

    Raises
    ------
    SpecError
        As :func:`map_choices`.
    """
    return [
        min(choices, key=lambda one: (one.cycles, one.cost.energy_pj))
        for choices in map_choices(workload, spec)
    ]


def map_choices(
    workload: Workload, spec: RowStationarySpec, *, free: bool = False
) -> list[tuple[MappedLayer, ...]]:
    """Map every compute layer in each way that may turn out to be the quickest.

    The mapper knows neither DRAM's time nor where zeros are. In the free space it finds mappings of
    fewer compute cycles that can take more time with both, so the published space's best is a
    choice as well: a machine runs the quicker one, and a larger space never costs.

    Parameters
    ----------
    workload : Workload
    spec : RowStationarySpec
    free : bool
        Look into the free space, too, whatever `spec` says; its mapping comes first.

    Raises
    ------
    SpecError
        The mapping file has none for a layer, or nothing fits.
    """
    hierarchy = spec.hierarchy()
    book = None if spec.mapping == "search" else open_book(spec.mapping)
    mapped = []
    spaces = (True, False) if free or spec.space == "free" else (False,)
    for step in layer_steps(workload):
        layer = step.layer
        problem = Problem.of(layer)
        found = (
            [book.find(layer.name, problem)]
            if book
            else [best_mapping(problem, hierarchy, space) for space in spaces]
        )
        where = f"layer {layer.name}, mapping {spec.mapping}"
        mapped.append(
            tuple(
                _mapped(step, problem, mapping, hierarchy, where)
                for mapping in dict.fromkeys(found)
            )
        )
    return mapped


def _mapped(
    step: LayerStep, problem: Problem, mapping: Mapping, hierarchy: Hierarchy, where: str
) -> MappedLayer:
    cost = evaluate(problem, mapping, hierarchy, where)
    moved = (
        cost if problem.input_maps == 1 else evaluate(problem, mapping, hierarchy, own_inputs=True)
    )
    return MappedLayer(step.layer, step.block, problem, mapping, cost, moved)
