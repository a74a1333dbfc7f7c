"""What the descriptions of arrays that skip zeros of both operands have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from pydantic.dataclasses import dataclass

from archonsim.spec.parts import CONFIG, WORD_BITS, BufferSpec, Count, DramSpec, PrefetchSpec, Rate


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class TwoSidedSpec(ABC):
    """Fields of all such machines; each adds its array.

    Attributes
    ----------
    clock_mhz : float
    skip : {"both", "weights", "activations", "none"}
        Whose zeros are left out, of products and of what is stored; ``none`` is the same array
        without any skipping.
    value_bits : int
        Bits of a weight or an activation.
    glb : BufferSpec
        On-chip memory of feature maps.
    dram : DramSpec
    dma : PrefetchSpec
    technology : str
        Energies of actions, by name or as a TOML file.
    """

    clock_mhz: Rate
    skip: Literal["both", "weights", "activations", "none"] = "both"
    value_bits: Count
    glb: BufferSpec
    dram: DramSpec
    dma: PrefetchSpec
    technology: str

    @property
    @abstractmethod
    def multipliers(self) -> int:
        """Multipliers of the array."""

    @abstractmethod
    def packed_bits(self, nonzero: int, values: int) -> int:
        """Bits in which `nonzero` of `values` values are stored without their zeros."""

    @property
    def skips_weights(self) -> bool:
        """Whether zero weights are left out."""
        return self.skip in ("both", "weights")

    @property
    def skips_inputs(self) -> bool:
        """Whether zero activations are left out."""
        return self.skip in ("both", "activations")

    def words(self, nonzero: int, values: int, *, packed: bool = True) -> int:
        """16-bit words of a tensor in memory: packed where that is allowed, and less."""
        bits = values * self.value_bits
        if packed:
            bits = min(bits, self.packed_bits(nonzero, values))
        return -(-bits // WORD_BITS)
