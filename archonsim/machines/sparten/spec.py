"""SparTen's description: what the preset, a TOML file and ``--set`` may say."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from archonsim.machines.two_sided.spec import TwoSidedSpec
from archonsim.spec.parts import CONFIG, Count


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class JoinPe:
    """Clusters and their units.

    Attributes
    ----------
    rows : int
        Clusters.
    cols : int
        Units of a cluster, a multiplier each.
    chunk : int
        Elements of a bit mask that are joined at a time.
    input_words, weight_words, psum_words : int
        16-bit words of a unit's buffers.
    """

    rows: Count
    cols: Count
    chunk: Count
    input_words: Count
    weight_words: Count
    psum_words: Count

    @property
    def count(self) -> int:
        """Number of units."""
        return self.rows * self.cols


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class SpartenSpec(TwoSidedSpec):
    """The whole machine.

    Attributes
    ----------
    balance : {"greedy", "none"}
        ``greedy``: offline, a unit gets a dense filter and a sparse one, where there are enough;
        ``none``: one filter each, as they come.
    pe : JoinPe
    """

    balance: Literal["greedy", "none"] = "greedy"
    pe: JoinPe

    @property
    def multipliers(self) -> int:
        """Multipliers of the array."""
        return self.pe.count

    def packed_bits(self, nonzero: int, values: int) -> int:
        """Bits of values, and of a mask of all."""
        return nonzero * self.value_bits + values
