"""SnaPEA's description: what the preset, a TOML file and ``--set`` may say."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from archonsim.spec.effect import Needs
from archonsim.spec.parts import (
    CONFIG,
    BufferSpec,
    Count,
    DramSpec,
    PrefetchSpec,
    Rate,
    Share,
)

#: Modes in which weights have an order of their own.
STOPPING = ("exact", "predictive")


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class LanePe:
    """The PE array, and the lanes of one PE.

    Attributes
    ----------
    rows, cols : int
        PEs. Those of a row have the same part of the input, those of a column the same filters.
    lanes : int
        Multipliers of a PE. In a cycle all of them get the same weight, each for a window of its
        own.
    windows : int
        Output positions that a row has at least; on smaller maps rows share their positions, and
        take other filters instead.
    weight_words : int
        16-bit words of a PE's weight buffer; a buffer of as many indices stands beside it.
    """

    rows: Count
    cols: Count
    lanes: Count
    windows: Count
    weight_words: Count

    @property
    def count(self) -> int:
        """Number of PEs."""
        return self.rows * self.cols


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class SnapeaSpec:
    """The whole machine.

    Attributes
    ----------
    clock_mhz : float
    mode : {"exact", "predictive", "off"}
        ``exact``: a sum stops when it is negative and only negative weights are left;
        ``predictive``: also when the sum of a filter's first weights is below its threshold;
        ``off``: the same array without stopping, weights as they are stored.
    negatives : {"largest", "stored"}
        Order of a filter's negative weights: the largest first, or as they are stored.
    zero_weights : {"skip", "keep"}
        Whether zero weights stay in the order; indices make it free to leave them out.
    prefix_share : float
        Of the mode ``predictive``: share of a filter's weights that its sum speculates on, rounded
        up.
    lost_share : float
        Of the mode ``predictive``: a filter's threshold cuts at most this share of its positive
        outputs, on the trace's first images.
    meet : {"layer", "round"}
        When PEs wait for each other: at a layer's end, or after each round of filters, all of whose
        PEs then share what the map memory sends of it.
    pe : LanePe
    glb : BufferSpec
        Memory of feature maps, a share of it in each PE.
    dram : DramSpec
    dma : PrefetchSpec
    technology : str
        Energies of actions, by name or as a TOML file.
    """

    needs: ClassVar[Needs] = {
        "negatives": ("mode", STOPPING),
        "zero_weights": ("mode", STOPPING),
        "prefix_share": ("mode", ("predictive",)),
        "lost_share": ("mode", ("predictive",)),
    }

    clock_mhz: Rate
    mode: Literal["exact", "predictive", "off"] = "exact"
    negatives: Literal["largest", "stored"] = "largest"
    zero_weights: Literal["skip", "keep"] = "skip"
    prefix_share: Share = 0.125
    lost_share: Share = 0.03
    meet: Literal["layer", "round"] = "layer"
    pe: LanePe
    glb: BufferSpec
    dram: DramSpec
    dma: PrefetchSpec
    technology: str

    @property
    def multipliers(self) -> int:
        """Multipliers of the array."""
        return self.pe.count * self.pe.lanes

    @property
    def stops(self) -> bool:
        """Whether sums may stop early."""
        return self.mode in STOPPING
