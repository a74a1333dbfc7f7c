"""The systolic array as a machine: folds from ``dataflow.systolic``, memory from the engine."""

from __future__ import annotations

from importlib import resources

from archonsim.dataflow.systolic import Gemm, fold, layer_cycles
from archonsim.engine.contract import Phase
from archonsim.machines.edge_fed.machine import (
    MEMORIES,
    EdgeFedMachine,
    product_phase,
)
from archonsim.machines.systolic.spec import SystolicSpec
from archonsim.network.layer import Layer


class SystolicMachine(EdgeFedMachine[SystolicSpec]):
    """A plain systolic array, as a machine that ``archonsim run`` knows."""

    name = "systolic"
    summary = (
        "plain systolic array: output, weight or input stationary; SCALE-Sim's, DATE'21's or a"
        " drained array's cycles"
    )
    spec_type = SystolicSpec
    preset = (resources.files("archonsim.machines.systolic") / "preset.toml").read_text("utf-8")
    includes = (
        (
            "fill and drain of every fold in the chosen timing convention; grouped and depthwise"
            " layers a group at a time"
        ),
        MEMORIES,
    )
    ideal_includes = (
        (
            "fill and drain of every fold in the chosen timing convention; grouped and depthwise"
            " layers a group at a time"
        ),
    )

    def cycles(self, layer: Layer, spec: SystolicSpec) -> int:
        """Cycles of a layer in the array, with no memory."""
        return layer_cycles(layer, spec.pe.rows, spec.pe.cols, spec.dataflow, spec.timing)

    def phase(self, layer: Layer, spec: SystolicSpec) -> Phase:
        """Cut a layer into tiles, all of them products of matrices."""
        folds = fold(Gemm.of(layer), spec.pe.rows, spec.pe.cols, spec.dataflow, spec.timing)
        return product_phase(layer, spec, folds, self.cycles(layer, spec))
