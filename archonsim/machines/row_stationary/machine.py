"""What row-stationary arrays have in common, as machines."""

from __future__ import annotations

from typing import Generic, TypeVar

from archonsim.machines.layerwise import layer_steps
from archonsim.machines.row_stationary.hint import space_hint
from archonsim.machines.row_stationary.spec import RowStationarySpec
from archonsim.network.workload import Workload
from archonsim.spec.resources import Resources, area_parts
from archonsim.vocabulary.vocabulary import Vocabulary

S = TypeVar("S", bound=RowStationarySpec)


class RowStationaryMachine(Generic[S]):
    """An array of PEs with scratchpads behind one GLB; layers run one after the other.

    A machine of this kind says what a mapped layer takes: in ``ideal``, and in the simulation that
    ``prepare`` returns (`archonsim.machines.row_stationary.run`).
    """

    vocabulary = Vocabulary()

    def resources(self, spec: S) -> Resources:
        """PEs, buffers and area; a PE's scratchpads count at their published size."""
        parts = area_parts("dense", spec.pe.count, {"glb": spec.glb.words})
        return Resources(pes=spec.pe.count, buffer_words=spec.glb.words, parts=parts)

    def remarks(self, workload: Workload, spec: S) -> tuple[str, ...]:
        """Say where the published space of mappings costs much."""
        return space_hint(workload, spec)

    def steps(self, workload: Workload) -> int:
        """Layers that one image runs."""
        return len(layer_steps(workload))
