"""The FuSe array as a machine.

Lines from ``dataflow.row_broadcast``, everything else as on a plain systolic array.
"""

from __future__ import annotations

from importlib import resources

from archonsim.dataflow.operands import (
    BufferAccesses,
    line_demand,
)
from archonsim.dataflow.row_broadcast import fuse_cycles, is_line, line_folds
from archonsim.dataflow.systolic import Gemm, fold
from archonsim.engine.contract import Phase
from archonsim.machines.edge_fed.array_phase import array_phase
from archonsim.machines.edge_fed.machine import (
    MEMORIES,
    EdgeFedMachine,
    buffer_sizes,
    product_phase,
)
from archonsim.machines.fuse.spec import FuseSpec
from archonsim.network.layer import Layer


class FuseMachine(EdgeFedMachine[FuseSpec]):
    """FuSeConv's array, as a machine that ``archonsim run`` knows."""

    name = "fuse"
    summary = (
        "FuSe (DATE'21): systolic array with a weight broadcast wire a row for 1xK and Kx1"
        " depthwise layers"
    )
    spec_type = FuseSpec
    preset = (resources.files("archonsim.machines.fuse") / "preset.toml").read_text("utf-8")
    includes = (
        (
            "fill of every fold, 1xK and Kx1 depthwise layers on the broadcast wires; other grouped"
            " layers a group at a time"
        ),
        MEMORIES,
    )
    ideal_includes = (
        (
            "fill of every fold, 1xK and Kx1 depthwise layers on the broadcast wires; other grouped"
            " layers a group at a time"
        ),
    )

    def cycles(self, layer: Layer, spec: FuseSpec) -> int:
        """Cycles of a layer in the array, with no memory."""
        return fuse_cycles(layer, spec.pe.rows, spec.pe.cols, spec.timing)

    def phase(self, layer: Layer, spec: FuseSpec) -> Phase:
        """Cut a layer into tiles: lines on the broadcast wires, or products of matrices."""
        rows, cols = spec.pe.rows, spec.pe.cols
        if not is_line(layer):
            folds = fold(Gemm.of(layer), rows, cols, "os", "fuseconv")
            return product_phase(layer, spec, folds, self.cycles(layer, spec))
        buffers = buffer_sizes(spec)
        lines = line_folds(layer, rows, cols, spec.timing)
        # Each piece of a line takes in its own positions and the taps - 1 inputs behind them; a
        # weight goes to each row and fold.
        taps = layer.kernel_h * layer.kernel_w
        inputs, weights = (
            lines.count * lines.pieces * (cols + taps - 1),
            lines.count * lines.pieces * taps,
        )
        accesses = BufferAccesses(
            inputs, weights, layer.out_channels * layer.out_h * layer.out_w, 0
        )
        demand, busy = line_demand(layer, lines.folds, buffers), lines.folds * taps
        return array_phase(layer, demand, self.cycles(layer, spec), accesses, buffers, busy)
