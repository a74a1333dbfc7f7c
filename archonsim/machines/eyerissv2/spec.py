"""Eyeriss v2's description: what the preset, a TOML file and ``--set`` may say."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from archonsim.machines.two_sided.spec import TwoSidedSpec
from archonsim.spec.parts import CONFIG, Count, Share, Size


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class CscPe:
    """The PE array, and the scratchpads of one PE in values.

    Attributes
    ----------
    rows, cols : int
        PEs of all clusters.
    products_per_cycle : int
        Multipliers of a PE: products of one input with neighbouring non-zero weights of its column.
    input_values, weight_values, psum_values : int
        Inputs of a window, weights and sums that a PE holds.
    """

    rows: Count
    cols: Count
    products_per_cycle: Count
    input_values: Count
    weight_values: Count
    psum_values: Count

    @property
    def count(self) -> int:
        """Number of PEs."""
        return self.rows * self.cols


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class ClusterSpec:
    """A cluster of PEs, and what its routers take a cycle.

    Attributes
    ----------
    rows, cols : int
        PEs of a cluster.
    input_values_per_cycle, weight_values_per_cycle, psum_values_per_cycle : int
        Of all routers of a cluster together; a value that several of its PEs take counts once.
    """

    rows: Count
    cols: Count
    input_values_per_cycle: Count
    weight_values_per_cycle: Count
    psum_values_per_cycle: Count

    @property
    def count(self) -> int:
        """PEs of a cluster."""
        return self.rows * self.cols


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class EyerissV2Spec(TwoSidedSpec):
    """The whole machine.

    Attributes
    ----------
    index_bits : int
        Bits of the zeros that are counted before a non-zero value.
    psum_bits : int
        Bits of a partial sum.
    input_share : float
        Share of the GLB that holds inputs; the rest holds partial sums.
    pe : CscPe
    cluster : ClusterSpec
    """

    index_bits: Size
    psum_bits: Count
    input_share: Share
    pe: CscPe
    cluster: ClusterSpec

    @property
    def input_words(self) -> int:
        """Words of the GLB that hold inputs."""
        return round(self.input_share * self.glb.words)

    @property
    def multipliers(self) -> int:
        """Multipliers of the array."""
        return self.pe.count * self.pe.products_per_cycle

    def packed_bits(self, nonzero: int, values: int) -> int:
        """Bits of values with the zeros before each; addresses of columns are not counted."""
        return nonzero * (self.value_bits + self.index_bits)
