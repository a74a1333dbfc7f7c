"""The systolic array's description: what the preset, a TOML file and ``--set`` may say."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from archonsim.dataflow.systolic import Dataflow, Timing
from archonsim.spec.parts import CONFIG, ArraySpec, DramSpec, PrefetchSpec, Rate, SramSpec


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class SystolicSpec:
    """The whole machine.

    Attributes
    ----------
    clock_mhz : float
    dataflow : {"os", "ws", "is"}
        What stays in a PE: a sum, a weight or an input.
    timing : {"scalesim", "fuseconv", "drained"}
        Whose cycles a fold takes, see :mod:`archonsim.dataflow.systolic`.
    pe : ArraySpec
    ifmap_sram, filter_sram, ofmap_sram : SramSpec
    dram : DramSpec
    dma : PrefetchSpec
    technology : str
        Energies of actions, by name or as a TOML file.
    """

    clock_mhz: Rate
    dataflow: Dataflow = "os"
    timing: Timing = "scalesim"
    pe: ArraySpec
    ifmap_sram: SramSpec
    filter_sram: SramSpec
    ofmap_sram: SramSpec
    dram: DramSpec
    dma: PrefetchSpec
    technology: str = "45nm"

    def __post_init__(self) -> None:
        if self.timing == "fuseconv" and self.dataflow != "os":
            raise ValueError(
                f"timing is 'fuseconv' and dataflow {self.dataflow!r}: that model knows output"
                " stationary arrays only; set dataflow=os, or timing=scalesim or drained"
            )
