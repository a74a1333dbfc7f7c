"""SCNN's description: what the preset, a TOML file and ``--set`` may say."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from archonsim.machines.two_sided.spec import TwoSidedSpec
from archonsim.spec.effect import Needs
from archonsim.spec.parts import CONFIG, Count, Size


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class CartesianPe:
    """The PE array, and the multipliers of one PE.

    Attributes
    ----------
    rows, cols : int
        PEs, each with a tile of the input plane.
    inputs, weights : int
        Non-zero inputs and weights that meet in a cycle; a PE has a multiplier for each pair.
    weight_words : int
        16-bit words of a PE's weight buffer.
    """

    rows: Count
    cols: Count
    inputs: Count
    weights: Count
    weight_words: Count

    @property
    def count(self) -> int:
        """Number of PEs."""
        return self.rows * self.cols

    @property
    def products(self) -> int:
        """Multipliers of a PE."""
        return self.inputs * self.weights


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class AccumulatorSpec:
    """Accumulators of a PE.

    Attributes
    ----------
    model : {"banks", "unlimited"}
        ``banks``: a bank adds one product a cycle; ``unlimited``: products never conflict.
    banks, entries : int
        Banks, and sums of one of them.
    queue : int
        Products that wait before a bank while the next vectors meet.
    """

    needs: ClassVar[Needs] = {"queue": ("model", ("banks",))}

    model: Literal["banks", "unlimited"] = "banks"
    banks: Count
    entries: Count
    queue: Size


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class ScnnSpec(TwoSidedSpec):
    """The whole machine.

    Attributes
    ----------
    index_bits : int
        Bits of the zeros that are counted before a non-zero value.
    filters_together : int
        Output channels that are added up at a time, at most.
    pe : CartesianPe
    accumulator : AccumulatorSpec
    """

    index_bits: Size
    filters_together: Count
    pe: CartesianPe
    accumulator: AccumulatorSpec

    @property
    def multipliers(self) -> int:
        """Multipliers of the array."""
        return self.pe.count * self.pe.products

    def packed_bits(self, nonzero: int, values: int) -> int:
        """Bits of values with the zeros before each."""
        return nonzero * (self.value_bits + self.index_bits)
