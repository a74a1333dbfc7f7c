"""The FuSe array's description: what the preset, a TOML file and ``--set`` may say."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from archonsim.dataflow.row_broadcast import FuseTiming
from archonsim.spec.parts import CONFIG, ArraySpec, DramSpec, PrefetchSpec, Rate, SramSpec


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class FuseSpec:
    """The whole machine.

    Attributes
    ----------
    clock_mhz : float
    timing : {"public", "paper", "corrected"}
        Which model's cycles, see :mod:`archonsim.dataflow.row_broadcast`.
    pe : ArraySpec
    ifmap_sram, filter_sram, ofmap_sram : SramSpec
    dram : DramSpec
    dma : PrefetchSpec
    technology : str
        Energies of actions, by name or as a TOML file.
    """

    clock_mhz: Rate
    timing: FuseTiming = "public"
    pe: ArraySpec
    ifmap_sram: SramSpec
    filter_sram: SramSpec
    ofmap_sram: SramSpec
    dram: DramSpec
    dma: PrefetchSpec
    technology: str = "45nm"
